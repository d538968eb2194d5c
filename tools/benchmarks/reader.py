"""One way to read training batches, in its own process.

  python -m benchmarks.reader NAME JOB.json SETTING

benchmarks.input_pipeline runs it. A way is a function of (job, setting, passes)
that yields batches of images, [B, H, W, C] uint8 in any type of array: each
record once in each pass, in random order. First, one pass is checked: number of
images, and sum of their bytes. Then batches are counted for some seconds, after
a warm-up. They are dropped: no conversion to float, no copy to a device.

Imports stand inside the functions, so that each way pays for its own alone.
"""

import collections
import glob
import json
import os
import sys
import time
from typing import Callable, Iterable, Iterator

import numpy as np

from benchmarks import peer_reader

# pylint: disable=import-outside-toplevel

_WARM_S = 1.0
_FOLD = 0  # held out
_AHEAD = 10  # batches before an epoch's end when the next is begun
_ENDLESS = 10**6  # passes

Job = peer_reader.Job
Setting = peer_reader.Setting


def _copies(job: Job, setting: Setting, passes: int) -> Iterable:
  """Threads that copy images into batches, in random order."""
  from concurrent import futures
  pixels = np.load(job['pixels'])
  batch, flat = job['batch'], pixels.reshape(len(pixels), -1)
  fill = _from_memory(flat) if setting['source'] == 'memory' else _from_file(
      job['pixels'], flat)
  # As many at work as there are threads, one that is looked at, one ready.
  ahead = setting['threads'] + 1
  buffers = [
      np.ones((batch, flat.shape[1]), np.uint8) for _ in range(ahead + 1)
  ]

  def make(number, rows):
    out = buffers[number % len(buffers)][:len(rows)]
    fill(rows.tolist(), out)
    return out.reshape(len(rows), *pixels.shape[1:])

  waiting = collections.deque()
  with futures.ThreadPoolExecutor(setting['threads']) as pool:
    for number, rows in enumerate(_random_batches(len(flat), batch, passes)):
      waiting.append(pool.submit(make, number, rows))
      if len(waiting) == ahead:
        yield waiting.popleft().result()
    for each in waiting:
      yield each.result()


def _random_batches(length: int, batch: int, passes: int) -> Iterator:
  rng = np.random.default_rng(0)
  for _ in range(passes):
    order = rng.permutation(length)
    yield from (order[i:i + batch] for i in range(0, length, batch))


def _from_memory(flat: np.ndarray) -> Callable:

  def fill(rows, out):
    for row, pixels in zip(rows, out):
      pixels[:] = flat[row]

  return fill


def _from_file(path: str, flat: np.ndarray) -> Callable:
  file, size = os.open(path, os.O_RDONLY), flat.shape[1]
  head = os.path.getsize(path) - flat.nbytes

  def fill(rows, out):
    for row, pixels in zip(rows, out):
      os.preadv(file, [pixels], head + row * size)

  return fill


