"""Finds columns with the paths of the files, one a channel or one a sample."""

import os
import posixpath
from typing import NamedTuple, Sequence

from hpa_records.datasets import template
from hpa_records.images import file_pattern
from hpa_records.survey import table as table_lib

_MOST = .9  # share of rows that is taken for all
_MAX_ROWS = 500  # with which folders are compared
# Templates of a folder by a column, in the order in which they are tried.
_FOLDERS = ('{%s}', '{%s:name}', '{%s:parent}/{%s:name}', '{%s:parent}')


class Paths(NamedTuple):
  """Columns with paths.

  Attributes:
    patterns: template of the files by channel; '' as the only name if a file
      has all channels.
    columns: those with file names, in the order of patterns.
    folders: those with folders.
    notes: what was not understood, a line each.
  """
  patterns: dict[str, str]
  columns: tuple[str, ...]
  folders: tuple[str, ...]
  notes: tuple[str, ...]


def find(names: Sequence[str], table: table_lib.Table) -> Paths | None:
  """Returns the columns with paths of files; None if there are none.

  Args:
    names: of image files, with '/' between folders.
    table: of the samples.
  """
  folders: dict[str, str] = {}
  for name in names:
    folders.setdefault(posixpath.basename(name), posixpath.dirname(name))
  found, notes = [], []
  for column in (each for each in table.columns if each.fits_template):
    lasts = [_split(each)[1] for each in column.texts]
    share = sum(each in folders for each in lasts) / len(lasts)
    if share >= _MOST and not column.is_constant:
      found.append(column)
      if share < 1:
        notes.append(f'{1 - share:.0%} of the files in the column '
                     f'{column.name} were not found')
  if not found:
    return None
  channels = _name_channels([each.name for each in found])
  patterns, used = {}, []
  for channel, column in zip(channels, found):
    rows = [(row, folders[_split(text)[1]])
            for row, text in enumerate(column.texts)
            if _split(text)[1] in folders][:_MAX_ROWS]
    folder, names_used = _find_folder(rows, table, column, channel)
    if folder is None:
      notes.append(f'no column has the folders of the files in {column.name}; '
                   f'one of them is {rows[0][1]}')
      folder = '*'
    has_folders = any(_split(text)[0] for text in column.texts)
    last = f'{{{column.name}:name}}' if has_folders else f'{{{column.name}}}'
    if folder == f'{{{column.name}}}':  # the column has all of the path
      patterns[channel] = folder
    else:
      patterns[channel] = f'{folder}/{last}' if folder else last
    used += names_used
  return Paths(patterns, tuple(each.name for each in found),
               tuple(dict.fromkeys(used)), tuple(notes))


def _split(text: str) -> tuple[str, str]:
  return posixpath.split(text.replace('\\', '/').rstrip('/'))


def _find_folder(rows: Sequence[tuple[int, str]], table: table_lib.Table,
                 column: table_lib.Column,
                 channel: str) -> tuple[str | None, list[str]]:
  """Returns the template of the folders of files, and the columns in it."""
  wanted = {folder for _, folder in rows}
  if len(wanted) == 1 and '{' not in (only := next(iter(wanted))):
    return only, []
  if all(_split(column.texts[row])[0] == folder for row, folder in rows):
    return f'{{{column.name}}}', []
  # A column of the same channel first.
  others = sorted(table.columns, key=lambda each: channel not in each.name)
  for form in _FOLDERS:
    for other in others:
      text = form.replace('%s', other.name)
      if not other.fits_template:
        continue
      if all(
          template.fill(text, {other.name: other.texts[row]}) == folder
          for row, folder in rows):
        return text, [] if other is column else [other.name]
  return None, []


def _name_channels(names: Sequence[str]) -> list[str]:
  """Returns the part of each column's name that others do not have."""
  if len(names) == 1:
    return ['']
  start = os.path.commonprefix(names)
  end = os.path.commonprefix([each[::-1] for each in names])[::-1]
  while start and not _is_boundary(start, names):
    start = start[:-1]
  while end and end[0].isalnum():
    end = end[1:]
  found = [each[len(start):len(each) - len(end)] for each in names]
  return found if all(found) and len(set(found)) == len(found) else list(names)


def _is_boundary(start: str, names: Sequence[str]) -> bool:
  """Returns whether words end with the common start of names."""
  if not start[-1].isalnum():
    return True
  return start[-1].islower() and all(
      each[len(start):len(start) + 1].isupper() for each in names)


def name_id(paths: Paths, table: table_lib.Table) -> str:
  """Returns a template of ids by the first column of files; '' if not unique.
  """
  column = next(each for each in table.columns if each.name == paths.columns[0])
  stems = {
      file_pattern.strip_extension(_split(each)[1]) for each in column.texts
  }
  return f'{{{column.name}:stem}}' if len(stems) == len(column.texts) else ''
