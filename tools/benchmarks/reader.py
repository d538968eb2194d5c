"""One way to read training batches, in a process of its own.

  python -m benchmarks.reader NAME JOB.json SETTING

benchmarks.input_pipeline runs it. A way is a function of (job, setting, passes)
that gives batches of images, [B, H, W, C] uint8 in whatever array it makes:
each record once a pass, in random order. First one pass is checked: how many
images, and the sum of their bytes. Then as many batches as come in a while are
counted, after some that are not. What is done with a batch is nothing, for all
alike: no float conversion, no copy to a device.

Peers' own formats are written first, from the same pixels, outside of what is
timed. Imports stand inside the functions: each way pays for its own alone.
"""

import collections
import glob
import json
import os
import sys
import time
from typing import Any, Callable, Iterable, Iterator

import numpy as np

# Peers are in an environment of their own.
# pylint: disable=import-outside-toplevel,import-error,c-extension-no-member

_WARM_S = 1.0
_BUFFER = 1500  # images in a shuffle buffer: 512 MiB at 299 px
_FOLD = 0  # held out
_AHEAD = 10  # batches before an epoch's end when the next is begun
_ENDLESS = 10**6  # passes

Job = dict[str, Any]  # records, pixels, csv, images, scratch, batch, seconds
Setting = dict[str, Any]


def _copies(job: Job, setting: Setting, passes: int) -> Iterable:
  """Threads that fill batches from something, in random order."""
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
  from hpa_records.sampling import epoch_plan
  from hpa_records.runtime import process
  process.take()
  from hpa_records.reading import reader
  records = dataset.load(job['records'])
  # An epoch of so few images would else be a buffer's filling and emptying.
  how = dataset.How(reader=setting['reader'],
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
      'labels': tf.io.FixedLenFeature([28], tf.int64),
  }

  def decode(found):
    image = tf.io.decode_raw(found['image'], tf.uint8)
    return tf.reshape(image, (-1, size, size, 4)), found['labels']

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
      num_parallel_calls=threads).shuffle(_BUFFER)
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
  found = builder.as_dataset(
      split='+'.join(splits),
      shuffle_files=True,
      read_config=tfds.ReadConfig(
          interleave_cycle_length=setting['cycle'],
          try_autocache=False)).repeat(passes).shuffle(_BUFFER)
  for batch in found.batch(job['batch']).prefetch(tf.data.AUTOTUNE):
    yield batch['image']


def _grain(job: Job, setting: Setting, passes: int) -> Iterable:
  """array_record through grain, shuffled as a whole."""
  import grain
  from array_record.python import array_record_module
  pixels = np.load(job['pixels'], mmap_mode='r')
  path = os.path.join(job['scratch'], 'records.array_record')
  if not os.path.exists(path):
    # Not compressed: as our own records.
    writer = array_record_module.ArrayRecordWriter(path,
                                                   'group_size:1,uncompressed')
    for image in pixels:
      writer.write(image.tobytes())
    writer.close()
  shape = pixels.shape[1:]
  source = grain.sources.ArrayRecordDataSource(path)
  found = grain.MapDataset.source(source).shuffle(seed=0).repeat(passes).map(
      lambda data: np.frombuffer(data, np.uint8).reshape(shape))
  options = grain.ReadOptions(num_threads=setting['threads'],
                              prefetch_buffer_size=setting['buffer'])
  found = found.batch(job['batch']) if setting['batch_first'] else found
  found = found.to_iter_dataset(options)
  yield from found if setting['batch_first'] else found.batch(job['batch'])


def _webdataset(job: Job, setting: Setting, passes: int) -> Iterable:
  """Tar shards through webdataset."""
  import webdataset
  pixels = np.load(job['pixels'], mmap_mode='r')
  pattern = os.path.join(job['scratch'], 'web-%04d.tar')
  if not glob.glob(pattern.replace('%04d', '*')):
    per_shard = -(-len(pixels) // 8)
    with webdataset.ShardWriter(pattern, maxcount=per_shard, verbose=0) as sink:
      for number, image in enumerate(pixels):
        sink.write({'__key__': f'{number:06d}', 'pixels': image.tobytes()})
  shape = pixels.shape[1:]

  def decode(sample):
    return np.frombuffer(sample[0], np.uint8).reshape(shape)

  found = webdataset.WebDataset(sorted(glob.glob(pattern.replace('%04d', '*'))),
                                shardshuffle=8,
                                nodesplitter=None,
                                workersplitter=webdataset.split_by_worker)
  found = found.shuffle(
      _BUFFER //
      max(1, setting['workers'])).to_tuple('pixels').map(decode).batched(
          job['batch'], collation_fn=np.stack)
  for _ in range(passes):
    yield from webdataset.WebLoader(found,
                                    batch_size=None,
                                    num_workers=setting['workers'])


def _mosaic(job: Job, setting: Setting, passes: int) -> Iterable:
  """MDS shards through mosaicml-streaming and torch's DataLoader."""
  import torch
  import streaming
  pixels = np.load(job['pixels'], mmap_mode='r')
  path = os.path.join(job['scratch'], 'mosaic')
  if not os.path.exists(path):
    with streaming.MDSWriter(out=path, columns={'image': 'bytes'}) as writer:
      for image in pixels:
        writer.write({'image': image.tobytes()})
  shape, batch = pixels.shape[1:], job['batch']
  streaming.base.util.clean_stale_shared_memory()
  found = streaming.StreamingDataset(local=path,
                                     shuffle=True,
                                     batch_size=batch,
                                     num_canonical_nodes=1)

  def collate(samples):
    return torch.from_numpy(
        np.stack([
            np.frombuffer(each['image'], np.uint8).reshape(shape)
            for each in samples
        ]))

  for _ in range(passes):
    yield from torch.utils.data.DataLoader(found,
                                           batch,
                                           num_workers=setting['workers'],
                                           collate_fn=collate)


class _Pngs:
  """Four PNGs a sample, decoded and reduced with OpenCV."""

  def __init__(self, job: Job):
    self._files, self._size = job['files'], job['size']

  def __len__(self) -> int:
    return len(self._files)

  def __getitem__(self, row: int) -> np.ndarray:
    import cv2
    cv2.setNumThreads(1)
    planes = [cv2.imread(p, cv2.IMREAD_GRAYSCALE) for p in self._files[row]]
    return cv2.resize(cv2.merge(planes), (self._size, self._size),
                      interpolation=cv2.INTER_AREA)


class _Rows:
  """Images of one .npy file, mapped into memory."""

  def __init__(self, job: Job):
    self._pixels = np.load(job['pixels'], mmap_mode='r')

  def __len__(self) -> int:
    return len(self._pixels)

  def __getitem__(self, row: int) -> np.ndarray:
    return self._pixels[row]


def _torch(job: Job, setting: Setting, passes: int) -> Iterable:
  """torch's DataLoader, shuffled as a whole."""
  import torch
  found = _Pngs(job) if setting['source'] == 'png' else _Rows(job)

  def collate(images):
    return torch.from_numpy(np.stack(images))

  for _ in range(passes):
    yield from torch.utils.data.DataLoader(found,
                                           job['batch'],
                                           shuffle=True,
                                           num_workers=setting['workers'],
                                           collate_fn=collate)


WAYS: dict[str, Callable[[Job, Setting, int], Iterable]] = {
    'copies': _copies,
    'ours': _ours,
    'tf_records': _tf_records,
    'tfds': _tfds,
    'grain': _grain,
    'webdataset': _webdataset,
    'mosaic': _mosaic,
    'torch': _torch,
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
  """Returns images a second, once it has run for a while."""
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
