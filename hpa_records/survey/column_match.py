"""Finds the columns of a table whose texts are the tokens of file names."""

import itertools
from typing import NamedTuple, Sequence

from hpa_records.survey import table as table_lib
from hpa_records.survey import word

_MOST = .9  # share of texts or of rows that is taken for all
_FEW = .2  # share of files with a row, below which columns are not theirs
_MAX_OPTIONS = 3  # columns that are tried for a place
_MAX_CHOICES, _MAX_KEYS = 256, 2000  # columns tried together, on files


class Match(NamedTuple):
  """The columns of file names.

  Attributes:
    columns: (name, text before it) by place of the tokens.
    share: of the files that have a row, 0..1.
  """
  columns: dict[int, tuple[str, str]]
  share: float


def find(table: table_lib.Table, rows: Sequence[tuple[str, ...]],
         places: Sequence[int]) -> Match:
  """Returns the columns that together explain most places.

  Args:
    table: of the samples.
    rows: the tokens of each name.
    places: of the tokens to explain.
  """
  options = {
      place:
          _find_options(table, list(dict.fromkeys(row[place] for row in rows)))
      for place in places
  }
  options = {place: each for place, each in options.items() if each}
  keys = dict.fromkeys(tuple(row[place] for place in options) for row in rows)
  keys = list(keys)[:_MAX_KEYS]
  best, best_score = Match({}, 0.0), (False, 0, 0.0)
  choices = itertools.product(*([*each, None] for each in options.values()))
  for chosen in itertools.islice(choices, _MAX_CHOICES):
    found = {i: each for i, each in enumerate(chosen) if each is not None}
    if not found or len({name for name, _ in found.values()}) < len(found):
      continue
    known = set(table.find([name for name, _ in found.values()]))
    hits = sum(
        tuple(key[i][len(prefix):]
              for i, (_, prefix) in found.items()) in known
        for key in keys)
    share = hits / len(keys)
    score = (share >= _MOST, len(found) if share >= _MOST else 0, share)
    if score > best_score and share > _FEW:
      best_score = score
      best = Match({list(options)[i]: each for i, each in found.items()}, share)
  return best


def _find_options(table: table_lib.Table,
                  texts: Sequence[str]) -> list[tuple[str, str]]:
  """Returns (name, text before it) of the columns that have texts of a place.
  """
  found, letters = [], word.find_prefix(texts)
  for prefix in dict.fromkeys(('', letters)):
    wanted = {text[len(prefix):] for text in texts}
    for number, column in enumerate(table.columns):
      share = len(wanted & column.values.keys()) / len(wanted)
      if not column.fits_template or (share < _MOST and
                                      not (column.is_unique and share > _FEW)):
        continue
      is_named = bool(letters) and letters.lower() in column.name.lower()
      others = len(column.values) - len(wanted)
      found.append(((not column.is_unique, not is_named, -share, others,
                     number), (column.name, prefix)))
  return [each for _, each in sorted(found)[:_MAX_OPTIONS]]
