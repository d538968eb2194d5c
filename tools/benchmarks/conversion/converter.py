"""One way of converting, in its own process, for benchmarks.conversion.convert.

  python -m benchmarks.conversion.converter NAME JOB.json

The job has the samples, the size and the output; the result is printed as JSON.
Imports stand inside the functions, so that each peer pays for its own alone.
The peers are given what the converter has to find out: the list of files, that
they are valid, the labels, and an order.

Everything is converted twice. wall_s and cpu_s are of the second loop alone.
again is the whole second conversion: the caller subtracts it from the process,
which leaves the first conversion with start and end of the process, without a
second import of TensorFlow.
"""

import functools
import json
import os
import pathlib
import resource
import struct
import sys
import time
import zlib
from typing import Any, Iterable

# pylint: disable=import-outside-toplevel

_FEW = 10  # samples; two for each of the converter's five folds

_Sample = dict[str, Any]  # id, labels, files: of one row of the CSV


def _pillow(samples: list[_Sample], size_px: int) -> Iterable:
  """Pillow: each plane decoded and resized separately, then stacked."""
  import numpy as np
  from PIL import Image
  for sample in samples:
    planes = []
    for path in sample['files']:
      with Image.open(path) as file:
        planes.append(
            np.asarray(
                file.resize((size_px, size_px), Image.Resampling.BILINEAR)))
    yield np.stack(planes, axis=-1)


def _opencv(samples: list[_Sample], size_px: int) -> Iterable:
  """OpenCV: four planes merged, then resized at once."""
  import cv2
  cv2.setNumThreads(1)
  for sample in samples:
    planes = [cv2.imread(p, cv2.IMREAD_GRAYSCALE) for p in sample['files']]
    yield cv2.resize(cv2.merge(planes), (size_px, size_px),
                     interpolation=cv2.INTER_AREA)


def _graph(samples: list[_Sample], size_px: int) -> Iterable:
  """tf.data: decode and resize in a graph, one thread."""
  tf = import_tensorflow()

  def load(paths):
    planes = [
        tf.io.decode_png(tf.io.read_file(paths[c]), channels=1)
        for c in range(4)
    ]
    resized = tf.image.resize(tf.concat(planes, axis=-1), (size_px, size_px),
                              antialias=True)
    return tf.cast(tf.round(resized), tf.uint8)

  options = tf.data.Options()
  options.threading.private_threadpool_size = 1
  options.threading.max_intra_op_parallelism = 1
  paths = tf.data.Dataset.from_tensor_slices([s['files'] for s in samples])
  return paths.map(load).with_options(options).as_numpy_iterator()


def _tifffile(samples: list[_Sample], size_px: int) -> Iterable:
  """tifffile and Pillow: 16-bit planes resized separately, then scaled."""
  import numpy as np
  from PIL import Image
  import tifffile
  for sample in samples:
    planes = []
    for path in sample['files']:
      plane = Image.fromarray(tifffile.imread(path)).resize(
          (size_px, size_px), Image.Resampling.BILINEAR)
      planes.append(np.rint(np.asarray(plane) * (255 / 65535)).astype(np.uint8))
    yield np.stack(planes, axis=-1)


_IMAGES = {
    'pillow': _pillow,
    'opencv': _opencv,
    'graph': _graph,
    'tifffile': _tifffile
}


@functools.lru_cache(maxsize=1)
def import_tensorflow():
  """Returns TensorFlow, set to one thread."""
  import tensorflow as tf
  tf.config.threading.set_intra_op_parallelism_threads(1)
  tf.config.threading.set_inter_op_parallelism_threads(1)
  return tf


def _write(name: str, samples: list[_Sample], path: str, size_px: int) -> dict:
  """Writes the records of a peer by TensorFlow's own means."""
  tf = import_tensorflow()
  images = _IMAGES[name](samples, size_px)
  clock = _Clock()
  with tf.io.TFRecordWriter(path) as writer:
    for sample, image in zip(samples, images):
      writer.write(_example(sample, image.tobytes()))
  return clock.read()


