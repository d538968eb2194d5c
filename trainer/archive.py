"""What a fold keeps as arrays, one .npz each. No TensorFlow."""

import contextlib
import dataclasses
import json
import os
from typing import Iterator

import numpy as np

from hpa_records import balance as balance_lib
from hpa_records import filesystem
from hpa_records import schema


@dataclasses.dataclass(frozen=True)
class Samples:
  """What a fold was trained on, and what it was not.

  Attributes:
    ids: [N] str, of all records, in file order.
    labels: [N, K] uint8 multi-hot.
    folds: [N] int64.
    repeats: [N] float32, expected draws in an epoch; 0 in the held-out fold.
    seed: of the conversion, with which policies of balance draw.
    balance: that made the repeats.
    groups: [N] str, samples that belong together; empty where the records
      were made without groups.
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
    """Writes an .npz, whole or not at all."""
    values = dataclasses.asdict(self)
    values['balance'] = json.dumps(values['balance'])
    with filesystem.atomic_writer(path) as file:
      np.savez_compressed(file, **values)

  @classmethod
  def load(cls, path: str) -> 'Samples':
    """Returns what save() wrote.

    Raises:
      schema.DataError: it is not there, or damaged.
    """
    values = _load(path)
    with _told(path):
      balance = balance_lib.Balance(**json.loads(str(values['balance'])))
      return cls(**{**values, 'seed': int(values['seed']), 'balance': balance})


@dataclasses.dataclass(frozen=True)
class Gallery:
  """Notable samples of a fold, and where its network looked in them.

  Attributes:
    ids: [n] str.
    labels: [n, K] uint8 multi-hot.
    scores: [n, K] float32.
    classes: [n] int64, the class that each is notable for.
    kinds: [n] str, what for: of notable.KINDS.
    images: [n, h, w, C] uint8, perhaps reduced.
    maps: one for each feature map that the network averages, each [n, h, w]
      float32 >= 0: class activation maps of `classes`.
  """
  ids: np.ndarray
  labels: np.ndarray
  scores: np.ndarray
  classes: np.ndarray
  kinds: np.ndarray
  images: np.ndarray
  maps: tuple[np.ndarray, ...]

  def save(self, path: str) -> None:
    """Writes an .npz, whole or not at all."""
    values = dict(vars(self))
    maps = {f'map{i}': each for i, each in enumerate(values.pop('maps'))}
    with filesystem.atomic_writer(path) as file:
      np.savez_compressed(file, **values, **maps)

  @classmethod
  def load(cls, path: str) -> 'Gallery':
    """Returns what save() wrote.

    Raises:
      schema.DataError: it is not there, or damaged.
    """
    values = _load(path)
    maps = sorted(name for name in values if name.startswith('map'))
    with _told(path):
      return cls(maps=tuple(values.pop(name) for name in maps), **values)


@dataclasses.dataclass(frozen=True)
class Scores:
  """Scores of a fold's held-out samples after the last epoch.

  Attributes:
    ids: [N] str.
    labels: [N, K] uint8 multi-hot.
    scores: [N, K] float32, 0..1.
  """
  ids: np.ndarray
  labels: np.ndarray
  scores: np.ndarray

  def save(self, path: str) -> None:
    """Writes an .npz, whole or not at all."""
    with filesystem.atomic_writer(path) as file:
      np.savez_compressed(file, **vars(self))

  @classmethod
  def load(cls, path: str) -> 'Scores':
    """Returns what save() wrote.

    Raises:
      schema.DataError: it is not there, or damaged.
    """
    values = _load(path)
    with _told(path):
      return cls(**values)


def _load(path: str) -> dict[str, np.ndarray]:
  with _told(path):
    # np.load leaves a path of its own opening open when the file is damaged.
    with open(path, 'rb') as raw, np.load(raw) as file:
      return {name: file[name] for name in file.files}


@contextlib.contextmanager
def _told(path: str) -> Iterator[None]:
  try:
    yield
  except Exception as error:  # zipfile and NumPy each raise their own
    raise damaged(path, error) from error


def damaged(path: str, error: Exception) -> schema.DataError:
  """Returns what to raise for a file of a run that cannot be read.

  Args:
    path: of the file.
    error: what reading it raised.
  """
  return schema.DataError(
      f'Expected {os.path.basename(path)} of a run, received none, a damaged '
      f'or another file at {path} ({error}); train the fold again, or choose '
      'another --workdir.')
