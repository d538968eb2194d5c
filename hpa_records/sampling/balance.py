"""The settings of class balancing; resampling describes the policies."""

import dataclasses
import math
import re
from typing import Any, Mapping

import numpy as np

from hpa_records.format import spec
from hpa_records.runtime import errors

POLICIES = ('none', 'hybrid', 'protected', 'table', 'exact')
# The usual factors of Kaggle's competition, by class.
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
      other classes have 1.

  Raises:
    errors.DataError: a value is out of range.
  """
  policy: str = 'none'
  target: int = 500
  tolerance: float = 0.05
  max_repeat: float = 0.0
  factors: str = _KAGGLE_FACTORS

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
    self.factor_of_class()

  def factor_of_class(self) -> np.ndarray:
    """Returns the factor of each class, [K] float64.

    Raises:
      errors.DataError: factors cannot be parsed.
    """
    found = np.ones(spec.NUM_CLASSES)
    for entry in filter(None, self.factors.split(',')):
      match = re.fullmatch(r'\s*([0-9]{1,9})\s*:\s*([0-9]{1,9}(\.[0-9]*)?)\s*',
                           entry)
      if not match or int(match[1]) >= spec.NUM_CLASSES:
        raise errors.DataError(
            'Expected --balance_factors such as '
            f'{_KAGGLE_FACTORS!r}, classes 0..{spec.NUM_CLASSES - 1}, '
            f'received {entry!r}.')
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
                 values.balance_factors)


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
                 settings.get('balance_factors', default.factors))
