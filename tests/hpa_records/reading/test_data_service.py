"""data_service: dispatcher and workers as real processes, some killed."""

import collections
import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest

from hpa_records.conversion import convert
from hpa_records.conversion import shard_plan
from hpa_records.reading import data_service
from hpa_records.reading import dataset
from hpa_records.reading import how as how_lib
from hpa_records.reading import reader
from hpa_records.runtime import errors
from hpa_records.runtime.tensorflow import tf
from hpa_records.sampling import epoch_plan
from tests.support import fakes
from tests.support import prestarted
from trainer import config as config_lib
from trainer.training import loop

_ROOT = pathlib.Path(__file__).parents[3]
_SIZE = 200  # six a shard of 1 MiB
_SAMPLES = 150


@pytest.fixture(name='records', scope='module')
def _records(tmp_path_factory):
  """Records in some 25 shards, some drawn more than once."""
  folder = tmp_path_factory.mktemp('service')
  csv, images = fakes.write_source(folder, num_samples=_SAMPLES, size_px=_SIZE)
  settings = shard_plan.Settings(image_size=_SIZE,
                                 shard_mb=1,
                                 balance='hybrid',
                                 balance_target=40)
  convert.convert(csv, images, str(folder / 'records'), settings,
                  convert.How(workers=2))
  return str(folder / 'records')


def _start(*words, python=None):
  """Starts the tool; returns the process and the first line it says."""
  python = python or prestarted.find_python()
  process = subprocess.Popen(  # pylint: disable=consider-using-with
      [*python, 'tools/serve_input.py', *words],
      cwd=_ROOT,
      stdout=subprocess.PIPE,
      stderr=subprocess.PIPE,
      text=True)
  return process, process.stdout.readline()


def _start_worker(address, python=None):
  return _start('worker',
                f'--dispatcher={address.removeprefix("grpc://")}',
                '--host=localhost',
                python=python)[0]


@contextlib.contextmanager
def _service(num_workers=2, worker_timeout_s=2, python=None):
  """Yields the address of a dispatcher with some workers, and the workers."""
  dispatcher, said = _start('dispatcher',
                            f'--worker_timeout_s={worker_timeout_s}',
                            python=python)
  address = said.split()[-1].rstrip('.')
  workers = [_start_worker(address, python) for _ in range(num_workers)]
  try:
    yield address, workers
  finally:
    for each in (*workers, dispatcher):
      each.send_signal(signal.SIGTERM)
      each.communicate(timeout=600)


@pytest.fixture(name='service', scope='module')
def _shared_service():
  # A worker that a busy machine keeps waiting is not taken for a dead one.
  with _service(worker_timeout_s=600) as service:
    yield service


_NUMBERS = {fakes.image(i, _SIZE).tobytes(): i for i in range(_SAMPLES)}


class _Reading:
  """An epoch through a service, and what it should draw.

  With times, each record is drawn so many times as often as its repeats say.
  """

  def __init__(self, records, address, times=1):
    found = dataset.load(records)
    how = how_lib.How(data_service=address, shuffle_mb=2)
    self._reader = reader.Reader(found, 1, how)
    self._key = epoch_plan.Key(0, 0, 1)
    self._epoch = epoch_plan.shuffle(times * found.repeats(1), self._key, 'all')
    ids = found.index['id']
    self.planned = collections.Counter(
        (int(ids[row][1:]), element)
        for row, element in zip(self._epoch.record, self._epoch.element))
    self.steps = epoch_plan.num_steps(len(self._epoch), 7)

  def batches(self):
    return self._reader.training(self._epoch, self._key,
                                 epoch_plan.Share(7)).as_numpy_iterator()


def _drawn(batches):
  """How often each (sample, transform) came; labels must be the sample's."""
  found = collections.Counter()
  for batch in batches:
    for i in np.flatnonzero(batch['weight']):
      number = _NUMBERS[batch['image'][i].tobytes()]
      want = {number % 5} | ({5 + number % 7} if number % 3 == 0 else set())
      assert set(np.flatnonzero(batch['labels'][i])) == want
      found[number, int(batch['element'][i])] += 1
  return found


