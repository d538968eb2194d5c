"""The indexed reader: batches in exactly the order of the epoch plan.

The plan defines the rows of each batch. Each payload is read directly into its
slot, by several threads, each with a batch of its own, without the GIL. So
shuffling is global, and a position in an epoch is two integers. What is read
from an address is requested some batches ahead, in the order of the plan.

Batches are in buffers that are reused when TensorFlow has released them: new
memory for each batch costs more than its content, since the kernel zeroes it
page by page. TensorFlow uses the array of a numpy_function without a copy if it
is aligned and has no other reference. With a GPU the buffers are page-locked
(BUILD_NOTES.md, "Indexed reader").
"""

import contextlib
import ctypes
import functools
import threading
from typing import Any, Callable, Iterator
import weakref

import numpy as np

from hpa_records.format import spec as spec_lib
from hpa_records.reading import batching
from hpa_records.reading import dataset
from hpa_records.reading import pipeline_call
from hpa_records.reading.payload import buffers as buffers_lib
from hpa_records.reading.payload import payload as payload_lib
from hpa_records.runtime import host
from hpa_records.runtime.tensorflow import tf
from hpa_records.sampling import epoch_plan

_IN_FLIGHT_BYTES = 2**30  # of batches that are being filled
_READY = 2  # batches that are filled and wait
_MOST_AHEAD = 64  # batches that are begun before they are filled


@contextlib.contextmanager
def translate_errors(payload: payload_lib.Payload) -> Iterator[None]:
  """Replaces TensorFlow's error in a block that reads batches of a payload.

  Raises:
    errors.DataError: names the file, in place of TensorFlow's error.
  """
  try:
    yield
  except tf.errors.OpError as error:
    if payload.error:
      raise payload.error from error
    raise


def batches(labels: np.ndarray,
            image_shape: tuple[int, int, int],
            payload: payload_lib.Payload | None,
            epoch: epoch_plan.Epoch,
            share: epoch_plan.Share,
            first_step: int = 0,
            buffers: buffers_lib.Buffers | None = None) -> tf.data.Dataset:
  """Returns a share of an epoch's batches, in the order of the plan.

  Args:
    labels: [N, K] multi-hot, of all rows.
    image_shape: (H, W, C) of the images.
    payload: reads the pixels; None leaves the image out.
    epoch: the copies, in the order of training.
    share: the part of each batch to make.
    first_step: the step to start at; earlier ones are not read.
    buffers: memory of the batches, to reuse it in the next epoch; None makes
      new ones.

  Returns:
    For each step from first_step on, for each of the share's parts, a dict of
      image [b, H, W, C] uint8 (or row [b] int32, epoch_plan.BLANK for a blank),
      labels [b, K] float32 multi-hot, weight [b] float32 (0 for a blank),
      element [b] int32 (the symmetry to apply), slot [b] int32 (places in the
      global batch).

  Raises:
    errors.DataError: when a batch is read, as the text of a tf.errors.OpError;
      see Reader.translate_errors, and translate_errors of this module.
  """
  shape = (share.part_size, *image_shape)
  # An extra row for blanks, index -1.
  labels = np.pad(labels, ((0, 1), (0, 0)))
  buffers = buffers or make_buffers()
  count = epoch_plan.num_steps(len(epoch), share.batch_size) * share.count
  in_flight = _in_flight(shape)
  ahead = None
  if payload is not None:
    depth = max(in_flight, payload.ahead_bytes // int(np.prod(shape)))
    ahead = _Ahead(
        lambda number: payload.prefetch(
            epoch_plan.cut(epoch, share, number).record),
        first_step * share.count, count, min(depth, _MOST_AHEAD))

  def make(number):
    part = epoch_plan.cut(epoch, share, int(number))
    if payload is None:
      pixels = part.record.astype(np.int32)
    else:
      pixels = buffers.take(shape)
      payload.read(part.record, pixels, ahead.take(int(number)))
    return (pixels, labels[part.record].astype(np.float32), part.weight,
            part.element, part.slot)

  spec = {
      **({
          dataset.ROW: tf.TensorSpec(shape[:1], tf.int32)
      } if payload is None else {
             spec_lib.IMAGE: tf.TensorSpec(shape, tf.uint8)
         }),
      spec_lib.LABELS:
          tf.TensorSpec((shape[0], labels.shape[1]), tf.float32),
      dataset.WEIGHT:
          tf.TensorSpec(shape[:1], tf.float32),
      dataset.ELEMENT:
          tf.TensorSpec(shape[:1], tf.int32),
      dataset.SLOT:
          tf.TensorSpec(shape[:1], tf.int32),
  }

  def gather(number):
    made = tf.numpy_function(pipeline_call.weak(make), [number],
                             [s.dtype for s in spec.values()])
    return {
        name: tf.ensure_shape(value, spec[name].shape)
        for name, value in zip(spec, made)
    }

  numbers = tf.data.Dataset.range(first_step * share.count, count)
  made = numbers.map(gather, in_flight, deterministic=True)
  made = made.with_options(batching.global_batches()).prefetch(_READY)
  return pipeline_call.keep(made, make)


def _in_flight(shape: tuple[int, ...]) -> int:
  """Returns the number of parts to fill at once: one a core, up to 1 GiB."""
  return max(2, min(host.num_cores(), _IN_FLIGHT_BYTES // int(np.prod(shape))))


class _Ahead:
  """Begins to read parts in their order, some of them ahead."""

  def __init__(self, begin: Callable[[int], Any], first: int, count: int,
               depth: int):
    """Prepares to begin the parts first, first + 1, ... count - 1.

    Args:
      begin: begins a part and returns what its reading needs.
      first: number of the first part.
      count: number of the last one, plus 1.
      depth: parts to begin after the one that is taken.
    """
    self._begin, self._first, self._count = begin, first, count
    self._next, self._depth, self._lock = first, depth, threading.Lock()
    self._begun: dict[int, Any] = {}
    self._taken: set[int] = set()

  def take(self, number: int) -> Any:
    """Returns what begin returned for a part; None if it is not begun."""
    with self._lock:
      if number in self._taken:  # another iterator of the same pipeline
        self._begun.clear()
        self._taken.clear()
        self._next = self._first
      self._taken.add(number)
      while self._next <= min(number + self._depth, self._count - 1):
        self._begun[self._next] = self._begin(self._next)
        self._next += 1
      return self._begun.pop(number, None)


def make_buffers() -> buffers_lib.Buffers:
  """Returns memory for batches, page-locked if there is a GPU."""
  return buffers_lib.Buffers(prepare=_lock_for_gpu)


def _lock_for_gpu(memory: np.ndarray) -> None:
  """Page-locks memory until it is freed, if there is a GPU.

  A GPU copies from page-locked memory directly. For other memory the driver
  makes a copy first, which an H100 waits for (BUILD_NOTES.md, "GPU").
  """
  cuda = _load_cuda()
  if cuda is None:
    return
  place = ctypes.c_void_p(memory.ctypes.data)
  portable = 1  # for all GPUs
  if not cuda.cudaHostRegister(place, ctypes.c_size_t(memory.nbytes), portable):
    # Not at the exit of the process: CUDA may be unloaded by then.
    weakref.finalize(memory, cuda.cudaHostUnregister, place).atexit = False


@functools.cache
def _load_cuda() -> ctypes.CDLL | None:
  """Returns CUDA's runtime library, which TensorFlow has loaded for a GPU."""
  if tf.config.list_logical_devices('GPU'):
    for name in ('libcudart.so.12', 'libcudart.so.13'):
      with contextlib.suppress(OSError):
        return ctypes.CDLL(name)
  return None
