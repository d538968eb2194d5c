"""Made-up samples in Kaggle's layout: train.csv and four gray PNGs each.

For the demo and for tests on machines without the real data. Label sets are
drawn with the frequencies of the real table; images have about its share of
black pixels, its intensities and its file sizes (BUILD_NOTES.md, "Sample
data"). Sample i depends on (seed, i, size, min_per_class) alone, not on the
number of samples or processes. The CSV is written last: a folder without it is
unfinished.
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
from hpa_records.synthetic import cell as cell_lib
from hpa_records.synthetic import class_pattern

# Every label set of the real table, behind the number of images that carry it.
# With the commonest 120 alone, classes 12, 13 and 22 come to 0.7 of their share
# and sets of four to a tenth. Source: Kaggle's train.csv (31,072 rows).
_TABLE = """
2414: 0 1998: 0+25 1653: 23 1470: 25 1163: 7 1077: 4 1058: 21 996: 0+2 983: 5
808: 2 769: 0+21 668: 0+7 654: 3 622: 6 601: 11 572: 0+23 522: 19 484: 14 479:
0+5 425: 21+25 395: 0+19 383: 0+3 350: 5+25 317: 0+1 314: 18 301: 2+25 271: 1
269: 4+25 257: 0+2+25 232: 12 213: 22 206: 0+21+25 192: 0+22 173: 7+25 157: 13
153: 0+18 150: 0+11 144: 0+7+25 143: 0+5+25 18+25 136: 19+25 134: 26 132: 3+25
129: 0+14 128: 2+23 122: 24 102: 0+1+25 101: 1+25 23+25 98: 20 96: 0+3+25 91:
0+19+25 14+25 84: 0+12 81: 0+26 80: 6+25 76: 4+21 75: 0+2+7 0+4 0+16 2+21 72:
21+22 71: 0+18+25 2+7 70: 0+16+25 68: 12+25 67: 0+13 66: 11+25 64: 5+21 61:
0+23+25 60: 1+2 57: 13+21 55: 12+21 54: 0+2+23 52: 0+6 0+7+21 50: 13+25 45:
0+1+2 44: 4+23 5+7 42: 0+24 41: 0+2+21 40: 2+14 38: 0+12+25 0+22+25 7+21 37:
2+6+25 36: 0+20 2+11 22+25 35: 0+5+21 24+25 25+26 32: 0+13+25 31: 0+11+25 1+23
8 30: 14+16 29: 2+6 3+23 16+25 28: 0+2+21+25 27: 0+2+22 5+23 16 26: 1+4 3+7 25:
0+5+7 24: 5+24 19+23 23: 0+14+25 2+4 2+21+25 5+14 19+21 22: 6+7 6+21 12+21+25
17+25 21: 0+19+21 4+7 4+21+25 20: 0+2+5 0+7+21+25 0+12+21 1+21 2+19 21+23 19:
0+14+16 1+6 7+16 18: 0+1+21 0+2+11 0+2+11+25 2+5 2+21+23 3+21 14+16+17 18+21
17: 3+6 9 9+10 13+21+25 14+21 16: 0+2+19 4+26 11+24 15: 0+2+14 0+2+16 0+3+23
0+16+17+25 0+17+25 0+21+22 1+5 1+21+25 14+17 14: 0+6+25 0+13+21 0+16+17+18 0+17
0+20+23 2+5+25 5+11 16+21 13: 0+1+2+4 0+24+25 2+22 4+12 4+22 5+22 17+18+25 12:
0+1+13 0+7+13 0+11+19 0+18+21 2+7+25 5+19 5+21+25 13+18 19+21+25 11: 0+3+7
0+5+23 0+12+23 1+7 3+22 4+11 5+6 6+9+10 11+21 17+21 21+22+25 10: 0+3+14 0+3+19
0+5+11 0+5+19 0+7+22 2+8 2+14+25 2+23+25 4+14 4+19 4+21+22 5+12 7+21+25 12+13
12+14 18+24 21+23+25 9: 0+1+23 0+2+12 0+5+16 0+7+12 0+16+21 0+21+23 0+25+26
2+15+16 2+18 5+18 7+19 14+16+25 14+19 14+21+25 17+18+21 8: 0+1+7 0+1+7+25
0+1+11 0+2+24 0+2+26 0+5+15 1+3 3+4 4+14+16 4+24 7+22 11+13 11+21+25 16+17+18
17+19 18+21+25 21+25+26 22+23 7: 0+1+2+7 0+1+5 0+1+18 0+3+11 0+5+12+26 0+5+13
0+7+16 0+16+17 0+16+22 0+19+23 0+22+23 1+19 3+19 3+21+25 3+26 4+7+25 7+14 7+18
11+22 6: 0+1+3 0+1+19 0+2+7+25 0+5+24 0+12+21+25 0+14+21 0+16+19 0+18+21+23
0+19+22 1+2+25 1+4+25 1+5+7 1+7+25 2+4+25 2+11+25 2+12+25 2+14+17+25 2+16+21
2+19+21 3+13 3+14 4+18+21 5+14+16 6+18 6+20 11+19 12+19 13+19+25 5: 0+1+7+21
0+2+19+25 0+2+20 0+3+5+25 0+3+6+25 0+4+21 0+5+21+25 0+5+22 0+7+19 0+8 0+13+19
0+13+21+25 0+16+24 1+3+4 1+5+25 1+11 1+12+21 2+4+7 2+16+25 3+4+25 3+5 3+11 4+5
4+13 4+18 6+21+25 6+23 7+16+19 12+21+22 14+18 17+18 18+23 21+24 21+26 4: 0+2+3
0+2+6 0+2+13+25 0+2+18 0+3+21 0+5+27 0+7+13+25 0+7+23 0+12+13+21 0+18+22+25
2+12+21 2+24 3+8 3+23+25 4+7+21 4+12+21 4+13+21 5+18+25 5+23+25 6+16 7+16+17
7+24 12+19+25 12+23 13+22 14+17+21 16+23 19+22 20+25 3: 0+1+2+23 0+1+21+25
0+1+22 0+2+6+16 0+2+13 0+2+19+21 0+2+23+25 0+3+22 0+6+21+25 0+14+16+17
0+14+16+25 0+15 0+16+23 0+17+23 0+20+25 0+23+26 1+22 2+6+14 2+18+23 3+24
4+12+25 4+18+25 5+7+25 5+16 5+17 5+19+25 6+14 6+19 7+11+14 7+13 7+21+22 7+22+25
7+23 11+14+25 11+16 11+23 13+21+22+25 14+22 16+17+25 16+18+22+25 18+22 19+22+25
22+24 23+24 2: 0+1+2+13 0+1+5+19 0+1+6 0+1+14 0+2+7+21 0+2+12+25 0+2+16+25
0+2+18+21 0+2+22+25 0+3+5+26 0+3+13+25 0+3+18+25 0+3+26 0+4+11 0+4+25 0+6+16
0+7+14 0+7+19+25 0+11+16 0+12+13 0+12+19 0+12+19+25 0+14+16+21 0+14+19
0+16+17+21 0+21+26 0+22+24 0+27 1+2+5+21 1+2+7 1+2+19 1+2+21 1+2+21+25 1+4+7
1+14 1+18 1+19+21+25 2+5+6+25 2+7+16 2+7+21+25 2+11+22 2+12 2+13 2+13+23 2+16
2+16+26 2+19+25 2+22+23 2+22+25 3+4+12+18 3+4+21+25 3+5+23 3+6+25 3+11+25
3+16+25 3+19+25 3+21+22+25 4+6 4+7+12 4+11+19 4+16+25 4+19+21 4+20 5+13 5+26
6+7+25 6+13 6+22 7+11 7+12+25 8+21+25 11+14 11+24+25 12+13+21 12+18 13+14
13+21+22 14+16+21 14+18+25 14+23 16+17 16+21+25 16+22 18+25+26 19+21+23
20+23+25 21+24+25 23+27 1: 0+1+5+21 0+1+5+25 0+1+12+21 0+1+18+25 0+1+23+25
0+2+5+23 0+2+6+25 0+2+7+13+25 0+2+7+22 0+2+15 0+2+27 0+3+7+19 0+3+16 0+3+21+23
0+3+21+26 0+5+6 0+5+12 0+5+16+25 0+6+11 0+6+19 0+7+13+22 0+7+18 0+7+22+25
0+12+16 0+12+16+25 0+13+21+23 0+14+16+23 0+16+19+21 0+17+19+25 0+17+21 0+18+22
0+18+23 0+19+21+25 0+19+23+24 0+21+24 1+2+7+25 1+12 1+18+25 1+22+23 1+24 2+4+26
2+5+12 2+5+22 2+7+8 2+7+22 2+11+19 2+12+23 2+16+22 2+16+23 2+17+19 2+20 3+4+7
3+7+25 3+12 3+12+25 3+14+16 3+16 3+18 4+13+21+22+25 4+13+25 4+19+25 4+19+27
5+7+14+25 5+7+22 5+11+25 5+12+21 5+16+25 6+12 6+12+21 7+12 7+12+21 7+14+18+21
7+17 7+17+25 7+21+24+25 7+26 11+12 11+12+23 11+12+25 11+13+21 11+14+21 11+18
11+19+25 11+21+23 12+14+19 12+21+23 16+17+22 16+18+25 16+19+25 16+24 19+21+22
19+23+25 20+23 27
"""


def _parse(table: str) -> dict[tuple[int, ...], int]:
  sets, count = {}, 0
  for word in table.split():
    if word.endswith(':'):
      count = int(word[:-1])
    else:
      sets[tuple(map(int, word.split('+')))] = count
  return sets


LABEL_SETS = _parse(_TABLE)

_SAMPLES_PER_TASK = 8
_LOCK_NAME = '.make_sample_data.lock'
# Fast, and near the real files' sizes.
PNG_SETTINGS = [
    cv2.IMWRITE_PNG_COMPRESSION, 2, cv2.IMWRITE_PNG_STRATEGY,
    cv2.IMWRITE_PNG_STRATEGY_RLE, cv2.IMWRITE_PNG_FILTER,
    cv2.IMWRITE_PNG_FILTER_NONE
]
# Peak intensity of each channel, and deviation of its noise by the signal.
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
    output: a folder without train.csv; made if missing.
    num_samples: how many, >= 1.
    seed: >= 0; another seed draws other samples.
    size_px: height and width of the images, 64..1024.
    min_per_class: images that each class has at least; see draw_labels.
    workers: processes; 0 takes one a core.

  Raises:
    errors.DataError: a value is out of range, train.csv is there, or other
      files where the images go; the folder cannot be written, another call is
      writing to it, or a worker was killed.
  """
  _check(num_samples, seed, size_px, min_per_class, workers)
  lock = os.path.join(output, _LOCK_NAME)
  with filesystem.told_output(output), file_lock.hold(
      lock, f'Sample data is already being made in {output}; wait for its end, '
      'or choose another --output'):
    try:
      _make(output, num_samples, seed, size_px, min_per_class, workers)
    finally:
      filesystem.remove(lock)


