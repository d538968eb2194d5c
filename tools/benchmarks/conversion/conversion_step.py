"""Times each decoder, filter and checksum, for benchmarks.conversion.convert.

  python -m benchmarks.conversion.conversion_step JOB.json

One process, processor time (time.process_time), the same files for all; each
repeat runs every step once. Before the timing, all decoders must agree on every
pixel of the first file. Filters start from their library's image and end with
an array [S, S, C] uint8; the mean difference from the area average is reported
beside the time, since the filters differ.
"""

import functools
import hashlib
import importlib
import io
import json
import pathlib
import statistics
import sys
import time
from typing import Any, Callable, NamedTuple, Sequence

import cv2
import cykooz_resizer
import google_crc32c
import kornia_rs
import numpy as np
from PIL import Image

from benchmarks.conversion import converter

_MAX_SAMPLES = 32  # their files and pixels stay in memory


class _Step(NamedTuple):
  """A function, and the items that it is called with."""
  title: str
  function: Callable[[Any], Any]
  items: Sequence[Any]
  mean_difference: float | None = None


def _decode_steps(files: list[bytes]) -> list[_Step]:
  """Returns the decoders, each from a file's bytes to [H, W] uint8.

  Raises:
    RuntimeError: two decoders disagree.
  """
  tf = converter.import_tensorflow()
  with Image.open(io.BytesIO(files[0])) as first:
    shape = first.size[::-1]
  decoders = {
      'kornia_rs': lambda data: _decode_kornia(data, shape),
      'OpenCV': _decode_opencv,
      'Pillow': _decode_pillow,
      'tf.io': lambda data: tf.io.decode_png(data, channels=1).numpy()[..., 0],
  }
  try:  # no dependency of the project
    imagecodecs = importlib.import_module('imagecodecs')
    decoders['imagecodecs'] = imagecodecs.png_decode
  except ImportError:
    pass
  expected = _decode_pillow(files[0])
  for name, decode in decoders.items():
    if not np.array_equal(decode(files[0]), expected):
      raise RuntimeError(f'{name} and Pillow decode different pixels')
  return [_Step(f'decode, {n}', f, files) for n, f in decoders.items()]


def _decode_kornia(data: bytes, shape: tuple[int, int]) -> np.ndarray:
  return kornia_rs.io.decode_image_png_u8(data, shape, 'mono')[..., 0]


def _decode_opencv(data: bytes) -> np.ndarray:
  return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)


def _decode_pillow(data: bytes) -> np.ndarray:
  with Image.open(io.BytesIO(data)) as file:
    return np.asarray(file)


def _filter_steps(images: list[np.ndarray], size_px: int) -> list[_Step]:
  """Returns the filters, each from [H, W, C] to [S, S, C] uint8.

  Raises:
    RuntimeError: a filter's output has another shape or type.
  """
  planes = [[Image.fromarray(image[..., c])
             for c in range(image.shape[2])]
            for image in images]
  cykooz = [_to_cykooz(image) for image in images]
  partial = functools.partial
  filters = [
      ('OpenCV LINEAR, aliases',
       partial(_shrink_opencv, size_px, cv2.INTER_LINEAR), images),
      ('OpenCV AREA', partial(_shrink_opencv, size_px, cv2.INTER_AREA), images),
      ('Pillow BILINEAR, 4 planes',
       partial(_shrink_pillow, size_px, Image.Resampling.BILINEAR), planes),
      ('Pillow BOX, 4 planes',
       partial(_shrink_pillow, size_px, Image.Resampling.BOX), planes),
      ('cykooz_resizer bilinear',
       partial(_shrink_cykooz, size_px, cykooz_resizer.Resizer()), cykooz),
      ('tf.image antialias', partial(_shrink_tensorflow, size_px), images),
  ]
  area = _shrink_opencv(size_px, cv2.INTER_AREA, images[0]).astype(float)
  steps = []
  for name, function, items in filters:
    result = function(items[0])
    if (result.shape, result.dtype) != (area.shape, np.uint8):
      raise RuntimeError(f'{name} made {result.dtype} {result.shape}')
    steps.append(
        _Step(f'resize, {name}', function, items,
              float(np.abs(result - area).mean())))
  return steps


