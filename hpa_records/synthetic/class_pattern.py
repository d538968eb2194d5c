"""The patterns that distinguish classes in a synthetic cell: 28, as Kaggle's.

Each pattern is a function of the cell, after the descriptions (location,
texture, number) in the cell dictionary of the Human Protein Atlas. The patterns
only need to be distinguishable by a network.
"""

from typing import Callable

import numpy as np

from hpa_records.synthetic import cell as cell_lib


def _nucleoplasm(c):
  return c.nucleus * (.75 + .2 * c.texture('smooth')) * (1 - .8 * c.nucleoli())


def _fibrillar_center(c):
  dots = [
      c.places(c.spots(point[None], (7, 8)), 7)
      for point in c.places(c.nuclear < .6, 3)
  ]
  # In a nucleus of a few pixels there may be none.
  dots = np.concatenate([np.zeros((0, 2), int), *dots])
  return c.spots(dots, (.8, 1.4)) * c.nucleus


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


# In the order of the classes of hpa2018.
PATTERNS: tuple[Callable[[cell_lib.Cell], np.ndarray], ...] = (
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