def _make(output, num_samples, seed, size_px, min_per_class, workers) -> None:
  """The same, in a folder that is locked."""
  csv, images = os.path.join(output, 'train.csv'), os.path.join(output, 'train')
  if os.path.lexists(csv):
    raise errors.DataError(f'Expected no train.csv yet, received {csv}; '
                           'remove it or choose another --output.')
  _check_folder(images, num_samples, seed)
  labels = draw_labels(num_samples, seed, min_per_class)
  task = functools.partial(_write_samples, images, labels, seed, size_px)
  starts = range(0, num_samples, _SAMPLES_PER_TASK)
  workers = min(workers or host.num_cores(), len(starts))
  filesystem.make_folder(images)
  with process_pool.told_lost(), progress.Bar('sample data', num_samples,
                                              'samples') as shown:
    for count in _map(task, starts, workers):
      shown.advance(count)
  rows = [
      f'{sample_id(seed, i)},{" ".join(map(str, each))}\n'
      for i, each in enumerate(labels)
  ]
  filesystem.write_atomically(csv, ''.join(['Id,Target\n', *rows]).encode())


def draw_labels(num_samples: int,
                seed: int,
                min_per_class: int = 0) -> list[tuple[int, ...]]:
  """Returns each sample's labels, in no order, as often as in the real table.

  The first 28 * min_per_class samples have each class in turn, in one of the
  label sets that it occurs in.
  """
  rng = np.random.default_rng([seed, 1])
  sets = list(LABEL_SETS)
  weights = np.array(list(LABEL_SETS.values()), float)
  chosen = []
  for number in range(num_samples):
    likely = weights
    if number < spec.NUM_CLASSES * min_per_class:
      label = number % spec.NUM_CLASSES
      likely = weights * [label in each for each in sets]
    chosen.append(sets[rng.choice(len(sets), p=likely / likely.sum())])
  # One stream a sample: a shared one would shift with num_samples.
  return [
      tuple(np.random.default_rng([seed, 3, i]).permutation(each).tolist())
      for i, each in enumerate(chosen)
  ]