def test_an_epoch_is_the_planned_one(records, service, capsys):
  reading = _Reading(records, service[0])
  batches = list(reading.batches())
  assert len(batches) == reading.steps
  assert _drawn(batches) == reading.planned
  assert 'lost' not in capsys.readouterr().out


def test_an_epoch_is_complete_when_a_worker_dies(records, capsys):
  with _service(1) as (address, workers):
    # Far more draws than all buffers hold, from the only worker that there is
    # yet: it dies owing some.
    reading = _Reading(records, address, times=5)
    batches = reading.batches()
    first = [next(batches) for _ in range(3)]
    workers.append(_start_worker(address))
    workers[0].send_signal(signal.SIGKILL)
    rest = list(batches)
  assert len(first) + len(rest) == reading.steps
  assert _drawn(first + rest) == reading.planned
  assert ' draws were lost with input workers' in capsys.readouterr().out


@pytest.mark.parametrize('silence_s,paused_s', [
    (1.0, 4.0),
    pytest.param(10.0, 15.0, marks=pytest.mark.soak),
])
def test_a_paused_worker_is_waited_for(records, capsys, monkeypatch, silence_s,
                                       paused_s):
  monkeypatch.setattr(data_service, '_SILENCE_S', silence_s)
  # What stops is the worker itself.
  with _service(1, python=[sys.executable]) as (address, (worker,)):
    reading = _Reading(records, address, times=5)
    batches = reading.batches()
    first = [next(batches) for _ in range(3)]
    worker.send_signal(signal.SIGSTOP)
    threading.Timer(paused_s, worker.send_signal, [signal.SIGCONT]).start()
    rest = list(batches)
  assert _drawn(first + rest) == reading.planned
  said = capsys.readouterr().out
  assert f'No draw of the input workers for {silence_s:.0f} s (' in said
  assert ': timed out); waiting up to' in said
  assert 'lost' not in said


@pytest.mark.soak
def test_training_continues_when_a_worker_dies(records, tmp_path):
  with _service() as (address, workers):
    config = config_lib.Config(records=records,
                               workdir=str(tmp_path),
                               distribute='cpu',
                               epochs=2,
                               batch_size=16,
                               data_service=address,
                               shuffle_mb=2)
    command = [sys.executable, '-m', 'trainer.main'] + [
        f'--{name}={getattr(config, name)}'
        for name in ('records', 'workdir', 'distribute', 'epochs', 'batch_size',
                     'data_service', 'shuffle_mb')
    ]
    with subprocess.Popen(command,
                          cwd=_ROOT,
                          stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE,
                          text=True) as process:
      for line in process.stdout:
        if line.startswith('epoch 1/2'):
          workers[1].send_signal(signal.SIGKILL)
          break
      out, err = process.communicate(timeout=600)
  assert process.returncode == 0, err
  assert 'epoch 2/2' in out and 'f1_macro' in out


def test_a_worker_stops_cleanly_on_sigterm(service):
  worker, said = _start('worker',
                        f'--dispatcher={service[0].removeprefix("grpc://")}',
                        '--host=localhost')
  assert said.startswith('Worker of ')
  worker.send_signal(signal.SIGTERM)
  worker.communicate(timeout=600)
  assert worker.returncode == 0


@pytest.mark.parametrize('changes,message', [
    ({
        'data_service': 'host:5050'
    }, 'such as grpc://host:5050, received host:5050'),
    ({
        'data_service': 'grpc://localhost:1'
    }, 'No dispatcher answers at grpc://localhost:1 .*refused'),
    ({
        'data_service': 'grpc://localhost:1',
        'cache': 'host'
    }, '--data_service excludes'),
    ({
        'data_service': 'grpc://localhost:1',
        'reader': 'indexed'
    }, '--data_service excludes'),
    ({
        'data_service': 'grpc://localhost:1',
        'checkpoint_steps': 5
    }, 'Expected --checkpoint_steps=0'),
])
def test_options_that_exclude_each_other_are_refused(records, tmp_path, changes,
                                                     message):
  with pytest.raises(errors.DataError, match=message):
    loop.train(
        config_lib.Config(records=records,
                          workdir=str(tmp_path),
                          distribute='cpu',
                          **changes))


