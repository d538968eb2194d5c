"""balance: settings that are refused."""

import numpy as np
import pytest

from hpa_records.runtime import errors
from hpa_records.sampling import balance


@pytest.mark.parametrize('asked,message', [
    ({
        'policy': 'hybird'
    }, "exact, mlros, lpros, rana, received 'hybird'"),
    ({
        'target': 0
    }, r'Expected --balance_target from 1 to 2\^63-1, received 0'),
    ({
        'target': 10**400
    }, r'Expected --balance_target from 1 to 2\^63-1, received 1000'),
    ({
        'tolerance': 1.5
    }, 'Expected --balance_tolerance of 0..1, received 1.5'),
    ({
        'tolerance': float('nan')
    }, 'received nan'),
    ({
        'max_repeat': 0.5
    }, 'Expected --max_repeat >= 1, or 0'),
    ({
        'max_repeat': float('inf')
    }, 'received inf'),
    ({
        'percent': 0
    }, 'Expected --balance_percent of 1..1000, received 0'),
    ({
        'percent': 1001
    }, 'received 1001'),
    ({
        'factors': '8:4,9'
    }, "received '9'"),
    ({
        'factors': '8:-1'
    }, "received '8:-1'"),
])
def test_settings_out_of_range_are_refused(asked, message):
  with pytest.raises(errors.DataError, match=message):
    balance.Balance(**asked)


_NUM_KAGGLE = 28


def test_the_default_factors_are_kaggles():
  factors = balance.Balance().factor_of_class(_NUM_KAGGLE)
  wanted = np.ones(_NUM_KAGGLE)
  wanted[[8, 9, 10, 15, 27]], wanted[20] = 4, 2
  np.testing.assert_array_equal(factors, wanted)


@pytest.mark.parametrize('num_classes', [1, 27, 29, 64, 65, 200, 1138])
def test_other_classes_need_factors_of_their_own(num_classes):
  for policy in balance.POLICIES:
    default = balance.Balance(policy)
    if policy == 'table':
      with pytest.raises(errors.DataError,
                         match='needs --balance_factors for a '
                         f'dataset of {num_classes:,} classes'):
        default.check_classes(num_classes)
    else:
      default.check_classes(num_classes)
  last = balance.Balance('table', factors=f'{num_classes - 1}:2.5')
  factors = last.factor_of_class(num_classes)
  assert factors.tolist() == [1.0] * (num_classes - 1) + [2.5]
  assert (balance.Balance('table',
                          factors='').factor_of_class(num_classes) == 1).all()


@pytest.mark.parametrize('policy', balance.POLICIES)
@pytest.mark.parametrize('num_classes', [1, _NUM_KAGGLE, 65, 1138])
def test_factors_of_a_class_that_is_not_there_are_refused(policy, num_classes):
  asked = balance.Balance(policy, factors=f'0:2,{num_classes}:2')
  with pytest.raises(errors.DataError,
                     match=f'classes 0..{num_classes - 1}, received class '
                     f'{num_classes}'):
    asked.check_classes(num_classes)
