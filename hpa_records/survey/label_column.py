"""Finds the labels of a table: columns, their form and their separator."""

import dataclasses
from typing import Sequence

from hpa_records.format import spec
from hpa_records.survey import table as table_lib
from hpa_records.survey import word

_SEPARATORS = ('|', ';', ',')


@dataclasses.dataclass(frozen=True)
class Labels:
  """The labels of a table.

  Attributes:
    form: as of layout.Table; '' if there are none.
    columns: with labels; of form 'columns', one a class.
    classes: their names, in order.
    separator: as of layout.Table.
    single: whether each row has at most one.
    num_empty: rows without a label.
    notes: what was assumed or not understood, a line each.
    maybe: columns that may have labels.
  """
  form: str = ''
  columns: tuple[str, ...] = ()
  classes: tuple[str, ...] = ()
  separator: str = ' '
  single: bool = False
  num_empty: int = 0
  notes: tuple[str, ...] = ()
  maybe: tuple[str, ...] = ()


def are_classes(names: Sequence[str]) -> bool:
  """Returns whether a dataset may have classes of these names."""
  try:
    spec.check_names('class', names, spec.MAX_CLASSES, 1)
  except ValueError:
    return False
  return True


def find(columns: Sequence[table_lib.Column]) -> Labels:
  """Returns the labels among the columns that nothing else explains."""
  flags = [
      each for each in columns if each.is_boolean and are_classes([each.name])
  ]
  others = [
      each for each in columns if each not in flags and not each.is_constant
  ]
  named = [each for each in others if word.is_label(each.name)]
  if not named and 1 < len(flags) <= spec.MAX_CLASSES:
    return _of_flags(flags)
  notes = []
  if not named:
    named = [
        each for each in others
        if not each.is_unique and not word.is_place(each.name) and
        not word.rate_group(each.name) and not word.is_id(each.name)
    ]
    if len(named) != 1:
      return Labels(maybe=tuple(each.name for each in named))
    notes.append(f'{named[0].name} was taken for the labels: its values '
                 'repeat, and nothing else explains it')
  chosen = _choose(named)
  return dataclasses.replace(
      _of_texts(chosen, notes),
      maybe=tuple(each.name for each in named if each not in chosen))


def _of_flags(flags: Sequence[table_lib.Column]) -> Labels:
  """Returns the labels of boolean columns."""
  rows = zip(*(each.texts for each in flags))
  counts = [
      sum(text.lower() in ('true', '1', '1.0', 'yes')
          for text in row)
      for row in rows
  ]
  note = (f'{len(flags)} columns with True or False, or 1 or 0, were taken for '
          'classes; remove those that are none')
  return Labels('columns',
                tuple(each.name for each in flags),
                tuple(each.name for each in flags),
                single=max(counts) < 2,
                num_empty=counts.count(0),
                notes=(note,))


def _choose(named: Sequence[table_lib.Column]) -> list[table_lib.Column]:
  """Returns the first column, and those with the same labels in its name."""
  first = named[0]
  parts = _split(first, _find_separator([first]))
  stem = first.name.rstrip('0123456789')
  return [first] + [
      each for each in named[1:]
      if len(stem) < len(first.name) and each.name.rstrip('0123456789') == stem
      and parts & _split(each, _find_separator([each]))
  ]


def _split(column: table_lib.Column, separator: str) -> set[str]:
  parts = (each for text in column.values for each in text.split(separator))
  return {each.strip() for each in parts} - {''}


def _find_separator(columns: Sequence[table_lib.Column]) -> str:
  """Returns what separates labels; '\\n' if cells have one label."""
  texts = [text for each in columns for text in each.values]
  for separator in _SEPARATORS:
    if any(separator in text for text in texts):
      return separator
  if any(' ' in text for text in texts) and all(
      part.isdigit() for text in texts for part in text.split()):
    return ' '
  return '\n'


def _of_texts(columns: Sequence[table_lib.Column],
              notes: Sequence[str]) -> Labels:
  notes = list(notes)
  separator = _find_separator(columns)
  labels = set().union(*(_split(each, separator) for each in columns))
  rows = list(zip(*(each.texts for each in columns)))
  is_single = separator == '\n' and all(sum(map(bool, row)) < 2 for row in rows)
  num_empty = sum(not any(row) for row in rows)
  names = tuple(each.name for each in columns)
  if not are_classes(sorted(labels)):
    notes.append(f'{len(labels):,} different labels in {", ".join(names)}: more'
                 f' than {spec.MAX_CLASSES:,} classes, or not printable')
    return Labels(notes=tuple(notes))
  if separator not in (' ', '\n'):
    notes.append(f'labels are separated by {separator!r}')
  is_number = all(
      each.isascii() and each.isdigit() and len(each) < 5 for each in labels)
  form, classes = 'names', tuple(sorted(labels))
  if is_number and max(map(int, labels)) < spec.MAX_CLASSES:
    count = max(map(int, labels)) + 1
    form, classes = 'numbers', tuple(f'class_{i}' for i in range(count))
    notes.append(f'numbers 0..{count - 1} in {", ".join(names)}: write the '
                 'names of the classes')
  return Labels(form, names, classes, ' ' if is_single else separator,
                is_single, num_empty, tuple(notes))
