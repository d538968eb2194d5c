"""Synthetic samples in Kaggle's layout: train.csv and four gray PNGs each.

For the demo and for tests without the real data. Label sets are drawn with the
frequencies of the real table; images have about the same fraction of black
pixels, intensities and file sizes (BUILD_NOTES.md, "Sample data"). Sample i
depends only on (seed, i, size, min_per_class), not on the number of samples or
processes. The CSV is written last: a folder without it is unfinished.
"""

import functools
import hashlib
import os

import cv2
import numpy as np

from hpa_records.format import spec
from hpa_records.runtime import errors
from hpa_records.runtime import host
from hpa_records.runtime import process
from hpa_records.runtime import process_pool
from hpa_records.runtime import progress
from hpa_records.storage import file_lock
from hpa_records.storage import filesystem
from hpa_records.storage import folders
from hpa_records.storage import path_check
from hpa_records.synthetic import cell as cell_lib
from hpa_records.synthetic import class_pattern
from hpa_records.synthetic import label_table

_SAMPLES_PER_TASK = 8
_LOCK_NAME = '.make_sample_data.lock'
# Fast, with file sizes close to the real ones.
PNG_SETTINGS = [
    cv2.IMWRITE_PNG_COMPRESSION, 2, cv2.IMWRITE_PNG_STRATEGY,
    cv2.IMWRITE_PNG_STRATEGY_RLE, cv2.IMWRITE_PNG_FILTER,
    cv2.IMWRITE_PNG_FILTER_NONE
]
# Peak intensity of each channel, and its noise's deviation relative to the
# signal.
_GAIN = (165.0, 150.0, 190.0, 150.0)
_NOISE = (.12, .12, .08, .12)


def make(output: str,
         num_samples: int,
         seed: int = 0,
         size_px: int = 512,
         min_per_class: int = 0,
         workers: int = 0) -> None:
  """Writes output/train.csv and output/train/<Id>_<channel>.png.

  Args:
    output: a folder without train.csv; created if missing.
    num_samples: 1..10^7.
    seed: 0..2^31-1; another seed draws other samples.
    size_px: height and width of the images, 64..1024.
    min_per_class: least images of each class; see label_table.
    workers: processes; 0 is one a core.

  Raises:
    errors.DataError: a value is out of range; output has a train.csv or other
      files in train/; output cannot be written or another process is writing
      to it; or a worker was killed.
  """
  _check(num_samples, seed, size_px, min_per_class, workers)
  lock = os.path.join(output, _LOCK_NAME)
  with path_check.translate_write_errors(output), file_lock.hold(
      lock, f'Another process is making sample data in {output}; wait until it '
      'has finished, or choose another --output'):
    try:
      _make(output, num_samples, seed, size_px, min_per_class, workers)
    finally:
      filesystem.remove(lock)


def _make(output, num_samples, seed, size_px, min_per_class, workers) -> None:
  """As make, in a locked folder."""
  csv, images = os.path.join(output, 'train.csv'), os.path.join(output, 'train')
  if os.path.lexists(csv):
    raise errors.DataError(f'{csv} exists; remove it or choose another '
                           '--output.')
  _check_folder(images, num_samples, seed)
  labels = label_table.draw_labels(num_samples, seed, min_per_class)
  task = functools.partial(_write_samples, images, labels, seed, size_px)
  starts = range(0, num_samples, _SAMPLES_PER_TASK)
  workers = min(workers or host.num_cores(), len(starts))
  folders.make(images)
  with process_pool.translate_errors(), progress.Bar('sample data', num_samples,
                                                     'samples') as shown:
    for count in _map(task, starts, workers):
      shown.advance(count)
  rows = [
      f'{sample_id(seed, i)},{" ".join(map(str, each))}\n'
      for i, each in enumerate(labels)
  ]
  filesystem.write_atomically(csv, ''.join(['Id,Target\n', *rows]).encode())


def sample_id(seed: int, number: int) -> str:
  """Returns a sample's Id, in the form of Kaggle's Ids.

  Args:
    seed: of the dataset.
    number: of the sample.
  """
  text = hashlib.sha256(f'{seed}:{number}'.encode()).hexdigest()
  return '-'.join((text[:8], text[8:12], text[12:16], text[16:20], text[20:32]))


def draw_image(labels: tuple[int, ...], seed: int, number: int,
               size_px: int) -> np.ndarray:
  """Returns a sample's image of several cells, [size_px, size_px, C] uint8.

  Args:
    labels: classes shown in the green channel.
    seed: of the dataset.
    number: of the sample.
    size_px: height and width.
  """
  rng = np.random.default_rng([seed, 2, number])
  scale = size_px / 512
  textures = _textures(scale)
  field = np.zeros((size_px, size_px, spec.NUM_CHANNELS), np.float32)
  radius = rng.uniform(46, 70) * scale
  for centre in _lay_out(rng, radius, size_px):
    cell = cell_lib.Cell(rng, textures, radius * rng.uniform(.85, 1.15), scale)
    channels = class_pattern.draw(cell, labels)
    channels *= rng.uniform(.6, 1.0, spec.NUM_CHANNELS).astype(np.float32)
    _paste(field, channels, centre)
  return _photograph(rng, field, textures)


