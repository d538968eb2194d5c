"""The flags of a balance, the same wherever a command takes one."""

from absl import flags

from hpa_records import balance

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
