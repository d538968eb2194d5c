"""The flags of class balancing, shared by all commands."""

from typing import Any, Mapping

from absl import flags

from hpa_records.sampling import balance

_DEFAULT = balance.Balance()

HELP = {
    'balance':
        'Draws of each image in an epoch: none (once), hybrid (as the paper), '
        'protected, table, exact, mlros, lpros, rana; see docs/balance.md.',
    'balance_target':
        'Target number of draws of each class.',
    'balance_tolerance':
        'Relative deviation from the target that exact allows.',
    'max_repeat':
        'Most draws of an image with exact; 0: no limit.',
    'balance_factors':
        'Draws by class for table; other classes have 1.',
    'balance_percent':
        'Images that mlros and lpros add, in percent.',
}

SETTINGS = tuple(name for name in HELP if name != 'balance')


def define(default: str) -> None:
  """Defines --balance and its settings.

  Args:
    default: of --balance.
  """
  flags.DEFINE_enum('balance', default, balance.POLICIES, HELP['balance'])
  define_settings()


def define_settings() -> None:
  """Defines the settings alone, for commands that compare all policies."""
  for define_flag, name, value in ((flags.DEFINE_integer, 'balance_target',
                                    _DEFAULT.target),
                                   (flags.DEFINE_float, 'balance_tolerance',
                                    _DEFAULT.tolerance), (flags.DEFINE_float,
                                                          'max_repeat',
                                                          _DEFAULT.max_repeat),
                                   (flags.DEFINE_string, 'balance_factors',
                                    _DEFAULT.factors), (flags.DEFINE_integer,
                                                        'balance_percent',
                                                        _DEFAULT.percent)):
    define_flag(name, value, HELP[name])


def read_settings(policy: str, otherwise: Mapping[str, Any]) -> balance.Balance:
  """Returns the balance of a policy and the flags of define_settings.

  Args:
    policy: one of balance.POLICIES.
    otherwise: flag name → value where the flag was not given; a missing one
      has the flag's default.

  Raises:
    errors.DataError: a value is out of range.
  """

  def read(name):
    flag = flags.FLAGS[name]
    return flag.value if flag.present else otherwise.get(name, flag.value)

  return balance.Balance(policy, read('balance_target'),
                         read('balance_tolerance'), read('max_repeat'),
                         read('balance_factors'), read('balance_percent'))
