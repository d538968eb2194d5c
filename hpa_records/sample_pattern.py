"""One made-up cell, and what each of the 28 classes looks like in it.

A cell is drawn in a square crop of its own, then laid on the image. Its shape
is two soft ellipses (cell and nucleus) whose borders a smooth texture bends,
so that every pixel knows how far out it lies without an arctangent: 1 ms a
cell where polar outlines took 4. Everything fine (noise, fibres, mesh) is cut
at random places from textures that are made once a process.

A class is a function of the cell alone, after the descriptions in the Human
Protein Atlas' cell dictionary: where it lies, in what grain, how many. It need
not deceive a biologist; it needs to be of its own for a network.
"""

import math
from typing import Callable

import cv2
import numpy as np

_TEXTURE_PX = 768  # a crop is under 250 px at 512


class Textures:
  """Textures [T, T] float32 that cells are cut from; the same in any process.

  Attributes:
    grain: white noise, mean 0, deviation 1.
    smooth, cloud: the same, blurred over about 3 and 14 px, deviation 1.
    fibres: thin curved lines, 0..1.
    bundles: thicker, wavier lines, 0..1.
    cables: straight parallel lines, 0..1.
    mesh: a net of walls around holes, 0..1.
    worms: short thick curved pieces, 0..1.
  """

  def __init__(self, scale: float):
    """Args: scale, size of the image in pixels by 512."""
    rng = np.random.default_rng(20180930)
    shape = (_TEXTURE_PX, _TEXTURE_PX)

    def noise(sigma_px):
      white = rng.standard_normal(shape, np.float32)
      blurred = cv2.GaussianBlur(white, (0, 0), max(0.3, sigma_px * scale))
      return blurred / blurred.std()

    def ridges(sigma_px, width):
      return np.exp(-(noise(sigma_px) / width)**2)

    self.grain = rng.standard_normal(shape, np.float32)
    self.smooth = noise(3)
    self.cloud = noise(14)
    self.fibres = np.max([ridges(5, .16) for _ in range(4)], axis=0)
    self.bundles = np.maximum(ridges(8, .25), ridges(8, .25))
    self.mesh = np.clip(np.abs(noise(2.5)) < .55, 0, 1).astype(np.float32)
    self.worms = (ridges(4, .35) > .6) * (noise(5) > .1)
    steps = np.arange(_TEXTURE_PX, dtype=np.float32) / scale
    self.cables = (np.sin(steps * 2 * np.pi / 9 + self.cloud)
                   > .75) * (.6 + .4 * (noise(9) > 0))
    for name in ('worms', 'cables'):
      setattr(self, name, getattr(self, name).astype(np.float32))


