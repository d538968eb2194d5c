"""strategy: the device that is there."""

import os
import subprocess
import sys

import pytest

from hpa_records.runtime import errors
from hpa_records.runtime import tensorflow
from hpa_records.runtime.tensorflow import tf
from tests.support import driver
from tests.support import prestarted
from trainer import accelerator
from trainer import strategy

_HAS_GPU = bool(tf.config.list_physical_devices('GPU'))
_HAS_CUDA = tf.sysconfig.get_build_info()['is_cuda_build']
_TRY_ALL = '''
import os
from trainer import strategy
for distribute in ('auto', 'gpu', 'mirrored', 'cpu'):
  try:
    print(strategy.describe(strategy.make(distribute)))
  except ValueError as error:
    print(error)
os.environ['TF_CONFIG'] = (
    '{"cluster": {"worker": ["a:1", "b:1"]}, '
    '"task": {"type": "worker", "index": 0}}')
strategy.make('auto')
'''
_TRY_TPU = '''
from trainer import strategy
from trainer import tpu
tpu._TIMEOUT_S = 0.1
strategy.make('tpu', 'grpc://127.0.0.1:9')
'''


def test_cpu_is_always_there():
  assert strategy.make('cpu').extended.worker_devices[0].endswith('CPU:0')
  assert strategy.describe(strategy.make('cpu')) == 'the CPU'


def test_auto_takes_a_gpu_if_there_is_one():
  kind = 'GPU:0' if _HAS_GPU else 'CPU:0'
  assert strategy.make('auto').extended.worker_devices[0].endswith(kind)


def test_what_works_alone_asks_no_others(monkeypatch):
  monkeypatch.setenv('TF_CONFIG', '{"cluster": {"worker": ["a:1", "b:1"]}}')
  found = strategy.make('auto', alone=True)
  assert not isinstance(found, tf.distribute.MultiWorkerMirroredStrategy)


@pytest.mark.skipif(_HAS_GPU, reason='a GPU is here')
def test_a_gpu_that_is_not_there_is_refused():
  with pytest.raises(errors.DataError, match='No GPU for --distribute=gpu'):
    strategy.make('gpu')


@pytest.mark.skipif(_HAS_CUDA, reason='needs a TensorFlow without CUDA')
def test_a_gpu_that_tensorflow_does_not_list_stops_all_but_the_cpu(tmp_path):
  done = subprocess.run([sys.executable, '-c', _TRY_ALL],
                        check=False,
                        capture_output=True,
                        text=True,
                        env=os.environ |
                        {'LD_LIBRARY_PATH': driver.build(tmp_path)})
  *refused, cpu = done.stdout.splitlines()
  assert len(refused) == 3 and cpu == 'the CPU', done.stderr
  for each in refused:
    assert each.startswith('This machine has an NVIDIA GPU, but this')
    assert each.endswith('[gpu]" in a new environment, or pass '
                         '--distribute=cpu.')
  assert 'or pass --distribute=multi_worker.' in done.stderr


def test_a_tpu_that_tensorflow_does_not_list_stops_auto(monkeypatch):
  monkeypatch.setattr(accelerator, 'has_tpu', lambda: True)
  with pytest.raises(errors.DataError, match='^This machine has a TPU, but '):
    strategy.make('auto')
  strategy.make('cpu')


def test_a_tpu_is_waited_for_in_the_open():
  done = prestarted.run(['-c', _TRY_TPU])
  assert done.stdout == (
      'Waiting for the TPU grpc://127.0.0.1:9, at most 0 s.\n')
  assert 'Cannot reach the TPU --tpu=grpc://127.0.0.1:9: no ' in done.stderr


@pytest.mark.skipif(tensorflow.IS_FOR_TPUS, reason='this is it')
def test_a_tpu_needs_its_own_tensorflow():
  with pytest.raises(errors.DataError, match=r'pip install "hpa-records\[tpu'):
    strategy.make('tpu')


def test_xla_is_on_where_it_pays():
  cpu = strategy.make('cpu')
  assert not strategy.compiles(cpu, 'auto') and not strategy.compiles(
      cpu, 'off')
  if tensorflow.IS_FOR_TPUS:
    with pytest.raises(errors.DataError, match='compiles for TPUs only'):
      strategy.compiles(cpu, 'on')
  else:
    assert strategy.compiles(cpu, 'on')


@pytest.mark.parametrize('config,message', [
    ('', 'needs TF_CONFIG with the addresses of the workers'),
    ('{"cluster": ', 'Invalid TF_CONFIG: '),
])
def test_workers_that_are_not_listed_are_refused(monkeypatch, config, message):
  monkeypatch.setenv('TF_CONFIG', config)
  with pytest.raises(errors.DataError, match=message):
    strategy.make('multi_worker')


def test_one_process_is_its_own_chief():
  assert strategy.is_chief(strategy.make('cpu'))


def test_memory_that_ran_out_is_told_in_one_line():
  found = strategy.make('cpu')
  with pytest.raises(errors.StoppedEarly, match='Out of memory on the CPU: '):
    with strategy.translate_errors(found):
      tf.zeros([2**24, 2**24])
