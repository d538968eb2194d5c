"""A map of features, scores of them, and neighbours of some images.

hpa-embed writes it beside a table of features as <name>_map.npz, the report
reads it. Features of two models have different coordinates, so each model has a
map of its own images, which it was not trained on. No TensorFlow.
"""

from collections.abc import Mapping
import dataclasses
import json
import math
import os
from typing import Any

import numpy as np

from hpa_records.format import spec as spec_lib
from hpa_records.runtime import errors
from hpa_records.runtime import json_text
from hpa_records.runtime import printable
from hpa_records.storage import filesystem
from hpa_records.storage import path_check
from trainer.run import npz_file

NAME = 'features_map.npz'  # in the folder of a run
_SUFFIX = '_map.npz'
METHODS = ('UMAP', 'PCA')
SCORERS = {
    'neighbours': 'k nearest neighbours',
    'probe': 'linear probe',
    'mlsmote': 'linear probe, MLSMOTE',
    'network': 'the network itself',
}

_MOST_ARRAYS = 16
_MOST_IMAGES = 2**20
_MOST_QUERIES, _MOST_NEIGHBOURS = 32, 16
_MOST_PX = 256
_MOST_METRICS, _MOST_LETTERS = 32, 255
_LARGEST = 1e9
_ABOUT = {
    'method': str,
    'space': str,
    'metric': str,
    'k': int,
    'scored': int,
    'scores': {},
}


@dataclasses.dataclass(frozen=True)
class FeatureMap:
  """Places of N images in maps, one map a model.

  Attributes:
    ids: [N] str.
    models: [N] int32, the fold that was held out of the image's model.
    labels: [N, K] uint8 multi-hot, 0 where not known.
    places: [N, 2] float32, in the map of its model.
    queries: [n] int64, images (rows) whose neighbours were looked for.
    neighbours: [n, m] int64, the nearest images of the same model, nearest
      first.
    distances: [n, m] float32.
    images: [n, 1 + m, h, w, C] uint8, reduced: the query, then its neighbours.
    method: of METHODS.
    space: name of the features that all of this was computed from.
    metric: name of the one metric to show first.
    k: neighbours that vote.
    scored: images with labels that the scores are of.
    scores: (value, low, high) by metric by one of SCORERS; {} without scores.
  """
  ids: np.ndarray
  models: np.ndarray
  labels: np.ndarray
  places: np.ndarray
  queries: np.ndarray
  neighbours: np.ndarray
  distances: np.ndarray
  images: np.ndarray
  method: str
  space: str
  metric: str
  k: int
  scored: int
  scores: Mapping[str, Mapping[str, tuple[float, float, float]]]

  def save(self, path: str) -> None:
    """Writes an .npz file atomically."""
    values = dict(vars(self))
    about = {name: values.pop(name) for name in _ABOUT}
    with filesystem.atomic_writer(path) as file:
      np.savez_compressed(file, about=np.array(json.dumps(about)), **values)

  @classmethod
  def load(cls, path: str, spec: spec_lib.Spec) -> 'FeatureMap':
    """Returns what save() wrote.

    Args:
      path: of the file.
      spec: of the run.

    Raises:
      errors.DataError: the file is missing, damaged, or of other classes or
        channels.
    """
    try:
      values = npz_file.read(path, _MOST_ARRAYS)
      about = json_text.parse(str(values.pop('about')))
      json_text.check_form(about, _ABOUT, 'about')
      _check_about(about)
      fields = {field.name for field in dataclasses.fields(cls)}
      if values.keys() != fields - _ABOUT.keys():
        raise ValueError(f'arrays {", ".join(values)}')
      _check_arrays(values, spec)
      return cls(**values, **{name: about[name] for name in _ABOUT})
    except Exception as error:  # zipfile and NumPy each raise their own
      raise errors.find_unread(path, error) or errors.DataError(
          f'{path} is damaged, of other classes, or another kind of file '
          f'({printable.join_lines(str(error))}); run hpa-embed --figures '
          'again, or remove it.') from error


