"""Patterns of file names such as '{id}_{channel}.png', and their matches.

str.format would also accept '{id!r:>9}' and '{0}'. Here only {id} and {channel}
are allowed in braces.
"""

import re
from typing import Iterable

from hpa_records.format import spec
from hpa_records.runtime import errors

# File extension → required format.
FORMATS = {
    '.png': 'PNG',
    '.tif': 'TIFF',
    '.tiff': 'TIFF',
    '.jpg': 'JPEG',
    '.jpeg': 'JPEG',
    '.tif.gz': 'TIFF',
    '.tiff.gz': 'TIFF',
    '.jp2': 'JPEG 2000',
    '.j2k': 'JPEG 2000'
}
ENDINGS = ', '.join(FORMATS)


def strip_extension(name: str) -> str:
  """Returns a file's name without its extension; other dots are kept.

  Args:
    name: such as a.b.png or a.ome.tif, which become a.b and a.
  """
  for ending in ('.gz', *FORMATS, '.ome'):
    if name.lower().endswith(ending):
      name = name[:-len(ending)]
  return name


def check(pattern: str) -> None:
  """Checks a pattern.

  Args:
    pattern: with {id} and {channel}, each once; '/' separates folders.

  Raises:
    errors.DataError: it has other braces, leads out of the image folder, or
      its extension is not in FORMATS.
  """
  wrong = ''
  if sorted(re.findall('{[^{}]*}', pattern)) != ['{channel}', '{id}']:
    wrong = 'with {id} and {channel}, each once'
  elif set('{}') & set(pattern.replace('{id}', '').replace('{channel}', '')):
    wrong = 'with nothing in braces but {id} and {channel}'
  elif '\\' in pattern or set(pattern.split('/')) & {'', '.', '..'}:
    wrong = "below the image folder, with '/' between its parts"
  elif not pattern.isprintable():
    wrong = 'of printable characters'
  elif not pattern.lower().endswith(tuple(FORMATS)):
    wrong = f'that ends in one of {ENDINGS}'
  if wrong:
    raise errors.DataError(
        f'Expected a --pattern {wrong}, received {pattern!r}.')


def name(pattern: str, sample_id: str, channel: str) -> str:
  """Returns the name of a file, relative to the image folder.

  Args:
    pattern: as passed by check.
    sample_id: of the sample.
    channel: one of spec.CHANNELS.
  """
  before, _, after = pattern.partition('{id}')
  return ''.join(
      (before.replace('{channel}',
                      channel), sample_id, after.replace('{channel}', channel)))


def find_ids(pattern: str, names: Iterable[str],
             others: Iterable[str] = ()) -> list[str]:
  """Returns the sorted ids of the samples that have a file among names.

  Args:
    pattern: as passed by check.
    names: of files, relative to the image folder, with '/' between the parts.
      Names that do not match are ignored. Case is ignored, so .PNG matches
      .png.
    others: names of other items (a broken link, say) in place of a file or of
      a folder above it.
  """
  parts = pattern.split('/')
  fits = [_compile('/'.join(parts[:i + 1])) for i in range(len(parts))]
  found = [fits[-1].fullmatch(name) for name in names]
  found += [
      fits[name.count('/')].fullmatch(name)
      for name in others
      if name.count('/') < len(parts)
  ]
  return sorted({m['id'] for m in found if m and 'id' in m.re.groupindex})


def find_unfit(pattern: str, names: Iterable[str]) -> list[str]:
  """Returns the sorted names that find_ids ignores."""
  fits = _compile(pattern)
  return sorted(name for name in names if not fits.fullmatch(name))


def match_folders(pattern: str) -> list[re.Pattern]:
  """Returns a regular expression for each folder level, from the top.

  Args:
    pattern: as passed by check.
  """
  return [_compile(part) for part in pattern.split('/')[:-1]]


def _compile(pattern: str) -> re.Pattern:
  """Returns the regular expression of a pattern or of a part of one."""
  channels = '|'.join(spec.CHANNELS)
  return re.compile(
      re.escape(pattern).replace(re.escape('{id}'), '(?P<id>[^/]+)').replace(
          re.escape('{channel}'), f'(?:{channels})'), re.DOTALL | re.IGNORECASE)
