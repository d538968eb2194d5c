"""The arrays that a fold stores, one .npz file each. No TensorFlow."""

from collections.abc import Mapping
import contextlib
import dataclasses
import json
import math
from typing import Iterator

import cv2
import numpy as np

from hpa_records.format import spec as spec_lib
from hpa_records.runtime import errors
from hpa_records.runtime import json_text
from hpa_records.runtime import printable
from hpa_records.sampling import balance as balance_lib
from hpa_records.storage import filesystem
from trainer.run import npz_file
from trainer.scoring import shown_class

_HEIGHT_PX = 200
KINDS = ('hit', 'miss', 'false_alarm')  # why a sample is in the gallery

_MOST_MAPS = 8  # GapNet-PL averages three
_MOST_ARRAYS = 16  # of a file
# Allowed sides of images and maps: reduce makes both 200 px, but earlier
# versions stored maps of up to a quarter of the record's side.
_IMAGE_PX, _MAP_PX = range(1, 257), range(1, 1025)
_LETTER_BYTES = np.dtype('U1').itemsize
_MOST_LETTERS = 255  # of a text in an array; no name is longer
_MOST_BALANCE = 2**14  # letters; its factors have up to spec.MAX_SETTING

# For each array: the kinds of its dtype, as NumPy's letters; its shape, with N
# the number of ids, K that of classes, C that of channels, and a range for any
# size in it; the least and greatest number, or the allowed texts, None for any.
_FORMS = {
    'ids': ('U', ('N',), None),
    'groups': ('U', ('N',), None),
    'labels': ('biu', ('N', 'K'), (0, 1)),
    'predictions': ('f', ('N', 'K'), (0, 1)),
    'folds': ('iu', ('N',), (0, 2**16 - 1)),
    'repeats': ('f', ('N',), (0, math.inf)),
    'classes': ('iu', ('N',), (0, spec_lib.MAX_CLASSES - 1)),
    'kinds': ('U', ('N',), KINDS),
    'images': ('u', ('N', _IMAGE_PX, _IMAGE_PX, 'C'), (0, 255)),
    'map': ('f', ('N', _MAP_PX, _MAP_PX), (0, math.inf)),
}

_MOST_DRAWS = 10**7  # of a class; some policies draw them one by one
_BALANCE = {
    'policy': str,
    'target': int,
    'tolerance': (int, float),
    'max_repeat': (int, float),
    'factors': str,
    'percent': int
}


@dataclasses.dataclass(frozen=True)
class Samples:
  """All samples of a dataset, and how a fold was trained on them.

  Attributes:
    ids: [N] str, of all records, in file order.
    labels: [N, K] uint8 multi-hot.
    folds: [N] int64.
    repeats: [N] float32, expected draws in an epoch; 0 in the held-out fold,
      and for the images of --validation=inner.
    seed: of the conversion, used by the balance policies.
    balance: settings that gave the repeats.
    groups: [N] str, equal where samples belong together; [0] if the records
      have no groups.
  """
  ids: np.ndarray
  labels: np.ndarray
  folds: np.ndarray
  repeats: np.ndarray
  seed: int
  balance: balance_lib.Balance
  groups: np.ndarray = dataclasses.field(
      default_factory=lambda: np.zeros(0, str))

  def save(self, path: str) -> None:
    """Writes an .npz file atomically."""
    values = dataclasses.asdict(self)
    values['balance'] = json.dumps(values['balance'])
    with filesystem.atomic_writer(path) as file:
      np.savez_compressed(file, **values)

  @classmethod
  def load(cls, path: str, num_classes: int) -> 'Samples':
    """Returns what save() wrote.

    Args:
      path: of the file.
      num_classes: K.

    Raises:
      errors.DataError: the file is missing or damaged.
    """
    values = _load(path)
    with _translate_errors(path):
      seed = int(values.pop('seed'))
      if not 0 <= seed < 2**63:
        raise ValueError(f'seed: {seed}')
      balance = str(values.pop('balance'))
      if len(balance) > _MOST_BALANCE:
        raise ValueError(f'balance: {len(balance):,} letters')
      balance = json_text.parse(balance)
      # Earlier versions stored no percent.
      balance = {'percent': balance_lib.Balance.percent, **balance}
      json_text.check_form(balance, _BALANCE, 'balance')
      if balance['target'] > _MOST_DRAWS:
        raise ValueError(f'target: {balance["target"]}')
      _check(
          {
              name: each
              for name, each in values.items()
              if name != 'groups' or each.shape != (0,)
          }, {'K': num_classes})
      return cls(seed=seed, balance=balance_lib.Balance(**balance), **values)


