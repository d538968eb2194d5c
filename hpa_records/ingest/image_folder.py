"""Lists the folder of images as deep as the names of the files go.

Only folders that are part of a name or of a pattern are listed. Links are
followed: a circle of links ends with the last part. os.walk would list other
folders, too, and would skip those that it cannot read.

Files that cannot be read are kept apart from missing files: the former may be
valid, and only the latter may be skipped.
"""

from concurrent import futures
import dataclasses
import functools
import itertools
import os
import stat
from typing import Any, Callable, Collection, Sequence
import unicodedata

from hpa_records.datasets import template
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

  def find_values(self, patterns: Sequence[str]) -> list[dict[str, str]]:
    """Returns the values of the fields of all names that match a pattern.

    Includes names with issues: files in another letter case, unreadable ones,
    and names of something other than a file. Ignores litter.is_litter files.

    Args:
      patterns: templates without modifiers, each with the same fields.

    Returns:
      Each combination of values once, in no order.
    """
    found = {}
    for pattern in patterns:
      parts = pattern.split('/')
      shorter = ['/'.join(parts[:i + 1]) for i in range(len(parts))]
      # Of a folder of the pattern, only if it has all fields.
      fits = [
          template.compile_name(each) if set(template.find_fields(each)) == set(
              template.find_fields(pattern)) else None for each in shorter
      ]
      matches = [
          fits[-1].fullmatch(name) for name in filter(_is_wanted, self.files)
      ]
      matches += [
          fits[name.count('/')].fullmatch(name)
          for name in filter(_is_wanted, [*self.others, *self.unread])
          if name.count('/') < len(parts) and fits[name.count('/')]
      ]
      for match in filter(None, matches):
        values = template.read_values(match, pattern)
        found[tuple(sorted(values.items()))] = values
    return list(found.values())

  def find_unfit(self, patterns: Sequence[str]) -> list[str]:
    """Returns the files that match no pattern, sorted; no litter."""
    fits = [template.compile_name(each) for each in patterns]
    return sorted(name for name in filter(_is_wanted, self.files)
                  if not any(each.fullmatch(name) for each in fits))

  def find_file(self, name: str) -> tuple[str, str]:
    """Returns the file that a filled pattern stands for.

    Args:
      name: with template.FILLED_ANY for any text without '/'.

    Returns:
      (name of the file, ''); or, if there is none or are two, (name with *, the
      message of an issue, '' if there is none).
    """
    if template.FILLED_ANY not in name:
      return name, ''
    folder = name.rpartition('/')[0]
    pattern = template.compile_filled(name)
    found = [
        each for each in self._by_folder.get(folder, ())
        if pattern.fullmatch(each)
    ]
    if len(found) == 1:
      return found[0], ''
    name = name.replace(template.FILLED_ANY, template.ANY)
    if not found:
      return name, ''
    return name, (f'{len(found):,} files match: '
                  f'{printable.show_list(sorted(found))}; remove all but one, '
                  'or make the pattern narrower')

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
  def _by_folder(self) -> dict[str, list[str]]:
    """Wanted file names by their folder."""
    found: dict[str, list[str]] = {}
    for name in filter(_is_wanted, self.files):
      found.setdefault(name.rpartition('/')[0], []).append(name)
    return found

  @functools.cached_property
  def _twins(self) -> dict[str, str]:
    """File names by their Unicode-normalized, case-folded form."""
    return {_fold(name): name for name in self.files}


def _is_wanted(name: str) -> bool:
  return not any(map(litter.is_litter, name.split('/')))


def _fold(name: str) -> str:
  return unicodedata.normalize('NFC', name).casefold()


def scan(images: str, names: Collection[str]) -> Listing:
  """Returns the listing of the folders that have the named files.

  Args:
    images: folder, local or an address.
    names: of files in it, with '/' between the parts.

  Raises:
    errors.DataError: the folder itself cannot be listed.
  """
  wanted = {
      _fold('/'.join(parts[:i]))
      for parts in {tuple(name.split('/')[:-1])
                    for name in names}
      for i in range(1,
                     len(parts) + 1)
  }
  return _scan(images, lambda name: _fold(name) in wanted, bool(wanted))


def scan_pattern(images: str, patterns: Sequence[str]) -> Listing:
  """Returns the listing of the folders whose files may match a pattern.

  Args:
    images: folder, local or an address.
    patterns: templates without modifiers.

  Raises:
    errors.DataError: the folder itself cannot be listed.
  """
  fits = [
      template.compile_name('/'.join(each.split('/')[:depth]))
      for each in patterns
      for depth in range(1,
                         each.count('/') + 1)
  ]
  return _scan(images, lambda name: any(each.fullmatch(name) for each in fits),
               bool(fits))


def _scan(images: str, is_wanted: Callable[[str], bool],
          has_folders: bool) -> Listing:
  # One scan: a stat for each of 124,288 files takes minutes on a remote disk.
  try:
    if filesystem.is_remote(images):
      return Listing(
          frozenset(folders_lib.list_names(images, recursive=has_folders)))
    found = _Scan(is_wanted)
    found.add_folder(images, '')
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

  def __init__(self, is_wanted: Callable[[str], bool]):
    """Starts empty.

    Args:
      is_wanted: says of a subfolder's name, relative to the top, whether it is
        listed, too.
    """
    self._is_wanted = is_wanted
    self.files: list[str] = []
    self.others: dict[str, str] = {}
    self.unread: dict[str, str] = {}

  def add_folder(self, path: str, prefix: str) -> None:
    """Lists a folder and its subfolders that are wanted.

    Args:
      path: of the folder.
      prefix: added to the names in it.

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
          elif self._is_wanted(name):
            self.add_folder(entry.path, f'{name}/')
          else:
            self.others[name] = 'a folder'
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
