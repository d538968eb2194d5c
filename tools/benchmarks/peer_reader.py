"""Ways to read training batches with other libraries; see reader.py.

The formats of the peers are written first, from the same pixels, and not timed.
Imports stand inside the functions, so that each way pays for its own alone.
"""

import glob
import os
from typing import Any, Callable, Iterable

import numpy as np

# Peers are in an environment of their own.
# pylint: disable=import-outside-toplevel,import-error,c-extension-no-member

BUFFER = 1500  # images in a shuffle buffer: 512 MiB at 299 px

Job = dict[str, Any]  # as input_pipeline.measure writes it
Setting = dict[str, Any]


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
      BUFFER //
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
  """Images of one memory-mapped .npy file."""

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


def _open(job: Job, setting: Setting, passes: int) -> Iterable:
  """hpa_records.open under torch's DataLoader, shuffled as a whole."""
  from torch.utils import data
  import hpa_records
  found, _ = hpa_records.open(job['records']).split(job['held_out'])
  if setting['batches'] == 'sampler':  # source[[i, j, ...]], and no copy
    order = data.BatchSampler(data.RandomSampler(found), job['batch'], False)
    loader = data.DataLoader(found,
                             batch_size=None,
                             sampler=order,
                             num_workers=setting['workers'])
  else:  # source.__getitems__, and torch copies the samples into a batch
    loader = data.DataLoader(found,
                             job['batch'],
                             shuffle=True,
                             num_workers=setting['workers'])
  for _ in range(passes):
    for batch in loader:
      yield batch['image']


WAYS: dict[str, Callable[[Job, Setting, int], Iterable]] = {
    'grain': _grain,
    'webdataset': _webdataset,
    'mosaic': _mosaic,
    'torch': _torch,
    'open': _open,
}
