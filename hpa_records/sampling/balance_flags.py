"""The flags of class balancing, shared by all commands."""

from typing import Any, Mapping

from absl import flags

from hpa_records.sampling import balance

_DEFAULT = balance.Balance()


def define(default: str, also: tuple[str, ...] = ()) -> None:
  """Defines --balance and its settings.

  Args:
    default: of --balance.
    also: further values of --balance besides the policies.
  """
  flags.DEFINE_enum(
      'balance', default, (*also, *balance.POLICIES),
      'How often each record is drawn in training. none: once. hybrid: as in '
      'the paper. protected: copies and removals that keep all images of rare '
      "classes. table: the largest of its labels' factors. exact: class totals "
      'within a tolerance of the target, as evenly over images as possible.')
  define_settings()


def define_settings() -> None:
  """Defines the settings alone, for commands that compare all policies."""
  flags.DEFINE_integer(
      'balance_target', _DEFAULT.target,
      'Draws of each class in an epoch, for hybrid, protected and exact.')
  flags.DEFINE_float(
      'balance_tolerance', _DEFAULT.tolerance,
      'Allowed relative deviation from the target, for exact; a larger one '
      'spreads the draws over more images.')
  flags.DEFINE_float(
      'max_repeat', _DEFAULT.max_repeat,
      'Most draws of an image in an epoch, for exact; 0 is no limit.')
  flags.DEFINE_string(
      'balance_factors', _DEFAULT.factors,
      'class:factor separated by commas, for table; other classes have 1.')


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
                         read('balance_factors'))
