"""The settings of class balancing; resampling describes the policies."""

import dataclasses
import math
import re
from typing import Any, Mapping

import numpy as np

from hpa_records.runtime import errors

POLICIES = ('none', 'hybrid', 'protected', 'table', 'exact', 'mlros', 'lpros',
            'rana')
CLONING = ('mlros', 'lpros')  # policies that --balance_percent is for
_MOST_PERCENT = 1000
# The usual factors of Kaggle's competition, by class. They belong to a dataset
# whose last class is their last one.
_KAGGLE_FACTORS = '8:4,9:4,10:4,15:4,20:2,27:4'


@dataclasses.dataclass(frozen=True)
class Balance:
  """A policy and its settings.

  Attributes:
    policy: one of POLICIES.
    target: draws of each class in an epoch, for hybrid, protected and exact,
      >= 1.
    tolerance: allowed relative deviation from the target, for exact, 0..1. A
      larger one spreads the draws over more images.
    max_repeat: most draws of an image in an epoch, for exact, >= 1; 0 is no
      limit.
    factors: for table, 'class:factor' separated by commas, each factor >= 0;
      other classes have 1. The default is for Kaggle's classes; other policies
      ignore it.
    percent: images that mlros and lpros add, in percent of the training images,
      1..1000.

  Raises:
    errors.DataError: a value is out of range.
  """
  policy: str = 'none'
  target: int = 500
  tolerance: float = 0.05
  max_repeat: float = 0.0
  factors: str = _KAGGLE_FACTORS
  percent: int = 25

  def __post_init__(self):
    if self.policy not in POLICIES:
      raise errors.DataError(f'Expected --balance to be one of '
                             f'{", ".join(POLICIES)}, received '
                             f'{self.policy!r}.')
    if not 1 <= self.target < 2**63:
      raise errors.DataError(
          'Expected --balance_target from 1 to 2^63-1, received '
          f'{self.target}.')
    if not 0 <= self.tolerance <= 1:
      raise errors.DataError('Expected --balance_tolerance of 0..1, received '
                             f'{self.tolerance}.')
    if self.max_repeat != 0 and not 1 <= self.max_repeat < math.inf:
      raise errors.DataError('Expected --max_repeat >= 1, or 0 for none, '
                             f'received {self.max_repeat}.')
    if not 1 <= self.percent <= _MOST_PERCENT:
      raise errors.DataError(
          f'Expected --balance_percent of 1..{_MOST_PERCENT}, '
          f'received {self.percent}.')
    self._parse_factors()

  def check_classes(self, num_classes: int) -> None:
    """Checks that the factors are those of a dataset's classes.

    Args:
      num_classes: K.

    Raises:
      errors.DataError: as factor_of_class; the default is not refused if
        another policy than table ignores it.
    """
    if self.policy == 'table' or self.factors != _KAGGLE_FACTORS:
      self.factor_of_class(num_classes)

  def factor_of_class(self, num_classes: int) -> np.ndarray:
    """Returns the factor of each class, [K] float64.

    Args:
      num_classes: K.

    Raises:
      errors.DataError: a factor is of no class of the dataset, or the default
        factors are not for these classes.
    """
    parsed = self._parse_factors()
    last = max(parsed, default=0)
    if self.factors == _KAGGLE_FACTORS and last != num_classes - 1:
      raise errors.DataError(
          '--balance=table needs --balance_factors for a dataset of '
          f'{num_classes:,} classes, such as 0:2 for twice class 0: the '
          f'default is for the {last + 1} classes of Kaggle.')
    if last >= num_classes:
      raise errors.DataError(
          f'Expected --balance_factors of classes 0..{num_classes - 1}, '
          f'received class {last}.')
    found = np.ones(num_classes)
    found[list(parsed)] = list(parsed.values())
    return found

  def _parse_factors(self) -> dict[int, float]:
    """Returns factors by class.

    Raises:
      errors.DataError: they cannot be parsed.
    """
    found = {}
    for entry in filter(None, self.factors.split(',')):
      match = re.fullmatch(r'\s*([0-9]{1,9})\s*:\s*([0-9]{1,9}(\.[0-9]*)?)\s*',
                           entry)
      if not match:
        raise errors.DataError('Expected --balance_factors such as '
                               f'{_KAGGLE_FACTORS!r}, received {entry!r}.')
      found[int(match[1])] = float(match[2])
    return found


def of_flags(values: Any) -> Balance:
  """Returns the balance of parsed flags.

  Args:
    values: an object with the flags' names as attributes.

  Raises:
    errors.DataError: a value is out of range.
  """
  return Balance(values.balance, values.balance_target,
                 values.balance_tolerance, values.max_repeat,
                 values.balance_factors, values.balance_percent)


def of_settings(settings: Mapping[str, Any]) -> Balance:
  """Returns the balance of a dataset's repeats.

  Args:
    settings: of its manifest; missing ones have their defaults.

  Raises:
    errors.DataError: a value is out of range.
  """
  default = Balance()
  return Balance(settings.get('balance', default.policy),
                 settings.get('balance_target', default.target),
                 settings.get('balance_tolerance', default.tolerance),
                 settings.get('max_repeat', default.max_repeat),
                 settings.get('balance_factors', default.factors),
                 settings.get('balance_percent', default.percent))
