"""How the images of two sets of records differ, by the settings they store."""

from collections.abc import Mapping, Sequence
from typing import Any

from hpa_records.datasets import description


def find(mine: Mapping[str, Any], theirs: Mapping[str, Any],
         classes: Sequence[str]) -> str:
  """Returns how the images of records differ, as text; '' if not at all.

  Args:
    mine: settings of records.
    theirs: settings of other records.
    classes: names of the classes of both.

  Raises:
    errors.DataError: a stored description is invalid.
  """
  others = _list_settings(theirs, classes)
  return '; '.join(f'{name} {value!r} and {others[name]!r}'
                   for name, value in _list_settings(mine, classes).items()
                   if value != others[name])


def _list_settings(settings: Mapping[str, Any],
                   classes: Sequence[str]) -> dict[str, Any]:
  """Returns what decides the pixels that a network gets, by name."""
  found = description.of_settings(settings, classes)
  rule, images = found.rule(), found.images
  is_of_percentiles = rule.name == 'percentiles'
  values = {
      name: settings.get(name) for name in ('image_size', 'resize', 'pixel_um')
  }
  return values | {
      'intensity': rule.name,
      # Of Kaggle's images there are 8-bit and 16-bit files.
      'white_level': () if description.is_default(found) else rule.white_levels,
      'percentiles': rule.percentiles if is_of_percentiles else (),
      'of': rule.of if is_of_percentiles else '',
      'stacked': images.stacked,
      'axes': images.axes,
      'project': images.project,
  }
