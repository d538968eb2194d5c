"""The output folder of a report: its page, tables and figures.

Files are written once the whole report is computed. A list beside them has
their SHA-256 hashes, so that the next report knows which files an earlier one
wrote. It replaces and removes only those; a file of the user's, or one that the
user changed, is never touched.
"""

from collections.abc import Iterator
from collections.abc import Mapping
import base64
import contextlib
import dataclasses
import hashlib
import json
import os

import pandas as pd

from hpa_records.ingest import csv_cell
from hpa_records.inspection import figure
from hpa_records.runtime import errors
from hpa_records.runtime import json_text
from hpa_records.storage import file_lock
from hpa_records.storage import filesystem

FOLDER_NAME = 'report'  # of tables and figures
_LIST_NAME = 'files.json'
_LOCK_NAME = 'lock'
_MOST_LIST_BYTES = 2**24


@dataclasses.dataclass(frozen=True)
class Files:
  """Collects tables and figures for Output.write.

  Attributes:
    prefix: of the file names.
    content: of each file by its name.
  """
  prefix: str
  content: dict[str, bytes]

  def save(self, title: str, table: pd.DataFrame) -> pd.DataFrame:
    """Adds a table as CSV, and returns it."""
    label = table.index.name or 'name'
    self.add(f'{title}.csv', csv_cell.encode(table, label))
    return table

  def embed(self, title: str, drawn) -> str:
    """Adds a figure as PNG and SVG, and returns the SVG as a data URL."""
    self.add(f'{title}.png', figure.to_png(drawn))
    data = figure.to_svg(drawn)
    self.add(f'{title}.svg', data)
    return to_address('svg+xml', data)

  def add(self, title: str, data: bytes) -> None:
    """Adds a file.

    Raises:
      errors.DataError: another run has added a file of the same name.
    """
    name = f'{self.prefix}_{title}'
    if name in self.content:
      raise errors.DataError(
          f'Two files of this report would be named {name}; rename the folders '
          'of the runs, so that no name starts with another one and "_".')
    self.content[name] = data


def to_address(kind: str, data: bytes) -> str:
  """Returns the data URL of an image.

  Args:
    kind: its media subtype, such as 'webp'.
    data: the encoded image.
  """
  return f'data:image/{kind};base64,{base64.b64encode(data).decode()}'


class Output:
  """The folder of a report: its page, and the folder of its files.

  Attributes:
    page: path of the page.
    list: path of the list of files.
  """

  def __init__(self, directory: str, page_name: str):
    """Reads the list of an earlier report, without changing anything.

    Args:
      directory: of the report.
      page_name: of the page in it.

    Raises:
      errors.DataError: the folder of files is a link, the list of an earlier
        report is damaged, or the page was not written by a report.
    """
    self._folder = os.path.join(directory, FOLDER_NAME)
    if os.path.islink(self._folder):
      raise errors.DataError(f'{self._folder} is a link, and reports do not '
                             'write through links; choose another folder.')
    self.list = os.path.join(self._folder, _LIST_NAME)
    self._page_name = page_name
    self.page = os.path.join(directory, page_name)
    self._known = self._read_list()
    self._refuse_foreign([page_name])

  def write(self, page: str, content: Mapping[str, bytes]) -> None:
    """Writes a report, and removes an earlier one; the page is written last.

    Args:
      page: its text.
      content: of each file in the folder by its name.

    Raises:
      errors.DataError: a file that no report wrote would be replaced, or
        another report is being written there; then nothing is written.
      OSError: a file cannot be written.
    """
    with self._lock():
      self._known = self._read_list()  # another report may have changed it
      self._write(page, content)

  @contextlib.contextmanager
  def _lock(self) -> Iterator[None]:
    """Locks the folder of files; addresses have no locks."""
    if filesystem.is_remote(self._folder):
      yield
      return
    lock = os.path.join(self._folder, _LOCK_NAME)
    with file_lock.hold(
        lock, f'Another report is being written to {self._folder}; wait until '
        'it ends, or choose another folder'):
      try:
        yield
      finally:
        os.remove(lock)

  def _write(self, page: str, content: Mapping[str, bytes]) -> None:
    content = {
        **content, self._page_name: page.encode(errors='backslashreplace')
    }
    self._refuse_foreign(content)
    made = {
        name: [hashlib.sha256(data).hexdigest()]
        for name, data in content.items()
    }
    # If the process is killed in between, old and new files are both known.
    self._write_list({
        name: [*self._known.get(name, []), *made.get(name, [])] for name in {
            **self._known,
            **made
        }
    })
    for name in set(self._known) - set(made):
      if self._is_own(name):
        filesystem.remove(self._locate(name))
    for name, data in content.items():
      filesystem.write_atomically(self._locate(name), data)
    self._write_list(made)

  def _locate(self, name: str) -> str:
    return self.page if name == self._page_name else os.path.join(
        self._folder, name)

  def _refuse_foreign(self, names: Mapping[str, bytes] | list[str]) -> None:
    for name in names:
      path = self._locate(name)
      if filesystem.exists(path) and not self._is_own(name):
        raise errors.DataError(
            f'{path} exists, and no report wrote it, or it was changed since; '
            'move or remove it, or choose another folder.')

  def _is_own(self, name: str) -> bool:
    """Returns whether a report wrote the file, and nobody changed it."""
    path = self._locate(name)
    return (not os.path.islink(path) and filesystem.size(path) is not None and
            filesystem.sha256(path) in self._known.get(name, []))

  def _read_list(self) -> dict[str, list[str]]:
    if not filesystem.exists(self.list):
      return {}
    try:
      if (os.path.islink(self.list) or
          (filesystem.size(self.list) or 0) > _MOST_LIST_BYTES):
        raise ValueError('a link, or too large')
      known = json_text.parse(filesystem.read_bytes(self.list))
      json_text.check_form(known, {}, _LIST_NAME)
      json_text.check_form(list(known.values()), [[str]], _LIST_NAME)
      for name in known:
        if os.path.basename(name) != name or name in ('', '.', '..'):
          raise ValueError(f'a name with a path: {name!r:.80}')
      return known
    except (OSError, ValueError) as error:
      raise errors.DataError(
          f'{self.list} is not the list of an earlier report\'s files '
          f'({error}); move or remove it, or choose another folder.') from error

  def _write_list(self, known: Mapping[str, list[str]]) -> None:
    text = json.dumps(known, indent=1, sort_keys=True) + '\n'
    filesystem.write_atomically(self.list, text.encode())
