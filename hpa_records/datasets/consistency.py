"""Checks the values of a description against each other."""

import math

from hpa_records.datasets import layout
from hpa_records.datasets import template as template_lib
from hpa_records.format import spec as spec_lib
from hpa_records.images import file_pattern
from hpa_records.images import intensity
from hpa_records.images import stack as stack_lib
from hpa_records.runtime import printable

_MAX_EACH = 1000  # samples of a row
# In a pattern: a name that does not match is compared with all divisions of it
# among them.
_MAX_ANY = 3
# Of stacked files, by format; a TIFF may have as many as there are channels.
_MOST_PLANES = {'PNG': 4, 'JPEG': 3, 'JPEG 2000': 1}


def check(found: layout.Description) -> None:
  """Checks the values of a description against each other.

  Raises:
    ValueError: one is wrong; the message says which.
  """
  spec_lib.check_names('channel', [each.name for each in found.channels],
                       spec_lib.MAX_CHANNELS, 1)
  if found.classes:
    found.spec(1)
    _check_aliases(found)
  for name, value, allowed in (
      ('form', found.table.form, layout.FORMS),
      ('repeated', found.table.repeated, ('merge', 'refuse')),
      *(('unmatched', each.unmatched, ('refuse', 'drop'))
        for each in found.table.join),
  ):
    if value not in allowed:
      raise ValueError(f'expected {name} to be one of {", ".join(allowed)}, '
                       f'received {printable.quote(value)}')
  _check_table(found)
  _check_files(found)
  _check_intensity(found)


def _check_aliases(found: layout.Description) -> None:
  names = [
      name for each in found.classes for name in (each.name, *each.aliases)
  ]
  names += found.table.ignored
  if len(set(names)) < len(names):
    twice = next(name for name in names if names.count(name) > 1)
    raise ValueError(f'{printable.quote(twice)} is the name or alias of two '
                     'classes')


def _check_table(found: layout.Description) -> None:
  table, names = found.table, [each.name for each in found.classes]
  if table.form in ('numbers', 'columns') and not names:
    raise ValueError(f'labels of the form {table.form} need classes')
  if table.empty not in ('refuse', 'allow', *names):
    raise ValueError('expected empty to be refuse, allow or the name of a '
                     f'class, received {printable.quote(table.empty)}')
  if not table.separator:
    raise ValueError('separator is empty')
  if not table.id:
    raise ValueError('id is empty')
  count = math.prod(len(values) for _, values in table.each)
  if not 1 <= count <= _MAX_EACH:
    raise ValueError(f'expected 1..{_MAX_EACH:,} samples of a row by each, '
                     f'received {count:,}')
  for each in table.join:
    if not is_below(each.csv):
      raise ValueError('expected the path of a table beside the first or below '
                       'its folder, with / between its parts, received '
                       f'{printable.quote(each.csv)}')
    if not each.on:
      raise ValueError(f'on of {printable.quote(each.csv)} has no columns')
  has_labels = table.form in ('numbers', 'names')
  if bool(table.labels) != has_labels:
    raise ValueError(
        f'labels of the form {table.form} '
        f'{"need" if has_labels else "do not have"} columns (labels)')
  if (table.form == 'folders') != any(
      'class' in template_lib.find_fields(each) for each in found.patterns()):
    raise ValueError('{class} in the pattern and form = "folders" need each '
                     'other')
  spec_lib.check_metadata(table.metadata)


def _check_files(found: layout.Description) -> None:
  images, patterns = found.images, found.patterns()
  for template in (*patterns, *filter(_is_template, (found.table.id,))):
    _check_template(template)
  for template in patterns:
    _check_pattern(template)
  if len(set(patterns)) < len(patterns):
    raise ValueError('expected another file for each channel ({channel} in the '
                     'pattern, or a path), received '
                     f'{printable.quote(patterns[0])} for two')
  if images.stacked and any(each.path for each in found.channels):
    raise ValueError('channels of stacked files have no path')
  if images.stacked and 'channel' in template_lib.find_fields(images.pattern):
    raise ValueError('{channel} in the pattern of stacked files')
  stack = found.stack()
  if stack:
    stack_lib.check(stack, len(found.channels))
    _check_planes(images.pattern, stack, len(found.channels))
  elif images.axes or images.project:
    raise ValueError('axes and project are of stacked files')


def _check_planes(pattern: str, stack: stack_lib.Stack,
                  num_channels: int) -> None:
  """Checks that the format of stacked files can have all planes."""
  needed = max(stack.planes, default=num_channels - 1) + 1
  for ending, kind in file_pattern.FORMATS.items():
    most = _MOST_PLANES.get(kind, needed)
    if (stack.kind == 'planes' and pattern.lower().endswith(ending) and
        needed > most):
      raise ValueError(
          f'a {kind} has at most {printable.count(most, "plane")}, received '
          f'channels in {needed} of {printable.quote(pattern)}')


def _check_template(template: str) -> None:
  rest = template_lib.FIELD.sub('', template)
  if set('{}') & set(rest) or not template.isprintable():
    raise ValueError('expected fields in braces, received '
                     f'{printable.quote(template)}')
  for each in template_lib.FIELD.findall(template):
    column, colon, modifier = each.partition(':')
    if not column or (colon and modifier not in template_lib.MODIFIERS):
      raise ValueError(f'expected a column in braces, with one of '
                       f'{", ".join(template_lib.MODIFIERS)} after a colon or '
                       f'nothing, received {printable.quote(each)}')


def _check_pattern(template: str) -> None:
  literal = template_lib.FIELD.sub('', template)
  if template_lib.ANY in literal.rpartition('/')[0]:
    raise ValueError('expected * in the last part of a pattern only, received '
                     f'{printable.quote(template)}')
  if '}{' in template or literal.count(template_lib.ANY) > _MAX_ANY:
    raise ValueError('expected a text between two fields in braces and at most '
                     f'{_MAX_ANY} *, received {printable.quote(template)}')
  if not is_below(template):
    raise ValueError('expected a pattern below the image folder, with / '
                     f'between its parts, received {printable.quote(template)}')
  if not set(template_lib.find_fields(template)) - {'channel', 'class'}:
    raise ValueError('expected {id} or a column in a pattern, received '
                     f'{printable.quote(template)}')
  ending = template.rpartition('}')[2]
  if ending.rstrip(template_lib.ANY) == ending != '' and not (
      ending.lower().endswith(tuple(file_pattern.FORMATS))):
    raise ValueError(f'expected a pattern that ends in one of '
                     f'{file_pattern.ENDINGS}, received '
                     f'{printable.quote(template)}')


def _check_intensity(found: layout.Description) -> None:
  levels = [
      found.intensity.white_level,
      *(each.white_level for each in found.channels)
  ]
  for each in levels:
    if not 0 <= each <= layout.MAX_LEVEL:
      raise ValueError('expected a white_level above 0 and of at most '
                       f'{layout.MAX_LEVEL}, received {each!r:.40}')
  intensity.check(found.rule(), len(found.channels))
  if any(levels) and found.intensity.rule != 'white_level':
    raise ValueError('a white_level needs rule = "white_level", received '
                     f'{found.intensity.rule}')
  if found.needs_plates and not found.table.plate:
    raise ValueError('percentiles of a plate need its columns (plate in '
                     '[table])')


def is_below(path: str) -> bool:
  """Returns whether a path or template is relative and leaves no folder."""
  return '\\' not in path and not set(path.split('/')) & {'', '.', '..'}


def _is_template(text: str) -> bool:
  return '{' in text or '}' in text
