"""File names: a pattern such as '{id}_{channel}.png', and what fits it.

str.format would take '{id!r:>9}' and '{0}' too; the two braces are replaced as
they stand, and a pattern with anything else in braces is refused.
"""

import re

from hpa_records import schema

# By ending of the name: what the file has to hold.
FORMATS = {
    '.png': 'PNG',
    '.tif': 'TIFF',
    '.tiff': 'TIFF',
    '.jpg': 'JPEG',
    '.jpeg': 'JPEG'
}
ENDINGS = ', '.join(FORMATS)
_LITTER = {'.DS_Store', 'Thumbs.db', 'desktop.ini', '.directory'}


def check(pattern: str) -> None:
  """Checks a pattern.

  Args:
    pattern: with {id} and {channel}, each once; '/' parts folders.

  Raises:
    schema.DataError: it has other braces, leaves the image folder, or its
      ending is not one of FORMATS.
  """
  wrong = ''
  if sorted(re.findall('{[^{}]*}', pattern)) != ['{channel}', '{id}']:
    wrong = 'with {id} and {channel}, each once'
  elif set('{}') & set(pattern.replace('{id}', '').replace('{channel}', '')):
    wrong = 'with nothing in braces but {id} and {channel}'
  elif '\\' in pattern or set(pattern.split('/')) & {'', '.', '..'}:
    wrong = "below the image folder, with '/' between its parts"
  elif not pattern.lower().endswith(tuple(FORMATS)):
    wrong = f'that ends in one of {ENDINGS}'
  if wrong:
    raise schema.DataError(
        f'Expected a --pattern {wrong}, received {pattern!r}.')


def name(pattern: str, sample_id: str, channel: str) -> str:
  """Returns the name of a file inside the image folder.

  Args:
    pattern: a checked one.
    sample_id: of the sample.
    channel: one of schema.CHANNELS.
  """
  before, _, after = pattern.partition('{id}')
  return ''.join(
      (before.replace('{channel}',
                      channel), sample_id, after.replace('{channel}', channel)))


def find_ids(pattern: str, names: list[str]) -> list[str]:
  """Returns the ids of the samples that have a file among names, sorted.

  Args:
    pattern: a checked one.
    names: inside the image folder, with '/' between the parts; those that do
      not fit the pattern are passed over.
  """
  channels = '|'.join(schema.CHANNELS)
  fits = re.compile(
      re.escape(pattern).replace(re.escape('{id}'), '(?P<id>[^/]+)').replace(
          re.escape('{channel}'), f'(?:{channels})'), re.DOTALL)
  return sorted({m['id'] for m in map(fits.fullmatch, names) if m})


def is_litter(file_name: str) -> bool:
  """Returns whether a file browser or version control put a file there, not
  the user.

  Args:
    file_name: with '/' between the parts.
  """
  base = file_name.rpartition('/')[2]
  return base in _LITTER or base.startswith('._')