def _ours(job: Job, setting: Setting, passes: int) -> Iterable:
  """This project's readers."""
  from hpa_records.reading import dataset
  from hpa_records.reading import how as how_lib
  from hpa_records.sampling import epoch_plan
  from hpa_records.runtime import process
  process.take()
  from hpa_records.reading import reader
  records = dataset.load(job['records'])
  # An epoch of so few images would else be a buffer's filling and emptying.
  how = how_lib.How(reader=setting['reader'],
                    check=setting['check'],
                    shuffle_mb=64)
  way = reader.Reader(records, _FOLD, how)
  once = (records.index['fold'] != _FOLD).to_numpy(np.float32)
  augment = 'all' if setting['transform'] else 'none'
  # An epoch of some passes, so that its start counts for little; not where
  # what is drawn twice would be read once.
  together = min(passes, 20) if way.kind == 'indexed' else 1

  def begin(number):
    key = epoch_plan.Key(0, number, _FOLD)
    epoch = epoch_plan.shuffle(together * once, key, augment)
    share = epoch_plan.Share(job['batch'])
    return (epoch_plan.num_steps(len(epoch), share.batch_size),
            iter(way.training(epoch, key, share)))

  steps, batches = begin(0)
  for number in range(passes // together):
    upcoming = steps, None
    for step, batch in zip(range(steps), batches):
      if step == max(0, steps - _AHEAD) and number + 1 < passes // together:
        upcoming = begin(number + 1)  # as trainer.training.loop does
      image = batch['image']
      if setting['transform']:
        from trainer.augmentation import dihedral
        image = dihedral.transform(image, batch['element'])
      # What fills the last batch up is not counted; there are few of many.
      yield image[:int(batch['weight'].numpy().sum())] if passes == 1 else image
    steps, batches = upcoming


def _tf_records(job: Job, setting: Setting, passes: int) -> Iterable:
  """The usual tf.data pipeline over the same shards."""
  import tensorflow as tf
  size, batch = job['size'], job['batch']
  threads = setting['threads'] or tf.data.AUTOTUNE
  features = {
      'image': tf.io.FixedLenFeature([], tf.string),
      'labels': tf.io.FixedLenFeature([job['num_classes']], tf.int64),
  }

  def decode(found):
    if job['encoding'] == 'png':  # one at a time
      image = tf.io.decode_png(found['image'], job['num_channels'])[None]
    else:
      image = tf.io.decode_raw(found['image'], tf.uint8)
    shape = (-1, size, size, job['num_channels'])
    return tf.reshape(image, shape), found['labels']

  def parse_batch(serialized):
    return decode(tf.io.parse_example(serialized, features))

  def parse_one(serialized):
    image, labels = decode(tf.io.parse_single_example(serialized, features))
    return image[0], labels

  options = tf.data.Options()
  options.deterministic = False
  names = [
      name for name in sorted(glob.glob(f'{job["records"]}/*.tfrecord'))
      if not os.path.basename(name).startswith(f'fold{_FOLD}-')
  ]
  found = tf.data.Dataset.from_tensor_slices(names).shuffle(len(names))
  found = found.repeat(passes).interleave(
      lambda name: tf.data.TFRecordDataset(name, buffer_size=setting['read']),
      cycle_length=8,
      num_parallel_calls=threads).shuffle(peer_reader.BUFFER)
  if setting['batch_first']:
    found = found.batch(batch).map(parse_batch, threads)
  else:
    found = found.map(parse_one, threads).batch(batch)
  for image, _ in found.prefetch(tf.data.AUTOTUNE).with_options(options):
    yield image


def _tfds(job: Job, setting: Setting, passes: int) -> Iterable:
  """TensorFlow Datasets, which opens the same folder."""
  import tensorflow as tf
  import tensorflow_datasets as tfds
  builder = tfds.builder_from_directory(job['records'])
  splits = sorted(
      name for name in builder.info.splits if name != f'fold{_FOLD}')
  found = builder.as_dataset(split='+'.join(splits),
                             shuffle_files=True,
                             read_config=tfds.ReadConfig(
                                 interleave_cycle_length=setting['cycle'],
                                 try_autocache=False)).repeat(passes).shuffle(
                                     peer_reader.BUFFER)
  for batch in found.batch(job['batch']).prefetch(tf.data.AUTOTUNE):
    yield batch['image']


WAYS: dict[str, Callable[[Job, Setting, int], Iterable]] = {
    'copies': _copies,
    'ours': _ours,
    'tf_records': _tf_records,
    'tfds': _tfds,
    **peer_reader.WAYS,
}


def check(batches: Iterable) -> dict[str, int]:
  """Returns how many images there are, and the sum of their bytes."""
  count = total = 0
  for batch in batches:
    image = np.asarray(batch)
    count += len(image)
    total += int(image.sum(dtype=np.int64))
  return {'count': count, 'sum': total}


def rate(batches: Iterator, seconds: float) -> float:
  """Returns images/s, after a warm-up."""
  begun, count = time.perf_counter(), 0
  for batch in batches:
    if time.perf_counter() - begun >= _WARM_S:
      break
  begun = time.perf_counter()
  for batch in batches:
    count += len(batch)
    taken = time.perf_counter() - begun
    if taken >= seconds:
      return count / taken
  raise RuntimeError('Expected batches without end, received too few.')


def main() -> None:
  """Runs the way of the arguments, and prints its numbers as JSON."""
  name, path, setting = sys.argv[1:]
  with open(path, encoding='utf-8') as file:
    job = json.load(file)
  way, setting = WAYS[name], json.loads(setting)
  checked = check(way(job, setting, 1))
  batches = iter(way(job, setting, _ENDLESS))
  print(json.dumps({
      **checked, 'rate': rate(batches, job['seconds'])
  }),
        flush=True)
  os._exit(0)  # readers' own threads and workers need not end one by one


if __name__ == '__main__':
  main()
