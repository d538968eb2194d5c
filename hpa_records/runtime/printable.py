"""Text that is safe to print, whoever wrote it.

Ids, names and paths come from files and folders of strangers. A terminal obeys
control sequences in what is printed, and a newline or a change of direction
makes one thing look like another.
"""

from typing import Any, Sequence
import unicodedata

_MAX_NAME = 255  # characters; no common file system has longer names
_MAX_VALUES = 32  # in a line; all labels of a record


def escape(text: str) -> str:
  """Returns text with all that is not printable as an escape, but newlines.

  Also halves of surrogate pairs, which Python makes of file names that are not
  UTF-8, and which no UTF-8 output takes.
  """
  if text.isprintable():
    return text
  return ''.join(
      each if each.isprintable() or each == '\n' else ascii(each)[1:-1]
      for each in text)


def escape_line(text: str) -> str:
  """Returns text with all that is not printable as an escape, newlines too.

  For what a stranger named, such as a file: each name stays in its line.
  """
  return escape(text).replace('\n', '\\n')


def quote(text: str) -> str:
  """Returns text in quotes, at most 80 characters of it, on one line."""
  return repr(text if len(text) <= 80 else f'{text[:77]}...')


def join_lines(text: str) -> str:
  """Returns a message of another library in one line of at most 200 letters."""
  line = ' '.join(text.split()).rstrip('.')
  return line if len(line) <= 200 else f'{line[:197]}...'


def show_list(values: Sequence[Any]) -> str:
  """Returns a list as Python shows it, the first 32 values of a longer one."""
  left = len(values) - _MAX_VALUES
  shown = ', '.join(map(repr, values[:_MAX_VALUES]))
  return f'[{shown}, ... and {left:,} more]' if left > 0 else f'[{shown}]'


def show_bytes(num_bytes: int) -> str:
  """Returns a number of bytes in the unit that shows it, such as 67.1 MB."""
  for unit, size in (('TB', 1e12), ('GB', 1e9), ('MB', 1e6), ('kB', 1e3)):
    if num_bytes >= size:
      return f'{num_bytes / size:,.1f} {unit}'
  return f'{num_bytes} bytes'


def find_name_issue(name: str, kind: str = 'a name') -> str:
  """Returns why a text is no name of a sample or group; '' if it is one.

  The one rule for names that come from files: they are printed, written to CSV
  files and joined to paths.

  Args:
    name: as the file has it.
    kind: of name, with its article, for the message.
  """
  if len(name) > _MAX_NAME:
    return (f'expected {kind} of at most {_MAX_NAME} characters, received '
            f'{len(name):,}: {quote(name)}')
  if (not name.isprintable() or name != name.strip() or
      name in ('', '.', '..') or set('/\\') & set(name)):
    return (
        f'expected {kind} that is a plain name without path parts, received '
        f'{quote(name)}')
  return ''


def find_twin(name: str, names: set[str] | frozenset[str]) -> str:
  """Returns the one of names that only looks like name; '' if there is none.

  macOS decomposes accented letters in file names (NFD) where a table has them
  composed (NFC).
  """
  for form in ('NFC', 'NFD'):
    twin = unicodedata.normalize(form, name)
    if twin != name and twin in names:
      return twin
  return ''
