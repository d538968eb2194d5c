"""One synthetic image: cells on a jittered grid, and how a camera sees them."""

import functools

import numpy as np

from hpa_records.synthetic import cell as cell_lib
from hpa_records.synthetic import structure


def draw(look: structure.Look, labels: tuple[int, ...], seed: int, number: int,
         size_px: int) -> list[np.ndarray]:
  """Returns a sample's image of several cells.

  Args:
    look: of the dataset.
    labels: classes shown.
    seed: of the dataset.
    number: of the sample.
    size_px: height and width.

  Returns:
    C planes [size_px, size_px] float32, about 0..255; their absolute value is
    the intensity.
  """
  rng = np.random.default_rng([seed, 2, number])
  scale = size_px / 512
  textures = _textures(scale)
  num_channels = len(look.structures)
  field = np.zeros((size_px, size_px, num_channels), np.float32)
  radius = rng.uniform(46, 70) * scale
  for centre in _lay_out(rng, radius, size_px):
    cell = cell_lib.Cell(rng, textures, radius * rng.uniform(.85, 1.15), scale)
    channels = structure.draw(cell, look, labels)
    channels *= rng.uniform(.6, 1.0, num_channels).astype(np.float32)
    _paste(field, channels, centre)
  return _photograph(rng, field, look, textures)


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


def _photograph(rng, field, look, textures) -> list[np.ndarray]:
  """Returns the planes of a field [H, W, C], with gain and noise.

  The noise is proportional to the signal, so the background stays black, as in
  the real images.
  """
  size = field.shape[0]
  reach = textures.grain.shape[1] - size
  planes = []
  for channel, (peak, noise) in enumerate(zip(look.gains, look.noises)):
    if reach >= 0:
      top, left = rng.integers(0, reach + 1, 2)
      grain = textures.grain[0, top:top + size, left:left + size]
    else:
      grain = rng.standard_normal((size, size), np.float32)
    gain = peak * rng.uniform(.75, 1.2)
    planes.append(field[..., channel] * (grain * (noise * gain) + gain))
  return planes