def _to_cykooz(image: np.ndarray) -> cykooz_resizer.ImageData:
  height, width, _ = image.shape
  return cykooz_resizer.ImageData(width, height, cykooz_resizer.PixelType.U8x4,
                                  image.tobytes())


def _shrink_opencv(size_px: int, interpolation: int,
                   image: np.ndarray) -> np.ndarray:
  return cv2.resize(image, (size_px, size_px), interpolation=interpolation)


def _shrink_pillow(size_px: int, resampling: Image.Resampling,
                   planes: list[Image.Image]) -> np.ndarray:
  # As one RGBA image Pillow would multiply three planes by the fourth.
  return np.stack([
      np.asarray(plane.resize((size_px, size_px), resampling))
      for plane in planes
  ],
                  axis=-1)


def _shrink_cykooz(size_px: int, resizer: cykooz_resizer.Resizer,
                   image: cykooz_resizer.ImageData) -> np.ndarray:
  bilinear = cykooz_resizer.ResizeAlg.convolution(
      cykooz_resizer.FilterType.bilinear)
  result = cykooz_resizer.ImageData(size_px, size_px,
                                    cykooz_resizer.PixelType.U8x4)
  resizer.resize(
      image, result,
      cykooz_resizer.ResizeOptions(resize_alg=bilinear, use_alpha=False))
  return np.frombuffer(result.get_buffer(),
                       np.uint8).reshape(size_px, size_px, 4)


def _shrink_tensorflow(size_px: int, image: np.ndarray) -> np.ndarray:
  tf = converter.import_tensorflow()
  resized = tf.image.resize(image, (size_px, size_px), antialias=True)
  return tf.cast(tf.round(resized), tf.uint8).numpy()


def _count(image: np.ndarray) -> list[np.ndarray]:
  return [
      cv2.calcHist([image], [c], None, [256], [0, 256])
      for c in range(image.shape[2])
  ]


def _steps(job: dict) -> list[_Step]:
  samples = job['samples'][:_MAX_SAMPLES]
  paths = [path for sample in samples for path in sample['files']]
  files = [pathlib.Path(path).read_bytes() for path in paths]
  planes = [_decode_opencv(data) for data in files]
  images = [cv2.merge(planes[i:i + 4]) for i in range(0, len(planes), 4)]
  small = [
      _shrink_opencv(job['image_size'], cv2.INTER_AREA, image)
      for image in images
  ]
  stored = [image.tobytes() for image in small]
  return [
      _Step('read', lambda path: pathlib.Path(path).read_bytes(), paths),
      _Step('inflate, zlib', converter.inflate, files),
      *_decode_steps(files),
      *_filter_steps(images, job['image_size']),
      _Step('histogram, cv2.calcHist', _count, small),
      _Step('sha256', lambda data: hashlib.sha256(data).digest(), stored),
      _Step('crc32c', google_crc32c.value, stored),
  ]


def measure(job: dict) -> list[dict[str, Any]]:
  """Returns each step's title, unit and milliseconds, best and median."""
  cv2.setNumThreads(1)
  steps = _steps(job)
  num_samples = min(len(job['samples']), _MAX_SAMPLES)
  taken_ms: list[list[float]] = [[] for _ in steps]
  for step in steps:
    step.function(step.items[0])  # what a library does once
  for _ in range(job['repeats']):
    for step, taken in zip(steps, taken_ms):
      start_s = time.process_time()
      for item in step.items:
        step.function(item)
      taken.append((time.process_time() - start_s) / len(step.items) * 1e3)
  return [{
      'title': step.title,
      'unit': 'sample' if len(step.items) == num_samples else 'file',
      'ms': min(taken),
      'median_ms': statistics.median(taken),
      'mean_difference': step.mean_difference,
  } for step, taken in zip(steps, taken_ms)]


def main() -> None:
  """Measures the steps of JOB.json, and prints their numbers as JSON."""
  job = json.loads(pathlib.Path(sys.argv[1]).read_text(encoding='utf-8'))
  print(json.dumps(measure(job)))


if __name__ == '__main__':
  main()
