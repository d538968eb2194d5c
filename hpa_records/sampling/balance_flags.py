"""The flags of a balance, the same wherever a command takes one."""

from typing import Any, Mapping

from absl import flags

from hpa_records.sampling import balance

_DEFAULT = balance.Balance()


def define(default: str, also: tuple[str, ...] = ()) -> None:
  """Defines --balance and what goes with it.

  Args:
    default: of --balance.
    also: values of --balance beside the policies.
  """
  flags.DEFINE_enum(
      'balance', default, (*also, *balance.POLICIES),
      'How often each record is drawn in training. none: once. hybrid: the '
      "paper's way. protected: copies and removals that spare rare classes. "
      'table: the largest of its labels\' factors. exact: class totals within '
      'a tolerance of the target, as even over images as can be.')
  define_settings()


def define_settings() -> None:
  """Defines what goes with --balance, for commands that compare all policies.
  """
  flags.DEFINE_integer('balance_target', _DEFAULT.target,
                       'Draws of each class that a balance aims for.')
  flags.DEFINE_float(
      'balance_tolerance', _DEFAULT.tolerance,
      'Part of the target by which exact may miss it: more of it, and fewer '
      'draws fall on the same images.')
  flags.DEFINE_float(
      'max_repeat', _DEFAULT.max_repeat,
      'Most draws of an image in an epoch with exact; 0 is no bound.')
  flags.DEFINE_string('balance_factors', _DEFAULT.factors,
                      'Of table, class:factor with commas; others have 1.')


def read_settings(policy: str, otherwise: Mapping[str, Any]) -> balance.Balance:
  """Returns the balance of a policy by the flags of define_settings.

  Args:
    policy: one of balance.POLICIES.
    otherwise: values by a flag's name, taken where the flag was not given; one
      that is missing here has the flag's default.

  Raises:
    errors.DataError: a value is out of range.
  """

  def read(name):
    flag = flags.FLAGS[name]
    return flag.value if flag.present else otherwise.get(name, flag.value)

  return balance.Balance(policy, read('balance_target'),
                         read('balance_tolerance'), read('max_repeat'),
                         read('balance_factors'))
