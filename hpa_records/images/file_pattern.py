"""File names: a pattern such as '{id}_{channel}.png', and what fits it.

str.format would take '{id!r:>9}' and '{0}' too; the two braces are replaced as
they stand, and a pattern with anything else in braces is refused.
"""

import re
from typing import Iterable

from hpa_records.format import spec
from hpa_records.runtime import errors

# By ending of the name: what the file has to hold.
FORMATS = {
    '.png': 'PNG',
    '.tif': 'TIFF',
    '.tiff': 'TIFF',
    '.jpg': 'JPEG',
    '.jpeg': 'JPEG'
}
ENDINGS = ', '.join(FORMATS)


def check(pattern: str) -> None:
  """Checks a pattern.

  Args:
    pattern: with {id} and {channel}, each once; '/' parts folders.

  Raises:
    errors.DataError: it has other braces, leaves the image folder, or its
      ending is not one of FORMATS.
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
  """Returns the name of a file inside the image folder.

  Args:
    pattern: a checked one.
    sample_id: of the sample.
    channel: one of spec.CHANNELS.
  """
  before, _, after = pattern.partition('{id}')
  return ''.join(
      (before.replace('{channel}',
                      channel), sample_id, after.replace('{channel}', channel)))


def find_ids(pattern: str, names: Iterable[str],
             others: Iterable[str] = ()) -> list[str]:
  """Returns the ids of the samples that have a file among names, sorted.

  Args:
    pattern: a checked one.
    names: of files inside the image folder, with '/' between the parts; those
      that do not fit the pattern are passed over. Upper and lower case are
      one: a sample whose files end in .PNG is not passed over.
    others: of what stands where a file, or a folder on the way to it, should.
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
  """Returns those of names that find_ids passes over, sorted."""
  fits = _compile(pattern)
  return sorted(name for name in names if not fits.fullmatch(name))


def match_folders(pattern: str) -> list[re.Pattern]:
  """Returns what fits the names of the folders on the way, from the top.

  Args:
    pattern: a checked one.
  """
  return [_compile(part) for part in pattern.split('/')[:-1]]


def _compile(pattern: str) -> re.Pattern:
  """What fits a pattern, or the beginning or a part of one."""
  channels = '|'.join(spec.CHANNELS)
  return re.compile(
      re.escape(pattern).replace(re.escape('{id}'), '(?P<id>[^/]+)').replace(
          re.escape('{channel}'), f'(?:{channels})'), re.DOTALL | re.IGNORECASE)
