"""strategy: the device that is there."""

import pytest

from hpa_records import schema
from hpa_records.backend import tf
from trainer import strategy

_HAS_GPU = bool(tf.config.list_physical_devices('GPU'))


def test_cpu_is_always_there():
  assert strategy.make('cpu').extended.worker_devices[0].endswith('CPU:0')
  assert strategy.device_name(strategy.make('cpu')) == 'CPU'


def test_auto_takes_a_gpu_if_there_is_one():
  kind = 'GPU:0' if _HAS_GPU else 'CPU:0'
  assert strategy.make('auto').extended.worker_devices[0].endswith(kind)


@pytest.mark.skipif(_HAS_GPU, reason='a GPU is here')
def test_a_gpu_that_is_not_there_is_refused():
  with pytest.raises(schema.DataError, match='received --distribute=gpu'):
    strategy.make('gpu')