def test_several_trainers_are_refused(records, service):
  reading = reader.Reader(dataset.load(records), 1,
                          how_lib.How(data_service=service[0]))
  epoch = epoch_plan.once(np.arange(4))
  with pytest.raises(errors.DataError, match='TF_CONFIG has 2 workers'):
    reading.training(epoch, epoch_plan.Key(0, 0, 1),
                     epoch_plan.Share(8, 2, 0, 1))


def test_workers_that_see_another_dataset_are_refused(service, tmp_path):
  csv, images = fakes.write_source(tmp_path, num_samples=_SAMPLES)
  path = str(tmp_path / 'records')
  found = []
  for balance in 'hybrid', 'none':
    settings = shard_plan.Settings(image_size=16, balance=balance)
    convert.convert(csv, images, path, settings,
                    convert.How(workers=2, overwrite=True))
    found.append(dataset.load(path))
  # The trainer's machine sees the first at the path, the worker's the second.
  key = epoch_plan.Key(0, 0, 1)
  reading = reader.Reader(found[0], 1, how_lib.How(data_service=service[0]))
  epoch = epoch_plan.shuffle(found[0].repeats(1), key, 'all')
  with pytest.raises(errors.DataError, match='sees another dataset'):
    with reading.translate_errors():
      list(reading.training(epoch, key, epoch_plan.Share(7)))


def test_an_epoch_cannot_be_resumed_inside(records, service):
  """A checkpoint inside it may be of another reader."""
  reading = reader.Reader(dataset.load(records), 1,
                          how_lib.How(data_service=service[0]))
  epoch = epoch_plan.once(np.arange(4))
  with pytest.raises(errors.DataError, match='step 3 of an epoch'):
    reading.training(epoch, epoch_plan.Key(0, 0, 1), epoch_plan.Share(1), 3)


def test_a_worker_without_dispatcher_is_refused():
  worker, _ = _start('worker')
  assert '--dispatcher=host:port' in worker.communicate()[1]
  assert worker.returncode == 2


@pytest.mark.parametrize('words,named', [
    (['dispatcher', f'--worker_timeout_s={2**63 - 1}'], '--worker_timeout_s='),
    (['dispatcher', b'--work_dir=\xff'], '--work_dir'),
    (['worker', '--dispatcher=localhost:1', '--host=a b'], '--host'),
    (['worker', '--dispatcher=localhost:1', '--host=x:y'], '--host'),
    (['worker', '--dispatcher=localhost:1', '--host=a.invalid'], '--host'),
])
def test_wrong_flags_are_a_one_line_error(words, named):
  process, _ = _start(*words)
  said = process.communicate()[1]
  assert process.returncode == 2
  assert named in said and said.count('\n') == 1


@pytest.mark.parametrize('inside', ['', '/stage'])
def test_a_worker_does_not_stage_into_the_dataset(records, inside):
  ended = subprocess.run([
      *prestarted.find_python(), 'tools/serve_input.py', 'worker',
      '--dispatcher=localhost:9', f'--records={records}',
      f'--stage_dir={records}{inside}'
  ],
                         cwd=_ROOT,
                         capture_output=True,
                         text=True,
                         check=False)
  assert ended.returncode == 2 and 'choose another --stage_dir' in ended.stderr
  assert not os.path.exists(f'{records}/stage')


def test_another_server_than_a_dispatcher_is_refused(records):
  # As the address of a worker, which is easily taken for it.
  other = tf.distribute.Server.create_local_server()
  with pytest.raises(errors.DataError, match='not a dispatcher of TensorFlow'):
    _Reading(records, other.target).batches()
