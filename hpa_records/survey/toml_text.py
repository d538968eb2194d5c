"""Writes the text of a description: keys, parts, channels and comments."""

import json
import re
import textwrap
from typing import Any, Sequence

from hpa_records.runtime import printable

_WIDTH = 80
_BARE = re.compile('[A-Za-z0-9_-]+')


class Text:
  """The lines of a TOML file."""

  def __init__(self):
    self._lines: list[str] = []

  def head(self, csv: str, images: str, num_files: int, num_rows: int) -> None:
    """Adds where the description comes from."""
    sources = [f'{num_rows:,} rows of {csv}'] if csv else []
    sources += [f'{num_files:,} image files in {images}'] if images else []
    self.comment(f'A draft by hpa-describe-dataset, from '
                 f'{" and ".join(sources)}. Check and correct it, above all '
                 'what the comments at its end say; docs/own_images.md has the '
                 'keys.')

  def add(self, key: str, value: Any) -> None:
    """Adds a key."""
    self._lines.append(f'{_write_key(key)} = {_write(value)}')

  def classes(self, names: Sequence[str]) -> None:
    """Adds the names of the classes, if any, several on a line."""
    if not names:
      return
    self._lines.append('classes = [')
    line = ' '
    for each in map(_write, names):
      if len(line) + len(each) + 2 > _WIDTH and line.strip():
        self._lines.append(line)
        line = ' '
      line += f' {each},'
    self._lines += [line, ']']

  def part(self, name: str, content: dict[str, Any]) -> None:
    """Adds a table."""
    self._lines += ['', f'[{name}]']
    for key, value in content.items():
      self.add(key, value)

  def channel(self, content: dict[str, Any]) -> None:
    """Adds a channel."""
    self._lines += ['', '[[channels]]']
    for key, value in content.items():
      self.add(key, value)

  def notes(self, head: str, lines: Sequence[str]) -> None:
    """Adds comments, each a paragraph of its own."""
    if lines:
      self._lines.append('')
      self.comment(f'{head}:')
    for each in lines:
      self.comment(each, '- ')

  def comment(self, text: str, mark: str = '') -> None:
    """Adds a comment."""
    self._lines += textwrap.wrap(printable.escape_line(text),
                                 _WIDTH,
                                 initial_indent=f'# {mark}',
                                 subsequent_indent='# ' + ' ' * len(mark),
                                 break_long_words=False,
                                 break_on_hyphens=False)

  def join(self) -> str:
    """Returns the text."""
    return '\n'.join(self._lines) + '\n'


def _write(value: Any) -> str:
  if isinstance(value, dict):
    return '{ ' + ', '.join(f'{_write_key(key)} = {_write(each)}'
                            for key, each in value.items()) + ' }'
  if isinstance(value, list):
    return '[' + ', '.join(map(_write, value)) + ']'
  if isinstance(value, str):
    # TOML's basic strings are JSON's, but for the character DEL.
    return json.dumps(value, ensure_ascii=False).replace('\x7f', '\\u007f')
  return json.dumps(value)


def _write_key(key: str) -> str:
  return key if _BARE.fullmatch(key) else _write(key)
