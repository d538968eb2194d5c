"""Finds the pattern of file names: ids, channels, classes, columns of a table.

The tokens of a place that are the same in all names are text of the pattern.
The channel is the place whose tokens are combined with all others, and looks
most like one. Other places are columns of the table that have their tokens, or
fields of their own.
"""

import collections
import dataclasses
from typing import Sequence

from hpa_records.datasets import template
from hpa_records.format import spec
from hpa_records.runtime import printable
from hpa_records.survey import column_match
from hpa_records.survey import label_column
from hpa_records.survey import name_token
from hpa_records.survey import table as table_lib
from hpa_records.survey import word

_MOST = .9  # share of groups or values that is taken for all
_HALF, _CERTAIN = .5, 2  # of what looks like channels by word.rate_channel
_MAX_FEW = 20  # values of `each`


@dataclasses.dataclass(frozen=True)
class Names:
  """What file names say.

  Attributes:
    pattern: of images.
    channels: what {channel} stands for; () without it.
    columns: of the table, in the pattern.
    fields: other fields of the pattern, with their values.
    each: those of fields that are combined with all samples of a table.
    classes: what {class} stands for; () without it.
    notes: what was assumed or not understood, a line each.
  """
  pattern: str
  channels: tuple[str, ...] = ()
  columns: tuple[str, ...] = ()
  fields: dict[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
  each: tuple[str, ...] = ()
  classes: tuple[str, ...] = ()
  notes: tuple[str, ...] = ()


def find(names: Sequence[str],
         table: table_lib.Table,
         has_channels: bool = True,
         has_colors: bool = False) -> Names:
  """Returns what the names of image files say.

  Args:
    names: with '/' between folders; at least one.
    table: of the samples; may be empty.
    has_channels: whether each file may be of one channel.
    has_colors: whether the files have several values a pixel. Then folders
      with other names than those of channels are classes.
  """
  known = {
      text for column in table.columns for text in column.values
      if not text.isalnum()
  }
  return _Finder(name_token.split(names, known), table,
                 has_colors).find(has_channels)


def can_be_in_pattern(name: str) -> bool:
  """Returns whether a pattern can have all the text of a file's name."""
  return (name.isprintable() and not set(name) & set('{}*\\') and
          not name.rpartition('/')[2].startswith('.'))


class _Finder:
  """Decides what each place of the tokens is."""

  def __init__(self, tokens: name_token.Tokens, table: table_lib.Table,
               has_colors: bool):
    self._tokens, self._table = tokens, table
    self._has_colors = has_colors
    count = len(tokens.rows[0])
    self._texts = [
        list(dict.fromkeys(tokens.column(place))) for place in range(count)
    ]
    self._ids = set().union(*(each.values
                              for each in table.columns
                              if each.is_unique and each.fits_template))
    self._varying = [
        place for place in range(count) if len(self._texts[place]) > 1
    ] or self._find_only_id()
    self._random = [
        place for place in self._varying
        if len(self._texts[place]) == len(tokens.rows) and
        name_token.is_random(self._texts[place])
    ]
    self._parts = [each[0] for each in self._texts]  # of the pattern
    self._notes: list[str] = []

  def find(self, has_channels: bool) -> Names:
    """Returns what the names say, as the function find."""
    tokens = self._tokens
    if tokens.num_others:
      self._notes.append(
          f'{tokens.num_others:,} files do not match the pattern, such as '
          f'{printable.quote(tokens.example)}')
    channel = self._find_channel() if has_channels else None
    places = [each for each in self._varying if each != channel]
    columns, share = column_match.find(self._table, tokens.rows, places)
    if columns and share < 1:
      self._notes.append(
          f'{1 - share:.0%} of the files have no row in the table')
    for place, (name, prefix) in columns.items():
      self._parts[place] = f'{prefix}{{{name}}}'
    rest = [each for each in places if each not in columns]
    channels = ()
    if channel is not None:
      channels = word.order(self._texts[channel])
      self._parts[channel] = '{channel}'
    classes = () if self._table.columns else self._find_classes(rest)
    rest = [each for each in rest if self._parts[each] != '{class}']
    fields, each = self._name_rest(rest, columns, channel)
    self._ensure_id(channel)
    return Names(self._join(), channels,
                 tuple(name for name, _ in columns.values()), fields, each,
                 classes, tuple(self._notes))

  def _find_only_id(self) -> list[int]:
    """Returns the places of an id in a folder of one file."""
    places = range(len(self._texts))
    if self._table.columns:
      return [each for each in places if self._texts[each][0] in self._ids]
    return [
        each for each in places
        if not any('/' in text for text in self._tokens.between[each + 1:])
    ]

  def _find_channel(self) -> int | None:
    """Returns the place of the channel, or None."""
    if len(self._texts) == 1:  # nothing else would tell samples apart
      return None
    found = []
    for place in self._varying:
      texts = set(self._texts[place])
      if (not 1 < len(texts) <= spec.MAX_CHANNELS or
          name_token.is_random(texts) or texts <= self._ids):
        continue
      groups = collections.defaultdict(set)
      for row in self._tokens.rows:
        groups[tuple(text for i, text in enumerate(row)
                     if i != place and i not in self._random)].add(row[place])
      share = sum(each == texts for each in groups.values()) / len(groups)
      rating = word.rate_channel(self._texts[place])
      # Of two files alone, each may be a sample.
      is_certain = rating >= _CERTAIN
      if (not is_certain and self._has_colors and
          any(map(self._is_class, self._varying))):
        continue
      if share >= (_HALF if is_certain else _MOST) and (is_certain or
                                                        len(groups) > 1):
        found.append((rating, place))
        if share < 1:
          self._notes.append(
              f'{1 - share:.0%} of the samples lack some of the files '
              f'{", ".join(sorted(texts))}')
    rating, place = max(found, default=(-1, 0))
    if rating < 0:
      return None
    others = [
        self._show(other)
        for each, other in found
        if other != place and each >= 0
    ]
    if others:
      self._notes.append(f'{self._show(place)} was taken for the channel; it '
                         f'might be {" or ".join(others)}')
    return place

  def _find_classes(self, rest: Sequence[int]) -> tuple[str, ...]:
    """Returns the folders that may be classes."""
    for place in rest:
      texts = self._texts[place]
      if self._is_class(place):
        self._parts[place] = '{class}'
        self._notes.append(
            f'the folders {self._show(place)} were taken for classes; if they '
            'are none, write another field in place of {class}')
        return tuple(sorted(texts))
    return ()

  def _is_class(self, place: int) -> bool:
    """Returns whether a place is a whole folder that may be a class."""
    before, after = self._tokens.between[place:place + 2]
    return (not self._table.columns and place not in self._random and
            after.startswith('/') and (before.endswith('/') or not place) and
            label_column.are_classes(self._texts[place]))

  def _name_rest(
      self, rest: list[int], columns: dict[int, tuple[str,
                                                      str]], channel: int | None
  ) -> tuple[dict[str, tuple[str, ...]], tuple[str, ...]]:
    """Names the places that are no columns; returns fields and `each`."""
    known = [each for each in self._varying if each not in rest]
    if len(rest) > 1 or known and (columns or channel is None):
      # A random number beside an id; one that is all of it remains.
      kept = [each for each in rest if each not in self._random]
      if not columns and not kept:
        kept = rest[:1]
      for place in set(rest) - set(kept):
        self._parts[place] = template.ANY
      rest = kept
    if not self._table.columns and self._join_id(rest, channel):
      return {}, ()
    fields, combined = {}, []
    for place in rest:
      texts = self._texts[place]
      prefix = word.find_prefix(texts)
      name = word.name_field(texts, prefix, len(fields) + 1)
      if name in fields or name in {each for each, _ in columns.values()}:
        name = f'part{len(fields) + 1}'
      self._parts[place] = f'{prefix}{{{name}}}'
      fields[name] = word.order(text[len(prefix):] for text in texts)
      if not self._table.columns:
        continue
      if len(texts) <= _MAX_FEW and columns:
        combined.append(name)
      else:
        self._notes.append(
            f'{self._show(place)}: {len(texts):,} texts in file names that no '
            f'column of the table has; add a column {name}')
    return fields, tuple(combined)

  def _ensure_id(self, channel: int | None) -> None:
    """Makes {id} of tokens beside the channel if the pattern has no field."""
    if set(template.find_fields(self._join())) - {'channel', 'class'}:
      return
    places = [
        i for i, part in enumerate(self._parts)
        if i != channel and part not in ('{class}', template.ANY)
    ]
    between = self._tokens.between
    run = places[-1:]  # back to the channel or a folder
    while run and run[0] - 1 in places and '/' not in between[run[0]]:
      run.insert(0, run[0] - 1)
    if run and self._join_id(run, channel):
      self._notes.append('nothing in the names tells samples apart: {id} is '
                         'the same in all')

  def _join_id(self, rest: Sequence[int], channel: int | None) -> bool:
    """Makes {id} of the places between the first and the last, if it can."""
    if not rest:
      return False
    first, last = rest[0], rest[-1]
    between = ''.join(self._tokens.between[first + 1:last + 1])
    inside = range(first, last + 1)
    if '/' in between or channel in inside or any(
        self._parts[i] in ('{class}', template.ANY) for i in inside):
      return False
    self._parts[first] = '{id}'
    for place in inside[1:]:
      self._parts[place] = ''
    self._joined = inside
    return True

  _joined: range = range(0)

  def _join(self) -> str:
    """Returns the pattern."""
    text = self._tokens.between[0]
    for place, part in enumerate(self._parts):
      between = self._tokens.between[place + 1]
      text += part
      if place not in self._joined[:-1]:
        text += between
    return text

  def _show(self, place: int) -> str:
    texts = word.order(self._texts[place])
    more = ', ...' if len(texts) > 6 else ''
    return f'"{", ".join(texts[:6])}{more}"'
