"""buffers: memory is used again when nothing references it, never before."""

import os
import pickle

import numpy as np

from hpa_records.reading.payload import buffers as buffers_lib

_SHAPE = (3, 5, 7)


def _place(array):
  return array.__array_interface__['data'][0]


def test_memory_is_used_again_when_the_array_is_gone():
  buffers = buffers_lib.Buffers()
  first = buffers.take(_SHAPE)
  place = _place(first)
  assert _place(buffers.take(_SHAPE)) != place
  del first
  assert place in {_place(buffers.take(_SHAPE)) for _ in range(2)}


def test_a_view_of_a_view_keeps_the_memory():
  buffers = buffers_lib.Buffers()
  view = buffers.take(_SHAPE)[1:][0][2:]
  view[...] = 7
  taken = [buffers.take(_SHAPE) for _ in range(3)]
  for each in taken:
    each[...] = 9
  assert (view == 7).all()


def test_arrays_of_another_size_get_other_memory():
  buffers = buffers_lib.Buffers()
  place = _place(buffers.take(_SHAPE))
  assert buffers.take((2, 5, 7)).shape == (2, 5, 7)
  assert _place(buffers.take((5, 21))) == place


def test_no_more_memory_is_kept_than_asked_for():
  buffers = buffers_lib.Buffers(most_free=2)
  prepared = []
  buffers = buffers_lib.Buffers(2, lambda memory: prepared.append(len(memory)))
  del [buffers.take(_SHAPE) for _ in range(5)][:]
  held = [buffers.take(_SHAPE) for _ in range(5)]
  assert prepared == [105] * (len(held) + 3)


def test_a_pickled_copy_has_no_memory():
  buffers = buffers_lib.Buffers(2)
  place = _place(buffers.take(_SHAPE))
  copy = pickle.loads(pickle.dumps(buffers))
  assert _place(copy.take(_SHAPE)) != place


def test_a_child_does_not_write_into_the_arrays_of_its_parent():
  buffers = buffers_lib.Buffers()
  array = buffers.take(_SHAPE)
  array[...] = 7
  child = os.fork()
  if not child:
    array[...] = 9
    os._exit(0)
  assert os.waitpid(child, 0)[1] == 0
  np.testing.assert_array_equal(array, np.full(_SHAPE, 7))