class Cell:
  """The geometry of one cell in its crop [s, s].

  Attributes:
    rng: the sample's random numbers.
    px: pixels that one of 512 is, for sizes of spots and lines.
    radius: of the cell, in pixels of the crop.
    outward: [s, s] float32, 0 at the centre, 1 on the membrane.
    nuclear: [s, s] float32, the same for the nucleus.
    cell, nucleus, cytoplasm: [s, s] float32 masks, 0..1, soft at the border.
  """

  def __init__(self, rng: np.random.Generator, textures: Textures,
               radius: float, scale: float):
    self.rng, self._textures = rng, textures
    self.px, self.radius = scale, radius
    half = int(radius * 1.35)
    x = np.arange(-half, half + 1, dtype=np.float32)
    self._shape = (len(x), len(x))
    y = x[:, None]
    self.outward = self._ellipse(x, y, radius, rng.uniform(.75, 1.25), .13)
    offset = (rng.uniform(-.15, .15, 2) * radius).tolist()
    self.centre = np.add(offset, half)  # of the nucleus, x and y in the crop
    self.nuclear = self._ellipse(x - offset[0], y - offset[1],
                                 radius * rng.uniform(.42, .52),
                                 rng.uniform(.8, 1.2), .06)
    self.cell = np.clip((1 - self.outward) * radius / 3, 0, 1)
    self.nucleus = np.clip((1 - self.nuclear) * radius / 6, 0, 1) * self.cell
    self.cytoplasm = self.cell * (1 - self.nucleus)

  def texture(self, name: str) -> np.ndarray:
    """Returns a random crop [s, s] of a texture."""
    source = getattr(self._textures, name)
    top, left = self.rng.integers(0, np.subtract(source.shape, self._shape))
    crop = source[top:top + self._shape[0], left:left + self._shape[1]]
    return crop.T if self.rng.random() < .5 else crop

  def ring(self, distance: np.ndarray, width_px: float) -> np.ndarray:
    """Returns a bright line [s, s] where distance (outward, nuclear) is 1."""
    radius = self.radius * (1 if distance is self.outward else .47)
    return np.exp(-((distance - 1) * radius / (width_px * self.px))**2)

  def places(self, where: np.ndarray, count: int) -> np.ndarray:
    """Returns count random pixels [n, 2] (x, y) where the mask is over 0.5."""
    inside = np.flatnonzero(where.ravel() > .5)
    if inside.size == 0:
      return np.zeros((0, 2), int)
    chosen = self.rng.choice(inside, count)
    return np.stack([chosen % self._shape[1], chosen // self._shape[1]], axis=1)

  def spots(self,
            points: np.ndarray,
            radius_px: tuple[float, float],
            ring_px: float = 0) -> np.ndarray:
    """Returns discs, or rings of some width, at points: [s, s] 0..1."""
    canvas = np.zeros(self._shape, np.uint8)
    width = max(1, round(ring_px * self.px)) if ring_px else cv2.FILLED
    for x, y in points:
      size = max(.6, self.rng.uniform(*radius_px) * self.px)
      cv2.circle(canvas, (int(x * 16), int(y * 16)), int(size * 16), 255, width,
                 cv2.LINE_AA, 4)
    return canvas / np.float32(255)

  def strokes(self, points: np.ndarray, toward: np.ndarray, length_px: float,
              width_px: float) -> np.ndarray:
    """Returns short lines at points along unit vectors [n, 2]: [s, s] 0..1."""
    canvas = np.zeros(self._shape, np.uint8)
    for point, direction in zip(points, toward):
      ends = [(16 * (point + sign * direction * length_px * self.px / 2)
              ).astype(int).tolist() for sign in (-1, 1)]
      cv2.line(canvas, *ends, 255, max(1, round(width_px * self.px)),
               cv2.LINE_AA, 4)
    return canvas / np.float32(255)

  def beside(self, distance: float) -> np.ndarray:
    """Returns a point (x, y) beside the nucleus, distance in cell radii."""
    angle = self.rng.uniform(0, 2 * np.pi)
    direction = np.array([np.cos(angle), np.sin(angle)])
    return self.centre + direction * distance * self.radius

  def blob(self, point: np.ndarray, radius: float) -> np.ndarray:
    """Returns a Gaussian bump [s, s] at a point, radius in cell radii."""
    y, x = np.ogrid[:self._shape[0], :self._shape[1]]
    width = 2 * (radius * self.radius)**2
    return (np.exp(-(x - point[0])**2 / width) *
            np.exp(-(y - point[1])**2 / width)).astype(np.float32)

  def radial(self, points: np.ndarray) -> np.ndarray:
    """Returns unit vectors [n, 2] from the nucleus to points."""
    away = points - self.centre
    return away / np.maximum(np.hypot(*away.T), 1e-6)[:, None]

  def _ellipse(self, x, y, radius, ratio, bend):
    angle, root = self.rng.uniform(0, math.pi), math.sqrt(ratio)
    # Python's floats keep the arrays float32; NumPy's would make them float64.
    cos, sin = math.cos(angle) / radius, math.sin(angle) / radius
    across = x * (cos * root) + y * (sin * root)
    along = y * (cos / root) - x * (sin / root)
    away = np.sqrt(across * across + along * along)
    return away * (1 + bend * self.texture('cloud'))

  def nucleoli(self, grow: float = 1.0) -> np.ndarray:
    """Returns two to four discs inside the nucleus: [s, s] 0..1."""
    points = self.places(self.nuclear < .6, self.rng.integers(2, 5))
    return self.spots(points, (4 * grow, 8 * grow)) * self.nucleus


def _nucleoplasm(c):
  return c.nucleus * (.75 + .2 * c.texture('smooth')) * (1 - .8 * c.nucleoli())


def _fibrillar_center(c):
  dots = [
      c.places(c.spots(point[None], (7, 8)), 7)
      for point in c.places(c.nuclear < .6, 3)
  ]
  return c.spots(np.concatenate(dots), (.8, 1.4)) * c.nucleus


def _nuclear_speckles(c):
  return c.spots(c.places(c.nuclear < .85, 22), (1.5, 4)) * c.nucleus


def _nuclear_bodies(c):
  return c.spots(c.places(c.nuclear < .8, 6), (1.8, 2.4)) * c.nucleus


def _reticulum(c):
  return c.cytoplasm * c.texture('mesh') * np.exp(1 - c.nuclear / 1.3)


def _golgi(c):
  near = c.blob(c.beside(.6), .16)
  return np.clip(2 * near * (.25 + c.texture('bundles')), 0, 1) * c.cytoplasm


def _peroxisomes(c):
  return c.spots(c.places(c.cytoplasm, 70), (.8, 1.2)) * c.cytoplasm


def _endosomes(c):
  return c.spots(c.places(c.cytoplasm, 22), (2.5, 4), 1.2) * c.cytoplasm


def _lysosomes(c):
  near = c.cytoplasm * (c.nuclear < 1.7)
  return c.spots(c.places(near, 26), (2, 3.4)) * c.cytoplasm


def _intermediate_filaments(c):
  return c.cytoplasm * c.texture('bundles') * np.clip(1.6 - c.outward, 0, 1)


def _actin(c):
  return c.cell * c.texture('cables')


def _focal_adhesions(c):
  points = c.places((c.outward > .75) & (c.outward < .97), 28)
  return c.strokes(points, c.radial(points), 10, 2.5) * c.cell


def _microtubules(c):
  return c.cytoplasm * c.texture('fibres')


def _microtubule_ends(c):
  points = c.places((c.outward > .6) & (c.outward < .95), 60)
  return c.strokes(points, c.radial(points), 4, 1) * c.cell


def _bridge(c):
  points = c.places(c.ring(c.outward, 3), 1)
  return c.strokes(points, c.radial(points), 34, 4)


def _spindle(c):
  angle = c.rng.uniform(0, np.pi)
  pole = .42 * c.radius * np.array([np.cos(angle), np.sin(angle)])
  plate = c.centre + np.linspace(-.9, .9, 9)[:, None] * pole[::-1] * (-1, 1)
  fans = [
      c.strokes((plate + c.centre + sign * pole) / 2,
                c.centre + sign * pole - plate, .5 / c.px, 1.6)
      for sign in (-1, 1)
  ]
  fan = np.maximum(*fans)
  poles = c.spots(np.stack([c.centre - pole, c.centre + pole]), (3, 4))
  return np.maximum(fan, poles)


def _organizing_center(c):
  point = c.beside(.5)
  rays = c.rng.uniform(0, 2 * np.pi, 12)
  toward = np.stack([np.cos(rays), np.sin(rays)], axis=1)
  star = c.strokes(point + toward * 8 * c.px, toward, 16, 1)
  return np.maximum(c.blob(point, .08), .7 * star)


def _centrosome(c):
  first = c.beside(.5)
  return c.spots(np.stack([first, first + 5 * c.px]), (2, 2.6))


def _lipid_droplets(c):
  drops = c.spots(c.places(c.cytoplasm, 14), (3, 7)) * c.cytoplasm
  return drops * (.6 + .3 * c.texture('grain'))


def _junctions(c):
  return c.ring(c.outward, 3.5) * (c.texture('cloud') > .3)


def _mitochondria(c):
  return c.cytoplasm * c.texture('worms') * (c.outward < .93)


def _aggresome(c):
  return np.clip(1.6 * c.blob(c.beside(.6), .15), 0, 1) * c.cytoplasm


def _cytosol(c):
  return c.cytoplasm * (.7 + .06 * c.texture('grain'))


def _cytoplasmic_bodies(c):
  return c.spots(c.places(c.cytoplasm, 5), (3, 4)) * c.cytoplasm


def _rods_and_rings(c):
  points = c.places(c.cytoplasm, 2)
  angles = c.rng.uniform(0, np.pi, 2)
  toward = np.stack([np.cos(angles), np.sin(angles)], axis=1)
  rings = c.spots(c.places(c.cytoplasm, 2), (7, 9), 2)
  return np.maximum(c.strokes(points, toward, 26, 3), rings)


# In the order of schema.CLASS_NAMES.
PATTERNS: tuple[Callable[[Cell], np.ndarray], ...] = (
    _nucleoplasm,
    lambda c: c.ring(c.nuclear, 2.5),
    lambda c: c.nucleoli(1.3),
    _fibrillar_center,
    _nuclear_speckles,
    _nuclear_bodies,
    _reticulum,
    _golgi,
    _peroxisomes,
    _endosomes,
    _lysosomes,
    _intermediate_filaments,
    _actin,
    _focal_adhesions,
    _microtubules,
    _microtubule_ends,
    _bridge,
    _spindle,
    _organizing_center,
    _centrosome,
    _lipid_droplets,
    lambda c: c.ring(c.outward, 2.5),
    _junctions,
    _mitochondria,
    _aggresome,
    _cytosol,
    _cytoplasmic_bodies,
    _rods_and_rings,
)


def draw(cell: Cell, labels: tuple[int, ...]) -> np.ndarray:
  """Returns the cell's four channels [s, s, C] float32, about 0..1.

  Args:
    cell: its geometry.
    labels: classes whose patterns the green channel shows.
  """
  microtubules = cell.cytoplasm * (.25 + .75 * cell.texture('fibres'))
  microtubules *= np.clip(1.5 - .7 * cell.outward, 0, 1)
  protein = .06 * cell.cell
  for label in labels:
    protein = np.maximum(protein, PATTERNS[label](cell), dtype=np.float32)
  chromatin = cell.nucleus * (.7 + .12 * cell.texture('smooth'))
  reticulum = cell.cytoplasm * (.3 + .4 * cell.texture('mesh'))
  reticulum *= 2 / (1 + cell.nuclear)
  return cv2.merge([microtubules, protein, chromatin, reticulum])
