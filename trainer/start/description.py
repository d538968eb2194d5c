"""What the weights of a fold started from, in words."""

from collections.abc import Mapping
from typing import Any

_MOST_SHOWN = 5  # layers that are named
_MOST_DIGITS = 12  # of the sha256


def describe(found: Mapping[str, Any]) -> list[str]:
  """Returns the lines to print about a start.

  Args:
    found: of first_weights.load; {} for fresh weights.
  """
  if not found:
    return []
  fresh = found['fresh']
  line = (f'Started from {found["source"]}: {found["taken"]} of '
          f'{found["taken"] + len(fresh)} layers; {found["unused"]} of the '
          f'source are not used. SHA-256 {found["sha256"][:_MOST_DIGITS]}.')
  if fresh:
    shown = ', '.join(fresh[:_MOST_SHOWN])
    more = len(fresh) - _MOST_SHOWN
    line += f' Fresh weights: {shown}{f" and {more} more" * (more > 0)}.'
  return [line, *warn(found)]


def warn(found: Mapping[str, Any]) -> list[str]:
  """Returns the lines about held-out images that the source was trained on.

  Args:
    found: as of describe.
  """
  lines = []
  if not found:
    return lines
  if found.get('seen') is None:
    lines.append(f'Which images {found["source"]} was trained on is not known: '
                 'if held-out images are among them, the scores are too good.')
  elif found['seen']:
    lines.append(f'{found["source"]} was trained on {found["seen"]:,} of the '
                 'held-out images, so the scores of this fold are too good.')
  if found.get('seen_inner'):
    lines.append(f'{found["source"]} was trained on {found["seen_inner"]:,} of '
                 'the images of --validation=inner, so what chooses the rate '
                 'and the best epoch is too good.')
  return lines
