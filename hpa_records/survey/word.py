"""Words in names of channels, columns and file names, and what they mean."""

import re
from typing import Iterable, Sequence

# The first that occurs in a channel's name gives its color.
_COLORS = (('gray', '#ffffff'), ('red', '#ff0000'), ('green', '#00ff00'),
           ('blue', '#0000ff'), ('yellow', '#ffff00'), ('dapi', '#0000ff'),
           ('hoechst', '#0000ff'), ('dna', '#0000ff'), ('nucle', '#0000ff'),
           ('tubul', '#00ff00'), ('gfp', '#00ff00'), ('protein', '#00ff00'),
           ('actin', '#ff0000'), ('mito', '#ff0000'), ('agp', '#ffff00'),
           ('rna', '#00ffff'))
_PALETTE = ('#0000ff', '#00ff00', '#ff0000', '#00ffff', '#ff00ff', '#ffff00')
_CHANNEL_PREFIXES = ('w', 'ch', 'c', 'channel', 'd', 'wv', 'wavelength')
_OTHER_PREFIXES = {
    's': 'site',
    'site': 'site',
    'f': 'field',
    'field': 'field',
    'fov': 'field',
    'p': 'plane',
    'z': 'z',
    't': 'time',
    'plate': 'plate',
    'well': 'well',
    'r': 'row'
}
_WELL = re.compile('[A-P][0-9]{1,2}')
_LABELS = re.compile(
    '(^|_)(targets?|labels?|class(es)?|locations?|annotations?|moa|sirna|'
    'treatments?|pert|phenotypes?|conditions?)(_|$)', re.IGNORECASE)
# In this order: samples of one donor are more alike than those of one plate.
_GROUPS = ('donor', 'patient', 'antibody', 'ensg', 'gene', 'compound',
           'experiment', 'batch', 'slide', 'plate', 'group')
_PLACES = ('well', 'site', 'field', 'position', 'row', 'col', 'sample', 'time',
           'fold', 'concentration', 'dose', 'index', 'width', 'height', 'count')
_ID = re.compile('(^|_)(?i:id|name|code)$|I[dD]$')
_PREFIX = re.compile('[A-Za-z]+')


def order(texts: Iterable[str]) -> tuple[str, ...]:
  """Returns texts sorted, with the numbers in them by their value."""
  return tuple(
      sorted(texts,
             key=lambda text: [(len(each), each)
                               if each.isdigit() else (0, each)
                               for each in re.split('([0-9]+)', text)]))


def find_colors(names: Sequence[str]) -> list[str]:
  """Returns a display color for each channel, by its name or its place."""
  return [
      next((color for word, color in _COLORS if word in name.lower()),
           _PALETTE[i % len(_PALETTE)]) for i, name in enumerate(names)
  ]


def find_prefix(texts: Sequence[str]) -> str:
  """Returns the letters that all texts begin with and continue after."""
  found = {(_PREFIX.match(each) or [''])[0] for each in texts}
  first = next(iter(found), '')
  return first if len(found) == 1 and all(
      len(each) > len(first) for each in texts) else ''


def rate_channel(texts: Sequence[str]) -> int:
  """Returns how much the tokens of a place look like channels, -1..3."""
  if all(any(word in each.lower() for word, _ in _COLORS) for each in texts):
    return 3
  prefix = find_prefix(texts).lower()
  if prefix in _CHANNEL_PREFIXES:
    return 2
  if prefix in _OTHER_PREFIXES or all(map(_WELL.fullmatch, texts)):
    return -1
  return 0 if all(map(str.isdigit, texts)) else 1


def name_field(texts: Sequence[str], prefix: str, number: int) -> str:
  """Returns a name for the tokens of a place."""
  if all(map(_WELL.fullmatch, texts)):
    return 'well'
  return _OTHER_PREFIXES.get(prefix.lower(), f'part{number}')


def is_label(name: str) -> bool:
  """Returns whether a column's name is one of labels."""
  return bool(_LABELS.search(name))


def is_place(name: str) -> bool:
  """Returns whether a column's name is one of a place or a number."""
  return any(word in name.lower() for word in _PLACES)


def rate_group(name: str) -> int:
  """Returns the rank of a column's name among those of groups; 0 is none."""
  ranks = [
      len(_GROUPS) - i
      for i, word in enumerate(_GROUPS)
      if word in name.lower()
  ]
  return max(ranks, default=0)


def is_id(name: str) -> bool:
  """Returns whether a column's name is one of an id."""
  return bool(_ID.search(name))