def locate(output: str) -> str:
  """Returns the path of the map of a table of features.

  Args:
    output: of the table.

  Raises:
    errors.DataError: the table has a name that maps have.
  """
  if output.endswith(_SUFFIX):
    raise errors.DataError(
        f'Expected --output=NAME that does not end in {_SUFFIX}, the ending of '
        f'maps of features, received {output}; choose another --output.')
  return os.path.splitext(output)[0] + _SUFFIX


def prepare(path: str) -> None:
  """Checks that a map can be written, or an earlier one removed.

  Raises:
    errors.DataError: the path is not writable, or has another kind of file.
  """
  path_check.prepare_output(path)
  if filesystem.size(path) is not None and not _is_own(path):
    raise errors.DataError(
        f'{path} exists, and is no map of features; move or remove it, or '
        'choose another --output.')


def _is_own(path: str) -> bool:
  try:
    with filesystem.open_read(path) as file, np.load(file) as arrays:
      return {'about', 'places', 'queries'} <= set(arrays.files)
  except Exception:  # pylint: disable=broad-except # another kind of file
    return False


def _check_about(about: dict[str, Any]) -> None:
  """Raises ValueError for values that save() does not write."""
  for name in ('space', 'metric'):
    if len(about[name]) > _MOST_LETTERS or not about[name].isprintable():
      raise ValueError(f'{name}: {about[name]!r:.80}')
  if about['method'] not in METHODS:
    raise ValueError(f'method: {about["method"]!r:.80}')
  if not (0 <= about['k'] <= 2**16 and 0 <= about['scored'] <= _MOST_IMAGES):
    raise ValueError(f'k: {about["k"]}, scored: {about["scored"]}')
  for scorer, metrics in about['scores'].items():
    if scorer not in SCORERS or not isinstance(metrics, dict) or len(
        metrics) > _MOST_METRICS or about['metric'] not in metrics:
      raise ValueError(f'scores: {scorer!r:.80}')
    for name, bounds in metrics.items():
      json_text.check_form({'bounds': bounds}, {'bounds': [(int, float)]},
                           f'scores of {name!r:.80}')
      if len(bounds) != 3 or not all(
          math.isfinite(each) and abs(each) < _LARGEST for each in bounds):
        raise ValueError(f'scores of {name!r:.80}: {bounds!r:.80}')


def _check_arrays(values: Mapping[str, np.ndarray],
                  spec: spec_lib.Spec) -> None:
  """Raises ValueError for arrays that save() does not write."""
  count, (n, m) = len(values['ids']), values['neighbours'].shape
  height, width = values['images'].shape[2:4]
  if (not 1 <= count <= _MOST_IMAGES or n > _MOST_QUERIES or
      m > _MOST_NEIGHBOURS or
      not 1 <= min(height, width) <= max(height, width) <= _MOST_PX):
    raise ValueError(f'{count} images, {n} with {m} neighbours of {height} x '
                     f'{width} pixels')
  forms = {
      'ids': ('U', (count,), None),
      'models': ('i', (count,), (0, 2**16 - 1)),
      'labels': ('u', (count, spec.num_classes), (0, 1)),
      'places': ('f', (count, 2), (-_LARGEST, _LARGEST)),
      'queries': ('i', (n,), (0, count - 1)),
      'neighbours': ('i', (n, m), (0, count - 1)),
      'distances': ('f', (n, m), (0, _LARGEST)),
      'images': ('u', (n, 1 + m, height, width, spec.num_channels), (0, 255)),
  }
  for name, (kind, shape, span) in forms.items():
    value = values[name]
    if value.dtype.kind != kind or value.shape != shape:
      raise ValueError(f'{name}: expected {shape}, received {value.dtype} '
                       f'{value.shape}')
    if span and not ((span[0] <= value) & (value <= span[1])).all():
      raise ValueError(f'{name}: expected values of {span}')
  for each in values['ids'].tolist():
    wrong = printable.find_name_issue(each, 'an id')
    if wrong:
      raise ValueError(f'ids: {wrong}')
