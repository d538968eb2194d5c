"""Lists the folder of images as deep as the file name pattern goes.

Folders are listed part by part of the pattern. Links are followed: a circle of
links ends with the last part. os.walk would list folders outside the pattern
and would skip those that it cannot read.

Files that cannot be read are kept apart from missing files: the former may be
valid, and only the latter may be skipped.
"""

from concurrent import futures
import dataclasses
import functools
import itertools
import os
import stat
from typing import Any, Callable, Sequence
import unicodedata

from hpa_records.images import file_pattern
from hpa_records.ingest import issue
from hpa_records.runtime import errors
from hpa_records.runtime import printable
from hpa_records.storage import filesystem
from hpa_records.storage import folders as folders_lib
from hpa_records.storage import litter

_MANY = 1000  # folders to search for an example of a file

# More threads than cores: they wait for the disk, above all for a remote one.
_NUM_THREADS = 16
_FILES_PER_TASK = 256


@dataclasses.dataclass(frozen=True)
class Listing:
  """Names inside the folder, with '/' between the parts.

  Attributes:
    files: names of the files in all folders that match the pattern.
    others: descriptions, by name, of what is neither a file nor a folder of
      the pattern, such as a broken link.
    unread: reasons, by name, for folders that could not be listed and links
      that could not be followed.
  """
  files: frozenset[str]
  others: dict[str, str] = dataclasses.field(default_factory=dict)
  unread: dict[str, str] = dataclasses.field(default_factory=dict)

  def find_ids(self, pattern: str) -> list[str]:
    """Returns the ids of all names that match the pattern, sorted.

    Includes ids with issues: files in another letter case, unreadable ones, and
    names of something other than a file. Ignores litter.is_litter files.
    """
    return file_pattern.find_ids(
        pattern, filter(_is_wanted, self.files),
        filter(_is_wanted, [*self.others, *self.unread]))

  def find_unfit(self, pattern: str) -> list[str]:
    """Returns the files that do not match the pattern, sorted; no litter."""
    return file_pattern.find_unfit(pattern, filter(_is_wanted, self.files))

  def explain(self, name: str) -> tuple[str, str]:
    """Returns (kind, message) of the issue of a file that is not listed."""
    parts = name.split('/')
    for place in ('/'.join(parts[:i + 1]) for i in range(len(parts))):
      if place in self.unread:
        return issue.UNREAD, f'cannot be read: {self.unread[place]}'
      if place in self.others:
        return (issue.MISSING, f'not a file but {self.others[place]}')
    twin = self._twins.get(_fold(name))
    if not twin:
      return issue.MISSING, 'file not found'
    form = next((form for form in ('NFC', 'NFD')
                 if unicodedata.is_normalized(form, twin)), 'mixed')
    how = ('differs in upper and lower case' if unicodedata.normalize(
        'NFC', name) != unicodedata.normalize('NFC', twin) else
           f'looks the same but is spelled otherwise (Unicode {form})')
    return issue.MISSING, (f'file not found; {printable.quote(twin)} is there, '
                           f'whose name {how}')

  @functools.cached_property
  def _twins(self) -> dict[str, str]:
    """File names by their Unicode-normalized, case-folded form."""
    return {_fold(name): name for name in self.files}


def _is_wanted(name: str) -> bool:
  return not any(map(litter.is_litter, name.split('/')))


def _fold(name: str) -> str:
  return unicodedata.normalize('NFC', name).casefold()


def scan(images: str, pattern: str) -> Listing:
  """Returns the listing of a folder of images.

  Args:
    images: folder, local or an address.
    pattern: valid for file_pattern.check.

  Raises:
    errors.DataError: the folder itself cannot be listed.
  """
  # One scan: a stat for each of 124,288 files takes minutes on a remote disk.
  try:
    if filesystem.is_remote(images):
      return Listing(
          frozenset(folders_lib.list_names(images, recursive='/' in pattern)))
    found = _Scan()
    found.add_folder(images, '', file_pattern.match_folders(pattern))
  except OSError as error:
    raise errors.describe_read(images, error, 'the folder of images') from error
  return Listing(frozenset(found.files), found.others, found.unread)


def find_example(images: str, listing: Listing) -> str:
  """Returns the name of a file in the folder, not litter; '' if none."""
  names = [*filter(_is_wanted, listing.files)]
  if names or filesystem.is_remote(images):
    return min(names, default='')
  for top, folders, files in itertools.islice(os.walk(images), _MANY):
    folders.sort()
    names = [*filter(_is_wanted, files)]
    if names:
      path = os.path.relpath(os.path.join(top, min(names)), images)
      return path.replace(os.sep, '/')
  return ''


def map_files(read: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
  """Returns read(item) of every item, in order; reads in 16 threads."""

  def read_some(start: int) -> list[Any]:
    return [read(item) for item in items[start:start + _FILES_PER_TASK]]

  with futures.ThreadPoolExecutor(_NUM_THREADS) as pool:
    tasks = pool.map(read_some, range(0, len(items), _FILES_PER_TASK))
    return [found for task in tasks for found in task]


class _Scan:
  """The lists of a Listing while folders are listed."""

  def __init__(self):
    self.files: list[str] = []
    self.others: dict[str, str] = {}
    self.unread: dict[str, str] = {}

  def add_folder(self, path: str, prefix: str, folders: list) -> None:
    """Lists a folder and its subfolders that match the pattern.

    Args:
      path: of the folder.
      prefix: added to the names in it.
      folders: compiled patterns of the subfolders' names, one a level.

    Raises:
      OSError: the folder cannot be listed.
    """
    with os.scandir(path) as entries:
      for entry in entries:
        name = prefix + entry.name
        try:
          is_folder = entry.is_dir()
          if entry.is_file():
            self.files.append(name)
          elif not is_folder:
            self.others[name] = _describe(entry)
          elif not folders:
            self.others[name] = 'a folder'
          elif folders[0].fullmatch(entry.name):
            self.add_folder(entry.path, f'{name}/', folders[1:])
        except FileNotFoundError:  # removed just now
          pass
        except NotADirectoryError:
          self.others[name] = _describe(entry)
        except OSError as error:
          self.unread[name] = errors.explain(error)


def _describe(entry: os.DirEntry) -> str:
  """Returns the kind of an entry that is neither a file nor a folder."""
  if entry.is_symlink() and not os.path.exists(entry.path):
    target = printable.escape_line(os.readlink(entry.path))
    return f'a link to {target}, which does not exist'
  mode = entry.stat().st_mode
  if stat.S_ISFIFO(mode):
    return 'a named pipe'
  return 'a socket' if stat.S_ISSOCK(mode) else 'a device'
