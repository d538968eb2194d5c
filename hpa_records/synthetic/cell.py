"""The geometry of one synthetic cell, and the textures that it is drawn with.

A cell is drawn in a square crop of its own. Its shape is two soft ellipses
(cell and nucleus) with borders distorted by a smooth texture. Arrays stay
float32: a NumPy scalar would make them float64, at twice the time. Fine
structure (noise, fibres, mesh) is cropped at random from textures that are
made once a process.
"""

import math

import cv2
import numpy as np

_TEXTURE_PX = 768  # a crop is under 250 px at 512


class Textures:
  """Textures [2, T, T] float32, each as it is and transposed.

  They are the same in each process.

  Attributes:
    grain: white noise, mean 0, deviation 1.
    smooth, cloud: noise blurred over about 3 and 14 px, deviation 1.
    fibres: thin curved lines, 0..1.
    bundles: thicker, wavier lines, 0..1.
    cables: straight parallel lines, 0..1.
    mesh: a net of walls around holes, 0..1.
    worms: short thick curved pieces, 0..1.
  """

  def __init__(self, scale: float):
    """Makes all textures.

    Args:
      scale: size of the image in pixels divided by 512.
    """
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
    # The transpose is a copy: reading a crop across the rows takes three times
    # as long.
    for name, texture in list(vars(self).items()):
      both = np.stack([texture, texture.T]).astype(np.float32)
      setattr(self, name, both)