def _example(sample: _Sample, image: bytes) -> bytes:
  """Returns a record with the converter's keys, by way of protobuf."""
  train = import_tensorflow().train

  def int64s(values):
    return train.Feature(int64_list=train.Int64List(value=values))

  def of_bytes(value):
    return train.Feature(bytes_list=train.BytesList(value=[value]))

  feature = {
      'id': of_bytes(sample['id'].encode()),
      'fold': int64s([0]),
      'labels': int64s(sample['labels']),
      'repeats': train.Feature(float_list=train.FloatList(value=[1.0] * 5)),
      'image': of_bytes(image),
  }
  return train.Example(features=train.Features(
      feature=feature)).SerializeToString()


def _inflate(name: str, samples: list[_Sample], path: str,
             size_px: int) -> dict:
  """Lower bound: files read and their pixels inflated, nothing else."""
  del name, path, size_px
  clock, num_bytes = _Clock(), 0
  for sample in samples:
    for file in sample['files']:
      num_bytes += len(inflate(pathlib.Path(file).read_bytes()))
  return {**clock.read(), 'num_bytes': num_bytes, 'num_samples': len(samples)}


def inflate(data: bytes) -> bytes:
  """Returns the inflated IDAT of a PNG: filter bytes and filtered pixels.

  Source: PNG specification (W3C), 5.3 chunk layout.
  """
  position, found = 8, []
  while position < len(data):
    length, kind = struct.unpack_from('>I4s', data, position)
    if kind == b'IDAT':
      found.append(data[position + 8:position + 8 + length])
    position += 12 + length
  return zlib.decompress(b''.join(found))


def _peer(name: str, job: dict) -> dict:
  measure = _inflate if name == 'inflate' else _write
  measure(name, job['samples'], job['output'], job['image_size'])
  clock = _Clock()
  measured = measure(name, job['samples'], job['output'] + '.again',
                     job['image_size'])
  return {**measured, 'again': clock.read()}


def _ours(job: dict) -> dict:
  """The converter's function, after a call for few samples in its process.

  Each call starts its workers; few is the time of a call for a few samples, so
  the difference is a rate without the start.
  """
  from hpa_records.conversion import convert
  from hpa_records.datasets import description
  from hpa_records.runtime import process
  from hpa_records.runtime import errors
  from hpa_records.conversion import shard_plan
  process.take()

  def call(limit: int, name: str) -> dict:
    settings = shard_plan.Settings(image_size=job['image_size'],
                                   shard_mb=job['shard_mb'],
                                   limit=limit,
                                   description=description.load(job['dataset']))
    clock = _Clock()
    convert.convert(job['csv'], job['images'],
                    os.path.join(job['output'], name), settings,
                    convert.How(workers=job['workers']))
    return clock.read()

  num_samples = len(job['samples'])
  few = min(_FEW, num_samples)
  try:
    call(few, 'warm')
    return {
        'num_few': few,
        'few': call(few, 'few'),
        **call(num_samples, 'records')
    }
  except errors.DataError as error:  # as a command of ours tells it
    print(error, file=sys.stderr)
    sys.exit(2)


class _Clock:
  """Wall and processor time since it was made, with ended workers' time."""

  def __init__(self):
    self._wall_s, self._cpu_s = time.perf_counter(), self._cpu()

  def read(self) -> dict[str, float]:
    return {
        'wall_s': time.perf_counter() - self._wall_s,
        'cpu_s': self._cpu() - self._cpu_s
    }

  def _cpu(self) -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + used.ru_utime + used.ru_stime


def main() -> None:
  """Runs the way of the arguments, and prints its numbers as JSON."""
  name, path = sys.argv[1:]
  job = json.loads(pathlib.Path(path).read_text(encoding='utf-8'))
  print(json.dumps(_ours(job) if name == 'ours' else _peer(name, job)))


if __name__ == '__main__':
  main()
