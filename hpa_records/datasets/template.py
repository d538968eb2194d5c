"""Templates: texts with fields in braces, filled in or compared with names.

Fields are columns of the table, such as {plate}; {id}, {channel} and {class};
and with a modifier parts of a path in a column: {path:name} is the last part,
{path:stem} the last part without its extension, {path:parent} the part before.
str.format would also accept '{id!r:>9}' and '{0}'.
"""

import posixpath
import re
from typing import Mapping

from hpa_records.images import file_pattern
from hpa_records.runtime import errors
from hpa_records.runtime import printable

ANY = '*'  # in a pattern of file names: any text without '/'
# The same in a filled pattern, where values may have *.
FILLED_ANY = '\0'
MODIFIERS = ('name', 'stem', 'parent')
FIELD = re.compile(r'\{([^{}]*)\}')

_ANY_PART = '[^/]+'
# Divisions of a name among the fields of one part: a name that does not match
# is compared with all of them, 2.7 million of 255 characters.
_MAX_DIVISIONS = 3


def find_fields(template: str) -> list[str]:
  """Returns the fields of a template without modifiers, in order."""
  return [each.partition(':')[0] for each in FIELD.findall(template)]


def has_modifier(template: str) -> bool:
  """Returns whether a field of a template has a modifier."""
  return any(':' in each for each in FIELD.findall(template))


def fill(template: str, values: Mapping[str, str]) -> str:
  """Returns a template with the values of its fields.

  Args:
    template: as passed by consistency.check.
    values: texts by name of the field.

  Raises:
    KeyError: a value is missing.
  """
  return FIELD.sub(lambda match: _pick(match[1], values), template)


def fill_pattern(pattern: str, values: Mapping[str, str]) -> str:
  """Returns a pattern as fill does, with FILLED_ANY in place of its ANY."""
  parts, last = [], 0
  for match in FIELD.finditer(pattern):
    parts += [
        pattern[last:match.start()].replace(ANY, FILLED_ANY),
        _pick(match[1], values)
    ]
    last = match.end()
  return ''.join(parts) + pattern[last:].replace(ANY, FILLED_ANY)


def _pick(field: str, values: Mapping[str, str]) -> str:
  name, _, modifier = field.partition(':')
  value = values[name]
  if not modifier:
    return value
  # Tables made on Windows have backslashes.
  folder, last = posixpath.split(value.replace('\\', '/').rstrip('/'))
  if modifier == 'parent':
    return posixpath.basename(folder)
  return file_pattern.strip_extension(last) if modifier == 'stem' else last


def compile_name(template: str) -> re.Pattern:
  """Returns the expression of the names that a template without modifiers has.

  read_values returns the values of the fields of a match. Case is ignored, so
  that .PNG matches .png.

  Args:
    template: as passed by consistency.check, or its first parts.

  Raises:
    errors.DataError: it has too many fields in its parts to be compared with
      names; with a table they are filled in.
  """
  divisions = sum(
      max(0,
          len({*FIELD.findall(part)}) + FIELD.sub('', part).count(ANY) - 1)
      for part in template.split('/'))
  if divisions > _MAX_DIVISIONS:
    raise errors.DataError(
        'Too many fields beside each other in the pattern '
        f'{printable.quote(template)} to find the samples by the names of '
        'their files; use {id} for several of them, or pass a table with '
        '--csv=PATH.')
  parts, last, seen = [], 0, {}
  for match in FIELD.finditer(template):
    parts.append(_escape(template[last:match.start()]))
    name = match[1]
    if name in seen:
      parts.append(f'(?P=f{seen[name]})')
    else:
      seen[name] = len(seen)
      parts.append(f'(?P<f{seen[name]}>{_ANY_PART})')
    last = match.end()
  parts.append(_escape(template[last:]))
  return re.compile(''.join(parts), re.DOTALL | re.IGNORECASE)


def read_values(match: re.Match, template: str) -> dict[str, str]:
  """Returns the value of each field of a template, of a match of its names."""
  names = list(dict.fromkeys(find_fields(template)))
  return {
      name: match[f'f{i}']
      for i, name in enumerate(names)
      if f'f{i}' in match.re.groupindex
  }


def compile_filled(name: str) -> re.Pattern:
  """Returns the expression of the names that a filled pattern stands for."""
  return re.compile('[^/]*'.join(map(re.escape, name.split(FILLED_ANY))),
                    re.DOTALL)


def _escape(text: str) -> str:
  return '[^/]*'.join(map(re.escape, text.split(ANY)))
