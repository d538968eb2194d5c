"""The extra [io] for real: an environment of its own reads from a server.

It is made by `make env-io` in .venv-io and kept between runs.
"""

import json
import os
import pathlib
import subprocess
import sys

import pytest

from hpa_records.runtime import errors
from hpa_records.runtime import tensorflow
from tests.support import fakes
from trainer import config as config_lib
from trainer.training import loop
from tools import check_python

_ROOT = pathlib.Path(__file__).parent.parent
_PYTHON = _ROOT / '.venv-io' / 'bin' / 'python'
# One process, since starting takes longer than all the rest.
_READ = '''
import sys
from hpa_records.runtime import process
process.take()  # as a command does, before TensorFlow is imported
from hpa_records.reading import dataset
from hpa_records.reading import streaming
from hpa_records.runtime import errors
from hpa_records.sampling import epoch_plan
found = dataset.load(sys.argv[1])
batches = streaming.Streaming(found, 0).evaluation(found.rows(2),
                                                   epoch_plan.Share(8))
print(len(found.index), sum(int(b['weight'].numpy().sum()) for b in batches))
try:
  dataset.load(sys.argv[2])
except errors.DataError as error:
  print(error)
'''


@pytest.fixture(name='python', scope='module')
def _python():
  """The environment's Python; made first if it is not there."""
  if sys.version_info[:2] > check_python.NEWEST_IO:
    pytest.skip('TensorFlow 2.17.1 has no wheel for Python '
                f'{sys.version_info[0]}.{sys.version_info[1]}')
  subprocess.run(['make', 'env-io', f'PYTHON={sys.executable}'],
                 cwd=_ROOT,
                 check=True)
  return str(_PYTHON)


def _run(python, *arguments, store=None):
  return subprocess.run([python, *map(str, arguments)],
                        cwd=_ROOT,
                        check=False,
                        capture_output=True,
                        text=True,
                        env={
                            **os.environ,
                            **(store.environment if store else {})
                        })


@pytest.fixture(name='address', scope='module')
def _address(python, store, tmp_path_factory):
  """A dataset that this environment converted, on the server."""
  folder = tmp_path_factory.mktemp('io')
  csv, images = fakes.write_source(folder, num_samples=40, size_px=32)
  done = _run(python, 'tools/make_records.py', f'--csv={csv}',
              f'--images={images}', f'--output={folder / "records"}',
              '--image_size=32', '--workers=1')
  assert done.returncode == 0, done.stderr
  return store.upload(folder / 'records', 'io-test')


def test_it_trains_from_the_server(python, store, address, tmp_path):
  done = _run(python,
              '-m',
              'trainer.main',
              f'--records={address}',
              f'--workdir={tmp_path}',
              '--epochs=1',
              '--batch_size=16',
              '--distribute=cpu',
              '--reader=streaming',
              store=store)
  assert (done.returncode, done.stderr) == (0, '')
  metrics = json.loads((tmp_path / 'fold0' / 'metrics.json').read_text())
  assert metrics['epoch'] == 1 and metrics['num_samples'] == 8


def test_it_reads_from_a_web_server_and_misses_what_is_not_there(
    python, store, address):
  public = f'{store.endpoint}/{address.removeprefix("s3://")}'
  done = _run(python, '-c', _READ, public, f'{address}2', store=store)
  assert done.returncode == 0, done.stderr
  counts, missing = done.stdout.splitlines()
  assert counts == '40 8'
  assert f'in {address}2: manifest.json is missing' in missing


def test_it_verifies_on_the_server(python, store, address):
  if not (_ROOT / 'tools' / 'verify_records.py').exists():
    pytest.skip('there is no tools/verify_records.py')
  done = _run(python,
              'tools/verify_records.py',
              f'--records={address}',
              store=store)
  assert done.returncode == 0, done.stderr


def test_the_main_environment_refuses_to_stream_in_one_line(
    store, address, tmp_path, monkeypatch):
  if tensorflow.has_scheme('s3'):
    pytest.skip('TensorFlow of this environment reads s3://')
  for name, value in store.environment.items():
    monkeypatch.setenv(name, value)
  config = config_lib.Config(records=address,
                             workdir=str(tmp_path),
                             reader='streaming')
  with pytest.raises(errors.DataError) as told:
    loop.train(config)
  assert 'does not stream s3:// without a compatible' in str(told.value)
  assert 'leave --reader out' in str(told.value)
  assert '\n' not in str(told.value)
