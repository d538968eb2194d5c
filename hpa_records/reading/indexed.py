"""The indexed reader: the epoch plan to the letter, as fast as memory goes.

A batch's rows are known from the plan, so each payload is read straight into
its slot of the batch, several batches at once, each on a thread that does not
hold the GIL while bytes move. Slot j of batch i holds what the plan says, so
order is exact, shuffling global, and the position two integers.

What made it fast (BUILD_NOTES.md, "Indexed reader"): fresh memory for each
batch costs more than its content, since the kernel hands it out page by page
and zeroed; so batches lie in buffers that are used again when TensorFlow has
dropped what it made of them. TensorFlow takes an array that a numpy_function
returns as it is, if it is aligned and no one else holds it: nothing is copied.
Where there is a GPU the buffers are locked in memory, so that it fetches them
itself.
"""

import collections
import contextlib
import ctypes
import functools
import mmap
import weakref

import numpy as np

from hpa_records.format import spec as spec_lib
from hpa_records.reading import batching
from hpa_records.reading import dataset
from hpa_records.reading import pipeline_call
from hpa_records.reading import shards
from hpa_records.runtime import host
from hpa_records.runtime.tensorflow import tf
from hpa_records.sampling import epoch_plan

_IN_FLIGHT_BYTES = 2**30  # of batches that are being filled
_READY = 2  # batches that are filled and wait


def batches(labels: np.ndarray,
            size_px: int,
            payload: shards.Payload | None,
            epoch: epoch_plan.Epoch,
            share: epoch_plan.Share,
            first_step: int = 0,
            buffers: 'Buffers | None' = None) -> tf.data.Dataset:
  """Returns a share of an epoch's batches, as the plan orders them.

  Args:
    labels: [N, K] multi-hot, of all rows.
    size_px: height and width of the images.
    payload: where pixels come from; None leaves the image out.
    epoch: the copies, in the order of training.
    share: which part of each batch to make.
    first_step: the step to start at; what comes before is not read.
    buffers: where batches lie, to use them again in the next epoch; by default
      ones of its own.

  Returns:
    For each step from first_step on, for each of the share's parts, a dict of
      image [b, H, W, C] uint8 (or row [b] int32, epoch_plan.BLANK for a blank),
      labels [b, K] float32 multi-hot, weight [b] float32 (0 for a blank),
      element [b] int32 (the symmetry to apply), slot [b] int32 (places in the
      global batch).

  Raises:
    errors.DataError: as text of a tf.errors.OpError, when a batch is taken;
      see reader.told_errors.
  """
  shape = (share.part_size, size_px, size_px, spec_lib.NUM_CHANNELS)
  # One row more, for blanks: index -1.
  labels = np.pad(labels.astype(np.float32), ((0, 1), (0, 0)))
  buffers = buffers or Buffers()
  count = epoch_plan.num_steps(len(epoch), share.batch_size) * share.count
  in_flight = _in_flight(shape)

  def make(number):
    part = epoch_plan.cut(epoch, share, int(number))
    if payload is None:
      pixels = part.record.astype(np.int32)
    else:
      pixels = buffers.take(shape)
      ahead = int(number) + in_flight  # the first that no thread has begun
      if ahead < count:
        payload.prefetch(epoch_plan.cut(epoch, share, ahead).record)
      payload.read(part.record, pixels)
    return (pixels, labels[part.record], part.weight, part.element, part.slot)

  spec = {
      **({
          dataset.ROW: tf.TensorSpec(shape[:1], tf.int32)
      } if payload is None else {
             spec_lib.IMAGE: tf.TensorSpec(shape, tf.uint8)
         }),
      spec_lib.LABELS:
          tf.TensorSpec((shape[0], spec_lib.NUM_CLASSES), tf.float32),
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
  """How many parts are filled at once: one a core, as far as memory goes."""
  return max(2, min(host.num_cores(), _IN_FLIGHT_BYTES // int(np.prod(shape))))


class Buffers:
  """Arrays that come back when no one holds them any more."""

  def __init__(self):
    self._free = collections.defaultdict(collections.deque)  # by shape

  def take(self, shape: tuple[int, ...]) -> np.ndarray:
    """Returns an array [shape] uint8 with any content, aligned to a page."""
    free = self._free[shape]
    try:
      memory = free.pop()
    except IndexError:
      memory = np.frombuffer(_map_memory(int(np.prod(shape))), np.uint8)
      _lock_for_gpu(memory)
    # A new array for each taker: its end is the end of this use. It is this
    # very object that TensorFlow holds, not a view of it.
    taken = memory.reshape(shape)
    weakref.finalize(taken, free.append, memory)
    return taken


def _map_memory(num_bytes: int) -> mmap.mmap:
  """Memory of its own, in huge pages where the kernel has them."""
  found = mmap.mmap(-1, max(1, num_bytes))
  if hasattr(mmap, 'MADV_HUGEPAGE'):
    found.madvise(mmap.MADV_HUGEPAGE)
  return found


def _lock_for_gpu(memory: np.ndarray) -> None:
  """Locks memory in its place, if there is a GPU, until it is given back.

  A GPU copies from such memory by itself; of other memory the driver makes a
  copy first, which an H100 waits for (BUILD_NOTES.md, "GPU").
  """
  cuda = _load_cuda()
  if cuda is None:
    return
  place = ctypes.c_void_p(memory.ctypes.data)
  portable = 1  # for all GPUs
  if not cuda.cudaHostRegister(place, ctypes.c_size_t(memory.nbytes), portable):
    # Before the memory goes; not at the end of the process, when CUDA may have.
    weakref.finalize(memory, cuda.cudaHostUnregister, place).atexit = False


@functools.cache
def _load_cuda() -> ctypes.CDLL | None:
  """CUDA's runtime, which TensorFlow has loaded if it has a GPU."""
  if tf.config.list_logical_devices('GPU'):
    for name in ('libcudart.so.12', 'libcudart.so.13'):
      with contextlib.suppress(OSError):
        return ctypes.CDLL(name)
  return None