class Cell:
  """The geometry of one cell in its crop [s, s].

  Attributes:
    rng: random generator of the sample.
    px: pixels of this image for one pixel at 512, for sizes of spots and lines.
    radius: of the cell, in pixels of the crop.
    centre: [2], of the nucleus, x and y in pixels of the crop.
    outward: [s, s] float32, 0 at the centre, 1 on the membrane.
    nuclear: [s, s] float32, the same for the nucleus.
    cell, nucleus, cytoplasm: [s, s] float32 masks, 0..1, soft at the border.
  """

  def __init__(self, rng: np.random.Generator, textures: Textures,
               radius: float, scale: float):
    """Draws the shape.

    Args:
      rng: random generator of the sample.
      textures: of the same scale.
      radius: of the cell in pixels.
      scale: size of the image in pixels divided by 512.
    """
    self.rng, self._textures = rng, textures
    self.px, self.radius = scale, radius
    half = int(radius * 1.35)
    self._shape = (2 * half + 1, 2 * half + 1)
    self.outward = self._ellipse((0.0, 0.0), radius, rng.uniform(.75, 1.25),
                                 .13)
    offset = (rng.uniform(-.15, .15, 2) * radius).tolist()
    self.centre = np.add(offset, half)
    self.nuclear = self._ellipse(offset, radius * rng.uniform(.42, .52),
                                 rng.uniform(.8, 1.2), .06)
    self.cell = np.clip((1 - self.outward) * radius / 3, 0, 1)
    self.nucleus = np.clip((1 - self.nuclear) * radius / 6, 0, 1) * self.cell
    self.cytoplasm = self.cell * (1 - self.nucleus)

  def texture(self, name: str) -> np.ndarray:
    """Returns a random crop [s, s] of the texture of that attribute name."""
    source = getattr(self._textures, name)[self.rng.integers(2)]
    top, left = self.rng.integers(0, np.subtract(source.shape, self._shape))
    return source[top:top + self._shape[0], left:left + self._shape[1]]

  def ring(self, distance: np.ndarray, width_px: float) -> np.ndarray:
    """Returns a bright line [s, s] where distance is 1.

    Args:
      distance: self.outward or self.nuclear.
      width_px: of the line, at 512 px.
    """
    radius = self.radius * (1 if distance is self.outward else .47)
    return np.exp(-((distance - 1) * radius / (width_px * self.px))**2)

  def places(self, where: np.ndarray, count: int) -> np.ndarray:
    """Returns count random pixels [n, 2] (x, y) where the mask exceeds 0.5.

    Args:
      where: [s, s] mask; if none exceeds 0.5, n is 0.
      count: number of pixels, with repetition.
    """
    inside = np.flatnonzero(where.ravel() > .5)
    if inside.size == 0:
      return np.zeros((0, 2), int)
    chosen = self.rng.choice(inside, count)
    return np.stack([chosen % self._shape[1], chosen // self._shape[1]], axis=1)

  def spots(self,
            points: np.ndarray,
            radius_px: tuple[float, float],
            ring_px: float = 0) -> np.ndarray:
    """Returns discs or rings at points, [s, s] 0..1.

    Args:
      points: [n, 2] (x, y).
      radius_px: least and largest radius, at 512 px.
      ring_px: width of a ring, at 512 px; 0 draws discs.
    """
    canvas = np.zeros(self._shape, np.uint8)
    width = max(1, round(ring_px * self.px)) if ring_px else cv2.FILLED
    for x, y in points:
      size = max(.6, self.rng.uniform(*radius_px) * self.px)
      cv2.circle(canvas, (int(x * 16), int(y * 16)), int(size * 16), 255, width,
                 cv2.LINE_AA, 4)
    return canvas / np.float32(255)

  def strokes(self, points: np.ndarray, toward: np.ndarray, length_px: float,
              width_px: float) -> np.ndarray:
    """Returns short lines, [s, s] 0..1.

    Args:
      points: [n, 2] (x, y), centres of the lines.
      toward: [n, 2] unit vectors, their directions.
      length_px: of a line, at 512 px.
      width_px: of a line, at 512 px.
    """
    canvas = np.zeros(self._shape, np.uint8)
    for point, direction in zip(points, toward):
      ends = [(16 * (point + sign * direction * length_px * self.px / 2)
              ).astype(int).tolist() for sign in (-1, 1)]
      cv2.line(canvas, *ends, 255, max(1, round(width_px * self.px)),
               cv2.LINE_AA, 4)
    return canvas / np.float32(255)

  def beside(self, distance: float) -> np.ndarray:
    """Returns a point [2] (x, y) at a distance from the nucleus' centre.

    Args:
      distance: in cell radii.
    """
    angle = self.rng.uniform(0, 2 * np.pi)
    direction = np.array([np.cos(angle), np.sin(angle)])
    return self.centre + direction * distance * self.radius

  def blob(self, point: np.ndarray, radius: float) -> np.ndarray:
    """Returns a Gaussian blob [s, s], 0..1.

    Args:
      point: [2], x and y of its centre.
      radius: standard deviation in cell radii.
    """
    y, x = np.ogrid[:self._shape[0], :self._shape[1]]
    width = 2 * (radius * self.radius)**2
    return (np.exp(-(x - point[0])**2 / width) *
            np.exp(-(y - point[1])**2 / width)).astype(np.float32)

  def radial(self, points: np.ndarray) -> np.ndarray:
    """Returns unit vectors [n, 2] from the nucleus to points [n, 2]."""
    away = points - self.centre
    return away / np.maximum(np.hypot(*away.T), 1e-6)[:, None]

  def _ellipse(self, centre, radius, ratio, bend):
    """Returns distances [s, s] from a centre, 1 on the distorted ellipse."""
    size = self._shape[0]  # smooth: computed at 1/16 of the pixels
    steps = np.linspace(-(size // 2),
                        size // 2,
                        -(-size // 4),
                        dtype=np.float32)
    x, y = steps - centre[0], steps[:, None] - centre[1]
    angle, root = self.rng.uniform(0, math.pi), math.sqrt(ratio)
    # Python floats keep the arrays float32; NumPy's would make them float64.
    cos, sin = math.cos(angle) / radius, math.sin(angle) / radius
    across = x * (cos * root) + y * (sin * root)
    along = y * (cos / root) - x * (sin / root)
    away = np.sqrt(across * across + along * along)
    cloud = self.texture('cloud')[::4, ::4]
    return cv2.resize(away * (1 + bend * cloud), self._shape)

  def nucleoli(self, grow: float = 1.0) -> np.ndarray:
    """Returns two to four discs inside the nucleus, [s, s] 0..1.

    Args:
      grow: factor of their radius.
    """
    points = self.places(self.nuclear < .6, self.rng.integers(2, 5))
    return self.spots(points, (4 * grow, 8 * grow)) * self.nucleus