def sample_id(seed: int, number: int) -> str:
  """Returns an Id in the form of Kaggle's, a function of its arguments."""
  text = hashlib.sha256(f'{seed}:{number}'.encode()).hexdigest()
  return '-'.join((text[:8], text[8:12], text[12:16], text[16:20], text[20:32]))


def draw_image(labels: tuple[int, ...], seed: int, number: int,
               size_px: int) -> np.ndarray:
  """Returns a sample's image [size_px, size_px, C] uint8, a field of cells.

  Args:
    labels: classes that its green channel shows.
    seed: of the data set.
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
  """Refuses a folder with files that an interrupted call of the same would not
  have left."""
  if not os.path.lexists(images):
    return
  ids = {sample_id(seed, number) for number in range(num_samples)}
  for name in os.listdir(images) if os.path.isdir(images) else ['']:
    if name.rpartition('_')[0] not in ids:
      raise errors.DataError(
          f'{images} holds other files, such as {name}; choose another '
          '--output.' if name else f'{images} is no folder; choose another '
          '--output.')


@functools.lru_cache(maxsize=1)
def _textures(scale: float) -> cell_lib.Textures:
  return cell_lib.Textures(scale)


def _lay_out(rng, radius, size_px) -> np.ndarray:
  """Centres [n, 2] (x, y) of cells on a shaken grid, some places left empty."""
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
  """Lays a cell's channels on the field where they are brighter."""
  half = channels.shape[0] // 2
  top, left = centre[1] - half, centre[0] - half
  rows = slice(max(0, top), max(0, top + channels.shape[0]))
  columns = slice(max(0, left), max(0, left + channels.shape[1]))
  target = field[rows, columns]
  part = channels[rows.start - top:, columns.start - left:]
  part = part[:target.shape[0], :target.shape[1]]
  np.maximum(target, part, out=target)


def _photograph(rng, field, textures) -> np.ndarray:
  """Exposes the field: gain, noise in proportion to the signal, 0..255.

  The background stays black, as it is in the real images.
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
    planes.append(cv2.convertScaleAbs(signal))  # rounds, stops at 255
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
  """Writes a file, or goes on with one that an interrupted call has begun."""
  if os.path.lexists(path):
    is_plain = os.path.isfile(path) and not os.path.islink(path)
    if not (is_plain and os.path.getsize(path) <= len(data) and
            data.startswith(filesystem.read_bytes(path))):
      raise errors.DataError(
          f'{path} is there, and is not the image of sample data that is to be '
          'made there; choose another --output.')
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
