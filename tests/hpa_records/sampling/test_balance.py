"""balance: settings that are refused."""

import pytest

from hpa_records.runtime import errors
from hpa_records.sampling import balance


@pytest.mark.parametrize('asked,message', [
    ({
        'policy': 'hybird'
    }, "table, exact, received 'hybird'"),
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
        'factors': '28:2'
    }, "classes 0..27, received '28:2'"),
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
