"""The whole way on object stores: real servers of S3, Google and Azure.

A conversion to a bucket is killed and resumed, the dataset is verified, trained
on and predicted from, and the report is written to the bucket.
"""

import signal

import pytest

from hpa_records.inspection import verify
from hpa_records.reading import inference_source
from hpa_records.storage import filesystem
from hpa_records.storage import folders
from tests.support import fakes
from tests.support import object_store
from tests.support import prestarted
from trainer import config as config_lib
from trainer import strategy
from trainer.prediction import ensemble as ensemble_lib
from trainer.prediction import predict
from trainer.training import loop

_FLAGS = ('--image_size=24', '--shard_mb=1', '--workers=1')
# Killed before the third shard is uploaded.
_KILLED = '''
import os, signal, sys
sys.path.insert(0, '.')
from hpa_records.storage import request
run, shards = request.run, []
def counted(path, name, *arguments, **options):
  if name == 'put_file' and path.endswith('.tfrecord'):
    shards.append(path)
    if len(shards) == 3:
      os.kill(os.getpid(), signal.SIGKILL)
  return run(path, name, *arguments, **options)
request.run = counted
from hpa_records.commands import make_records
make_records.run()
'''


@pytest.fixture(name='source', scope='module')
def _source(tmp_path_factory):
  return fakes.write_source(tmp_path_factory.mktemp('source'), num_samples=40)


@pytest.fixture(name='local', scope='module')
def _local(source, tmp_path_factory):
  """What a conversion to local disk gives, by name."""
  folder = tmp_path_factory.mktemp('local') / 'records'
  done = _run('tools/make_records.py', *_inputs(source), f'--output={folder}',
              *_FLAGS)
  assert done.returncode == 0, done.stderr
  return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(name='bucket', params=['s3', 'gs', 'az'])
def _bucket(request, monkeypatch):
  """The address of an empty bucket on a server of the test's own."""
  serve = {
      's3': object_store.serve,
      'gs': object_store.serve_google,
      'az': object_store.serve_azure
  }[request.param]
  with serve() as store:
    for name, value in store.environment.items():
      monkeypatch.setenv(name, value)
    yield store.make_bucket(f'whole-way-{request.param}')


def _inputs(source):
  return f'--csv={source[0]}', f'--images={source[1]}'


def _run(*command):
  return prestarted.run(map(str, command))


def _content(folder):
  return {
      name: filesystem.read_bytes(f'{folder}/{name}')
      for name in folders.list_names(folder, recursive=True)
  }


def test_the_whole_way(source, local, bucket, tmp_path):
  records = f'{bucket}/deep/records'
  command = (*_inputs(source), f'--output={records}', *_FLAGS)
  killed = _run('-c', _KILLED, *command)
  assert killed.returncode == -signal.SIGKILL, killed.stderr
  left = _content(records)
  assert 'manifest.json' not in left
  assert sum(name.endswith('.tfrecord') for name in left) == 2

  done = _run('tools/make_records.py', *command)
  assert done.returncode == 0, done.stderr
  assert _content(records) == local
  done = _run('tools/make_records.py', *command)
  assert done.stdout.startswith('Already complete')

  assert verify.verify(records, deep=True, workers=1).manifest.shards
  loop.train(
      config_lib.Config(records=records,
                        workdir=str(tmp_path / 'run'),
                        epochs=1,
                        batch_size=16,
                        distribute='cpu'))
  history = (tmp_path / 'run' / 'fold0' / 'history.csv').read_text()
  assert len(history.splitlines()) == 2

  predicted = f'{bucket}/predicted.csv'
  if bucket.startswith('s3'):  # as commands, most of which start TensorFlow
    for words in (('predict', f'--records={records}', f'--output={predicted}',
                   '--workdir'), ('report', f'--output={bucket}/page',
                                  '--workdir'),
                  ('inspect_records', f'--figures={bucket}/sheets',
                   '--records')):
      where = records if words[-1] == '--records' else tmp_path / 'run'
      done = _run(f'tools/{words[0]}.py', *words[1:-1], f'{words[-1]}={where}')
      assert done.returncode == 0, done.stderr
    assert b'<html' in filesystem.read_bytes(f'{bucket}/page/report.html')
    assert any(
        name.endswith('.png')
        for name in folders.list_names(f'{bucket}/sheets'))
  else:
    ensemble = ensemble_lib.load([str(tmp_path / 'run')])
    models = predict.Models(ensemble, strategy.make('cpu'), 'last')
    found = models.predict(inference_source.Records(records), 'none', 16)
    found.save(predicted, ensemble.choose_thresholds('0.5', 'last'))
  assert len(filesystem.read_bytes(predicted).splitlines()) == 41
