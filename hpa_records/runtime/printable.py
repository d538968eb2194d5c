"""Untrusted text, escaped or checked before it is printed.

Ids, names and paths come from files of others. A terminal executes control
sequences in what is printed; a newline or a change of writing direction makes
one text look like another.
"""

from typing import Any, Sequence
import unicodedata

_MAX_NAME = 255  # characters; no common file system has longer names
_MAX_VALUES = 32  # in a line; all labels of a record


def escape(text: str) -> str:
  """Returns text with unprintable characters escaped, except newlines.

  Lone surrogates are escaped too: Python uses them for file names that are not
  UTF-8, and they cannot be encoded as UTF-8.
  """
  if text.isprintable():
    return text
  return ''.join(
      each if each.isprintable() or each == '\n' else ascii(each)[1:-1]
      for each in text)


def escape_line(text: str) -> str:
  """Returns text with unprintable characters escaped, newlines too."""
  return escape(text).replace('\n', '\\n')


def quote(text: str) -> str:
  """Returns at most 80 characters of text, quoted, on one line."""
  return repr(text if len(text) <= 80 else f'{text[:77]}...')


def join_lines(text: str) -> str:
  """Returns a message as one line of at most 200 characters."""
  line = ' '.join(text.split()).rstrip('.')
  return line if len(line) <= 200 else f'{line[:197]}...'


def show_list(values: Sequence[Any]) -> str:
  """Returns the repr of a list, shortened to its first 32 values."""
  left = len(values) - _MAX_VALUES
  shown = ', '.join(map(repr, values[:_MAX_VALUES]))
  return f'[{shown}, ... and {left:,} more]' if left > 0 else f'[{shown}]'


def count(number: int, noun: str) -> str:
  """Returns such as '1 model' or '2,048 models'."""
  return f'{number:,} {noun}{"" if number == 1 else "s"}'


def show_bytes(num_bytes: int) -> str:
  """Returns a number of bytes with a decimal unit, such as 67.1 MB."""
  for unit, size in (('TB', 1e12), ('GB', 1e9), ('MB', 1e6), ('kB', 1e3)):
    if num_bytes >= size:
      return f'{num_bytes / size:,.1f} {unit}'
  return f'{num_bytes} bytes'


def find_name_issue(name: str,
                    kind: str = 'a name',
                    separators: str = '/\\') -> str:
  """Returns why a sample's or group's name is invalid; '' if it is valid.

  Names are printed, written to CSV files and joined to paths.

  Args:
    name: as in the file.
    kind: of name, with its article, for the message.
    separators: characters that a name of a file cannot have.
  """
  if len(name) > _MAX_NAME:
    return (f'expected {kind} of at most {_MAX_NAME} characters, received '
            f'{len(name):,}: {quote(name)}')
  if (not name.isprintable() or name != name.strip() or
      name in ('', '.', '..') or set(separators) & set(name)):
    return (
        f'expected {kind} that is a plain name without path parts, received '
        f'{quote(name)}')
  return ''


def find_twin(name: str, names: set[str] | frozenset[str]) -> str:
  """Returns the one of names with another Unicode form of name; '' if none.

  macOS decomposes accented letters in file names (NFD); tables have them
  composed (NFC).
  """
  for form in ('NFC', 'NFD'):
    twin = unicodedata.normalize(form, name)
    if twin != name and twin in names:
      return twin
  return ''