def _check(num_samples, seed, size_px, min_per_class, workers):
  most_per_class = num_samples // spec.NUM_CLASSES
  for name, value, least, most in (
      ('num_samples', num_samples, 1, 10**7),
      ('seed', seed, 0, 2**31 - 1),
      ('size_px', size_px, 64, 1024),
      ('min_per_class', min_per_class, 0, most_per_class),
      ('workers', workers, 0, 1024),
  ):
    if not least <= value <= most:
      raise errors.DataError(f'Expected --{name} from {least} to {most}, '
                             f'received {value}.')


def _check_folder(images: str, num_samples: int, seed: int) -> None:
  """Checks that a folder has only files of an interrupted call of this kind."""
  if not os.path.lexists(images):
    return
  ids = {sample_id(seed, number) for number in range(num_samples)}
  for name in os.listdir(images) if os.path.isdir(images) else ['']:
    if name.rpartition('_')[0] not in ids:
      raise errors.DataError(
          f'{images} contains other files, such as {name}; choose another '
          '--output.' if name else f'{images} is not a folder; choose another '
          '--output.')


@functools.lru_cache(maxsize=1)
def _textures(scale: float) -> cell_lib.Textures:
  return cell_lib.Textures(scale)


def _lay_out(rng, radius, size_px) -> np.ndarray:
  """Returns the centres [n, 2] (x, y) of cells on a jittered, sparse grid."""
  step = radius * 2.15
  grid = np.arange(0, size_px + radius / 2, step)
  x, y = np.meshgrid(grid, grid)
  x[1::2] += step / 2
  centres = np.stack([x.ravel(), y.ravel()], axis=1)
  centres += rng.uniform(-.2, .2, centres.shape) * radius
  kept = rng.random(len(centres)) < rng.uniform(.55, .95)
  kept[rng.integers(len(centres))] = True
  return centres[kept].astype(int)


def _paste(field, channels, centre):
  """Draws a cell into the field, in place: the maximum of both."""
  half = channels.shape[0] // 2
  top, left = centre[1] - half, centre[0] - half
  rows = slice(max(0, top), max(0, top + channels.shape[0]))
  columns = slice(max(0, left), max(0, left + channels.shape[1]))
  target = field[rows, columns]
  part = channels[rows.start - top:, columns.start - left:]
  part = part[:target.shape[0], :target.shape[1]]
  np.maximum(target, part, out=target)


def _photograph(rng, field, textures) -> np.ndarray:
  """Returns the field [H, W, C] as uint8, with gain and noise.

  The noise is proportional to the signal, so the background stays black, as in
  the real images.
  """
  size = field.shape[0]
  reach = textures.grain.shape[1] - size
  planes = []
  for channel in range(spec.NUM_CHANNELS):
    if reach >= 0:
      top, left = rng.integers(0, reach + 1, 2)
      grain = textures.grain[0, top:top + size, left:left + size]
    else:
      grain = rng.standard_normal((size, size), np.float32)
    gain = _GAIN[channel] * rng.uniform(.75, 1.2)
    signal = field[..., channel] * (grain * (_NOISE[channel] * gain) + gain)
    planes.append(cv2.convertScaleAbs(signal))  # rounds, clips at 255
  return cv2.merge(planes)


def _write_samples(images, labels, seed, size_px, start) -> int:
  """Draws and writes up to _SAMPLES_PER_TASK samples; returns how many."""
  stop = min(start + _SAMPLES_PER_TASK, len(labels))
  for number in range(start, stop):
    image = draw_image(labels[number], seed, number, size_px)
    for channel, name in enumerate(spec.CHANNELS):
      path = os.path.join(images, f'{sample_id(seed, number)}_{name}.png')
      _, png = cv2.imencode('.png', image[..., channel], PNG_SETTINGS)
      _write(path, png.tobytes())
  return stop - start


def _write(path: str, data: bytes) -> None:
  """Writes a file; replaces one that an interrupted call left unfinished."""
  if os.path.lexists(path):
    is_plain = os.path.isfile(path) and not os.path.islink(path)
    if not (is_plain and os.path.getsize(path) <= len(data) and
            data.startswith(filesystem.read_bytes(path))):
      raise errors.DataError(
          f'{path} exists with other content; choose another '
          '--output.')
    filesystem.remove(path)
  with open(path, 'xb') as file:  # 'x': a link of that name is not followed
    file.write(data)


def _map(task, starts, workers):
  if workers == 1:
    process.decode_alone()
    yield from map(task, starts)
    return
  pool = process_pool.start(workers)
  try:
    yield from pool.map(task, starts)
  finally:
    process_pool.stop(pool)
