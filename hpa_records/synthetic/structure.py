"""What each channel shows of a cell, by its stain, and how classes look.

A channel of a protein carries the classes, as in the Human Protein Atlas. Where
no channel is of a protein, each class adds a pattern to all channels, with a
strength of its own in each: 28 patterns distinguish up to 2,000 classes.
"""

import dataclasses
from typing import Callable, NamedTuple, Sequence

import cv2
import numpy as np

from hpa_records.datasets import description
from hpa_records.datasets import layout
from hpa_records.synthetic import cell as cell_lib
from hpa_records.synthetic import class_pattern

_PROTEIN = 'protein'
_NO_PATTERN = -1
_GOLDEN = 0.618034  # multiples are spread evenly over 0..1, modulo 1


class _Structure(NamedTuple):
  """A structure of a cell.

  Attributes:
    words: of stains that show it, lower case.
    draw: cell -> [s, s] float32, about 0..1.
    gain: peak intensity of the channel, 0..255.
    noise: deviation of the noise relative to the signal.
  """
  words: tuple[str, ...]
  draw: Callable[[cell_lib.Cell], np.ndarray]
  gain: float = 150.0
  noise: float = .12


def _draw_microtubules(cell):
  plane = cell.cytoplasm * (.25 + .75 * cell.texture('fibres'))
  plane *= np.clip(1.5 - .7 * cell.outward, 0, 1)
  return plane


def _draw_reticulum(cell):
  plane = cell.cytoplasm * (.3 + .4 * cell.texture('mesh'))
  plane *= 2 / (1 + cell.nuclear)
  return plane


def _draw_nucleoli(cell):
  return np.maximum(.2 * cell.cell + .2 * cell.nucleus, cell.nucleoli(1.2))


def _draw_actin(cell):
  bundles = cell.cell * (.2 + .6 * cell.texture('cables'))
  return np.maximum(bundles, .8 * cell.ring(cell.outward, 2.5))


def _draw_golgi(cell):
  near = 2 * cell.blob(cell.beside(.6), .16) * cell.texture('bundles')
  border = .6 * cell.ring(cell.outward, 2.5)
  return np.maximum(np.clip(near, 0, 1) * cell.cytoplasm, border)


def _draw_mitochondria(cell):
  return cell.cytoplasm * (.15 + .75 * cell.texture('worms'))


# By name; the first whose words occur in a channel's stain or name.
_STRUCTURES = {
    _PROTEIN:
        _Structure(('protein',), lambda cell: .06 * cell.cell),
    'microtubules':
        _Structure(('tubul',), _draw_microtubules, 165.0),
    # Before the nucleus: nucleoli has nucle, too.
    'nucleoli':
        _Structure(('nucleol', 'rna', 'syto'), _draw_nucleoli),
    'nucleus':
        _Structure(('nucle', 'dna', 'dapi', 'hoechst', 'chromatin'),
                   lambda cell: cell.nucleus *
                   (.7 + .12 * cell.texture('smooth')), 190.0, .08),
    'reticulum':
        _Structure(('reticulum', 'concanavalin'), _draw_reticulum),
    'actin':
        _Structure(('actin', 'phalloidin'), _draw_actin),
    'golgi':
        _Structure(('golgi', 'membrane', 'wheat germ'), _draw_golgi),
    'mitochondria':
        _Structure(('mito',), _draw_mitochondria),
    # Any other stain.
    'cell':
        _Structure(('',), lambda cell: cell.cell *
                   (.4 + .1 * cell.texture('smooth'))),
}


@dataclasses.dataclass(frozen=True)
class Look:
  """How the cells of a dataset look.

  Attributes:
    structures: of each channel, by its name here.
    patterns: of each class, its place in class_pattern.PATTERNS; negative for
      none.
  """
  structures: tuple[str, ...]
  patterns: tuple[int, ...]

  @property
  def gains(self) -> list[float]:
    """The peak intensity of each channel, 0..255."""
    return [_STRUCTURES[each].gain for each in self.structures]

  @property
  def noises(self) -> list[float]:
    """The deviation of each channel's noise relative to its signal."""
    return [_STRUCTURES[each].noise for each in self.structures]


def find_look(channels: Sequence[layout.Channel],
              classes: Sequence[str]) -> Look:
  """Returns how the cells of a dataset look.

  Args:
    channels: of its description.
    classes: names of its K classes. Those of hpa2018 have their own pattern,
      'Negative' has none, others have that of their number.
  """
  known = {
      each.name.lower(): i
      for i, each in enumerate(description.default().classes)
  }
  known['negative'] = _NO_PATTERN
  return Look(
      tuple(map(_find_structure, channels)),
      tuple(
          known.get(name.lower(), i % len(class_pattern.PATTERNS))
          for i, name in enumerate(classes)))


def _find_structure(channel: layout.Channel) -> str:
  text = f'{channel.stain} {channel.name}'.lower()
  return next(name for name, each in _STRUCTURES.items()
              if any(word in text for word in each.words))


def draw(cell: cell_lib.Cell, look: Look, labels: Sequence[int]) -> np.ndarray:
  """Returns the channels of a cell, [s, s, C] float32, about 0..1.

  Args:
    cell: geometry of the cell.
    look: of the dataset.
    labels: classes shown.
  """
  shown = [each for each in labels if look.patterns[each] != _NO_PATTERN]
  planes = []
  for name in look.structures:
    plane = _STRUCTURES[name].draw(cell)
    if name == _PROTEIN:
      for label in shown:
        pattern = class_pattern.PATTERNS[look.patterns[label]](cell)
        plane = np.maximum(plane, pattern, dtype=np.float32)
    planes.append(plane.astype(np.float32, copy=False))
  if _PROTEIN not in look.structures:
    for label in shown:
      pattern = class_pattern.PATTERNS[look.patterns[label]](cell)
      pattern = pattern.astype(np.float32, copy=False)
      planes = [
          np.maximum(plane * np.float32(.7),
                     pattern * _find_strength(label, channel))
          for channel, plane in enumerate(planes)
      ]
  return np.atleast_3d(cv2.merge(planes))


def _find_strength(label: int, channel: int) -> np.float32:
  """Returns how bright a class is in a channel, 0..1."""
  return np.float32((label + 1) * (channel + 1) * _GOLDEN % 1)