@dataclasses.dataclass(frozen=True)
class Gallery:
  """Best hits and worst mistakes of a fold, with class activation maps.

  Attributes:
    ids: [n] str.
    labels: [n, K] uint8 multi-hot.
    predictions: [n, K] float32.
    classes: [n] int64, the class that each sample is shown for.
    kinds: [n] str, each one of KINDS.
    images: [n, h, w, C] uint8, reduced to at most 200 px height.
    maps: the class activation maps of `classes`, one array for each feature map
      that the network averages: [n, h, w] float32, >= 0, reduced as images.
  """
  ids: np.ndarray
  labels: np.ndarray
  predictions: np.ndarray
  classes: np.ndarray
  kinds: np.ndarray
  images: np.ndarray
  maps: tuple[np.ndarray, ...]

  def save(self, path: str) -> None:
    """Writes an .npz file atomically."""
    values = dict(vars(self))
    maps = {f'map{i}': each for i, each in enumerate(values.pop('maps'))}
    with filesystem.atomic_writer(path) as file:
      np.savez_compressed(file, **values, **maps)

  @classmethod
  def load(cls, path: str, spec: spec_lib.Spec) -> 'Gallery':
    """Returns what save() wrote.

    Args:
      path: of the file.
      spec: of the run.

    Raises:
      errors.DataError: the file is missing or damaged.
    """
    values = _load(path)
    maps = sorted(name for name in values if name.startswith('map'))
    with _translate_errors(path):
      if maps != [f'map{i}' for i in range(min(len(maps), _MOST_MAPS))]:
        raise ValueError(
            f'maps: expected map0 to map{_MOST_MAPS - 1} without gaps, '
            f'received {len(maps)}')
      _check(values, {'K': spec.num_classes, 'C': spec.num_channels})
      if (values['classes'] >= spec.num_classes).any():
        raise ValueError(f'classes: expected 0..{spec.num_classes - 1}')
      most = len(KINDS) * min(spec.num_classes, shown_class.MOST_OF_ALL)
      if len(values['ids']) > most:
        raise ValueError(f'ids: expected up to {most}, received '
                         f'{len(values["ids"]):,}')
      return cls(maps=tuple(values.pop(name) for name in maps), **values)


@dataclasses.dataclass(frozen=True)
class Predictions:
  """Predictions for a fold's held-out samples after the last epoch.

  Attributes:
    ids: [N] str.
    labels: [N, K] uint8 multi-hot.
    predictions: [N, K] float32, 0..1.
  """
  ids: np.ndarray
  labels: np.ndarray
  predictions: np.ndarray

  def save(self, path: str) -> None:
    """Writes an .npz file atomically."""
    with filesystem.atomic_writer(path) as file:
      np.savez_compressed(file, **vars(self))

  @classmethod
  def load(cls, path: str, num_classes: int) -> 'Predictions':
    """Returns what save() wrote.

    Args:
      path: of the file.
      num_classes: K.

    Raises:
      errors.DataError: the file is missing or damaged.
    """
    values = _load(path)
    with _translate_errors(path):
      _check(values, {'K': num_classes})
      return cls(**values)


def _load(path: str) -> dict[str, np.ndarray]:
  with _translate_errors(path):
    return npz_file.read(path, _MOST_ARRAYS)


def _check(values: Mapping[str, np.ndarray], sizes: Mapping[str, int]) -> None:
  """Raises ValueError if an array has a wrong type, shape or value."""
  sizes = {'N': len(values['ids']), **sizes}
  for name, value in values.items():
    kinds, shape, span = _FORMS[name.rstrip('0123456789')]
    wanted = [sizes.get(size, size) for size in shape]
    fits = value.ndim == len(wanted) and all(
        size in each if isinstance(each, range) else size == each
        for size, each in zip(value.shape, wanted))
    if not fits or value.dtype.kind not in kinds:
      raise ValueError(f'{name}: expected {wanted} of kind {kinds}, received '
                       f'{list(value.shape)} of {value.dtype}')
    if value.dtype.kind == 'U':
      if value.dtype.itemsize > _MOST_LETTERS * _LETTER_BYTES:
        raise ValueError(f'{name}: expected texts of up to {_MOST_LETTERS} '
                         f'letters, received {value.dtype}')
      is_right = span is None or np.isin(value, span).all()
    else:
      is_right = (np.isfinite(value) & (span[0] <= value) &
                  (value <= span[1])).all()
    if not is_right:
      raise ValueError(f'{name}: expected values of {span}, received others')
  for name, kind in (('ids', 'an id'), ('groups', 'a group')):
    for text in map(str, values.get(name, ())):
      wrong = printable.find_name_issue(text, kind)
      if wrong:
        raise ValueError(f'{name}: {wrong}')


@contextlib.contextmanager
def _translate_errors(path: str) -> Iterator[None]:
  try:
    yield
  except Exception as error:  # zipfile and NumPy each raise their own
    raise damaged(path, error) from error


def damaged(path: str, error: Exception) -> errors.DataError:
  """Returns the error to raise for a file of a run that cannot be read.

  Args:
    path: of the file.
    error: the exception that reading it raised.

  Returns:
    An errors.UnreadError if the system refused to read it or its disk may not
    be mounted, else an errors.DataError.
  """
  link = errors.find_dangling_link(path)
  if link:
    return errors.UnreadError(link, path)
  return errors.find_unread(path, error) or errors.DataError(
      f'{path} is missing or damaged, or another kind of file '
      f'({printable.join_lines(str(error))}); train the fold again, or choose '
      'another --workdir.')


def reduce(image: np.ndarray) -> np.ndarray:
  """Returns an image reduced to 200 px height by averaging; smaller ones as is.

  Args:
    image: [H, W, C] uint8, or a map [H, W] float32.

  Returns:
    [H', W', C] or [H', W'] of the same type and proportions, H' = min(H, 200).
  """
  height, width = image.shape[:2]
  if height <= _HEIGHT_PX:
    return image
  size = (max(1, round(width * _HEIGHT_PX / height)), _HEIGHT_PX)
  return cv2.resize(image, size, interpolation=cv2.INTER_AREA)
