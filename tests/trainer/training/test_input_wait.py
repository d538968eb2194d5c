"""input_wait: what a step waits for is the input alone."""

import os
import subprocess
import sys
import time

import numpy as np
import pytest

from hpa_records.runtime.tensorflow import tf
from trainer.training import input_wait

_SLOW_S = 0.3


@tf.numpy_function(Tout=tf.float32)
def _sleep(number):
  time.sleep(_SLOW_S)
  return np.float32(number)


@pytest.mark.parametrize('slow_input', [True, False])
def test_a_slow_input_is_what_is_waited_for_and_a_slow_step_is_not(slow_input):
  # Nothing is read ahead: each element is made when it is asked for.
  batches = tf.data.Dataset.range(2).map(lambda number: _sleep(number)
                                         if slow_input else number)

  @tf.function
  def take(iterator):
    before = tf.zeros([]) if slow_input else _sleep(0)
    return input_wait.take(iterator, before)[1]

  begun = time.monotonic()
  waited_s = float(take(iter(batches)))
  took_s = time.monotonic() - begun
  if slow_input:
    assert _SLOW_S * 0.99 <= waited_s <= took_s
  else:
    assert waited_s <= took_s - _SLOW_S * 0.99


def test_a_tensorflow_that_is_deterministic_has_no_clock():
  code = ('from trainer.training import input_wait; '
          'print(input_wait.has_clock())')
  for wanted in ('0', '1'):
    done = subprocess.run([sys.executable, '-c', code],
                          env=os.environ | {'TF_DETERMINISTIC_OPS': wanted},
                          check=True,
                          capture_output=True,
                          text=True)
    assert done.stdout == f'{wanted == "0"}\n'


def test_an_iterator_is_read_where_there_is_no_clock(monkeypatch):
  monkeypatch.setattr(input_wait, 'has_clock', lambda: False)
  batch, waited = input_wait.take(iter([5]), tf.zeros([]))
  assert batch == 5 and waited == 0
