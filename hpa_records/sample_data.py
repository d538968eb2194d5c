"""Made-up samples in Kaggle's layout: train.csv and four gray PNGs each.

For the demo and for tests on machines without the real data. Label sets are
drawn with the frequencies of the real table; images have about its share of
black pixels, its intensities and its file sizes (BUILD_NOTES.md, "Sample
data"). Sample i depends on (seed, i, size) alone, so the number of processes
changes nothing. The CSV is written last: a folder without it is unfinished.
"""

import concurrent.futures
import functools
import hashlib
import multiprocessing
import os

import cv2
import numpy as np

from hpa_records import filesystem
from hpa_records import progress
from hpa_records import sample_pattern
from hpa_records import schema

# Label sets and how many images carry each. Source: Kaggle's train.csv (31,072
# rows, 577 sets): sets of 45 images or more, and of the rarest classes those
# that make up three quarters of the class.
LABEL_SETS = {
    tuple(map(int, labels.split('+'))): int(count)
    for labels, count in (entry.split(':') for entry in """
0:2414 0+25:1998 23:1653 25:1470 7:1163 4:1077 21:1058 0+2:996 5:983 2:808
0+21:769 0+7:668 3:654 6:622 11:601 0+23:572 19:522 14:484 0+5:479 21+25:425
0+19:395 0+3:383 5+25:350 0+1:317 18:314 2+25:301 1:271 4+25:269 0+2+25:257
12:232 22:213 0+21+25:206 0+22:192 7+25:173 13:157 0+18:153 0+11:150
0+7+25:144 0+5+25:143 18+25:143 19+25:136 26:134 3+25:132 0+14:129 2+23:128
24:122 0+1+25:102 1+25:101 23+25:101 20:98 0+3+25:96 0+19+25:91 14+25:91
0+12:84 0+26:81 6+25:80 4+21:76 0+2+7:75 0+4:75 0+16:75 2+21:75 21+22:72
0+18+25:71 2+7:71 0+16+25:70 12+25:68 0+13:67 11+25:66 5+21:64 0+23+25:61
1+2:60 13+21:57 12+21:55 0+2+23:54 0+6:52 0+7+21:52 13+25:50 0+1+2:45 0+24:42
0+20:36 24+25:35 25+26:35 8:31 14+16:30 16+25:29 16:27 5+24:24 17+25:22
0+14+16:19 7+16:19 14+16+17:18 9:17 9+10:17 11+24:16 0+2+16:15 0+16+17+25:15
0+17+25:15 14+17:15 0+16+17+18:14 0+17:14 16+21:14 0+24+25:13 17+18+25:13
6+9+10:11 17+21:11 2+8:10 0+5+16:9 0+16+21:9 2+15+16:9 14+16+25:9 17+18+21:9
0+5+15:8 4+14+16:8 16+17+18:8 17+19:8 0+16+22:7 0+5+27:4 0+27:2 23+27:2
0+2+27:1
""".split())
}

_SAMPLES_PER_TASK = 8
# Fast, and near the real files' sizes.
PNG_SETTINGS = [
    cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY,
    cv2.IMWRITE_PNG_STRATEGY_RLE
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
    schema.DataError: a value is out of range, or train.csv is there.
  """
  _check(output, num_samples, seed, size_px, min_per_class)
  images = os.path.join(output, 'train')
  os.makedirs(images, exist_ok=True)
  labels = draw_labels(num_samples, seed, min_per_class)
  task = functools.partial(_write_samples, images, labels, seed, size_px)
  starts = range(0, num_samples, _SAMPLES_PER_TASK)
  workers = min(workers or os.cpu_count() or 1, len(starts))
  with progress.Bar('sample data', num_samples, 'samples') as shown:
    for count in _map(task, starts, workers):
      shown.advance(count)
  rows = [
      f'{sample_id(seed, i)},{" ".join(map(str, each))}\n'
      for i, each in enumerate(labels)
  ]
  filesystem.write_atomically(os.path.join(output, 'train.csv'),
                              ''.join(['Id,Target\n', *rows]).encode())


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
    if number < schema.NUM_CLASSES * min_per_class:
      label = number % schema.NUM_CLASSES
      likely = weights * [label in each for each in sets]
    chosen.append(sets[rng.choice(len(sets), p=likely / likely.sum())])
  return [tuple(rng.permutation(each).tolist()) for each in chosen]


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
  field = np.zeros((size_px, size_px, schema.NUM_CHANNELS), np.float32)
  radius = rng.uniform(46, 70) * scale
  for centre in _lay_out(rng, radius, size_px):
    cell = sample_pattern.Cell(rng, textures, radius * rng.uniform(.85, 1.15),
                               scale)
    channels = sample_pattern.draw(cell, labels)
    channels *= rng.uniform(.6, 1.0, schema.NUM_CHANNELS).astype(np.float32)
    _paste(field, channels, centre)
  return _photograph(rng, field, textures)


def _check(output, num_samples, seed, size_px, min_per_class):
  csv = os.path.join(output, 'train.csv')
  if os.path.exists(csv):
    raise schema.DataError(f'Expected no train.csv yet, received {csv}; '
                           'remove it or choose another --output.')
  for name, value, least, most in (('num_samples', num_samples, 1,
                                    10**7), ('seed', seed, 0, 2**31 - 1),
                                   ('size_px', size_px, 64,
                                    1024), ('min_per_class', min_per_class, 0,
                                            num_samples // schema.NUM_CLASSES)):
    if not least <= value <= most:
      raise schema.DataError(f'Expected --{name} from {least} to {most}, '
                             f'received {value}.')


@functools.lru_cache(maxsize=1)
def _textures(scale: float) -> sample_pattern.Textures:
  return sample_pattern.Textures(scale)


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
  reach = textures.grain.shape[0] - size
  planes = []
  for channel in range(schema.NUM_CHANNELS):
    if reach >= 0:
      top, left = rng.integers(0, reach + 1, 2)
      grain = textures.grain[top:top + size, left:left + size]
    else:
      grain = rng.standard_normal((size, size), np.float32)
    gain = _GAIN[channel] * rng.uniform(.75, 1.2)
    signal = field[..., channel] * (grain * (_NOISE[channel] * gain) + gain)
    planes.append(cv2.convertScaleAbs(signal))  # rounds, stops at 255
  return cv2.merge(planes)


def _write_samples(images, labels, seed, size_px, start) -> int:
  """Draws and writes up to _SAMPLES_PER_TASK samples; returns how many."""
  cv2.setNumThreads(1)  # the other cores have samples of their own
  stop = min(start + _SAMPLES_PER_TASK, len(labels))
  for number in range(start, stop):
    image = draw_image(labels[number], seed, number, size_px)
    for channel, name in enumerate(schema.CHANNELS):
      path = os.path.join(images, f'{sample_id(seed, number)}_{name}.png')
      if not cv2.imwrite(path, image[..., channel], PNG_SETTINGS):
        raise OSError(f'cv2 could not write {path}')
  return stop - start


def _map(task, starts, workers):
  if workers == 1:
    yield from map(task, starts)
    return
  context = multiprocessing.get_context('spawn')
  with concurrent.futures.ProcessPoolExecutor(workers,
                                              mp_context=context) as pool:
    yield from pool.map(task, starts)
