"""Reads the labels of a row: numbers, names, or a boolean column a class.

A description says which, what separates them, and what an empty cell means.
"""

import re
from typing import Iterable, Mapping, Sequence
import unicodedata

from hpa_records.datasets import layout
from hpa_records.format import spec as spec_lib
from hpa_records.runtime import errors
from hpa_records.runtime import printable

_TRUE, _FALSE = ('true', '1', '1.0', 'yes'), ('false', '0', '0.0', 'no', '')
# As in the classes of a numbered name: 513.0 is 513.
_WHOLE = re.compile(r'([0-9]+)\.0+')
_NUMBER = re.compile('[0-9]{1,9}')  # int() also takes '1_0' and '+1'

# Cells without a label, as pandas and R write them; a class may have the name
# where the description lists it.
_MISSING = ('nan', 'NaN', 'NA', 'None', 'null')
_IGNORED = -1  # in place of a class's number

Labels = tuple[int, ...]


class LabelReader:
  """Reads labels, as numbers of classes.

  Attributes:
    columns: the columns that are read.
    from_table: whether the description has no classes, so that all labels of
      the table are classes.
    merged: ids of the samples whose repeated labels were merged.
  """

  def __init__(self, description: layout.Description, columns: Iterable[str]):
    """Prepares to read.

    Args:
      description: of the dataset.
      columns: of the table.

    Raises:
      errors.DataError: a class has no boolean column, or two.
    """
    self.merged: list[str] = []
    self._table = description.table
    self._number_of: dict[str, int] = {}
    for number, each in enumerate(description.classes):
      for name in (each.name, *each.aliases):
        self._number_of[name] = number
    self.from_table = not description.classes
    self._num_classes = len(description.classes)
    self.columns = list(self._table.labels)
    if self._table.form == 'columns':
      self.columns = [
          _find_column(each, list(columns)) for each in description.classes
      ]

  @property
  def has_classes(self) -> bool:
    """Whether there is a class, of the description or found so far."""
    return bool(self._number_of)

  @property
  def classes(self) -> tuple[str, ...]:
    """The names of the classes that were found in the table, sorted.

    Raises:
      errors.DataError: there are none, or too many; or two differ only in
        letter case, Unicode form or spaces.
    """
    if not 1 <= len(self._number_of) <= spec_lib.MAX_CLASSES:
      raise errors.DataError(
          f'Expected 1 to {spec_lib.MAX_CLASSES:,} different labels in '
          f'{", ".join(self.columns)}, received {len(self._number_of):,}; list '
          'the classes in the description, or choose another column.')
    spelled: dict[str, str] = {}
    for name in self._number_of:
      form = unicodedata.normalize('NFC', name).casefold()
      first = spelled.setdefault(' '.join(form.split()), name)
      if first != name:
        raise errors.DataError(
            f'The labels {first!a:.80} and {name!a:.80} in '
            f'{", ".join(self.columns)} are one name in two spellings; spell '
            'them the same, or list the classes in the description.')
    return tuple(sorted(self._number_of))

  def renumber(self, labels_column: Iterable[Labels]) -> list[Labels]:
    """Returns labels that read returned as numbers of `classes`.

    Without classes in the description, read numbers them as they occur.
    """
    place = {name: i for i, name in enumerate(self.classes)}
    order = [place[name] for name in self._number_of]
    return [
        tuple(sorted(order[each]
                     for each in labels))
        for labels in labels_column
    ]

  def read(self, values: Mapping[str, str],
           sample_id: str) -> tuple[Labels, str]:
    """Returns a row's labels, ascending, and '', or () and an issue's message.

    Args:
      values: texts by column.
      sample_id: of the row.
    """
    if self._table.form == 'columns':
      found, wrong = self._read_flags(values)
    else:
      found, wrong = [], ''
      for column in self.columns:
        if not wrong:
          more, wrong = self._read_cell(values[column], column)
          found += more
    if wrong:
      return (), wrong
    return self._finish(found, values, sample_id)

  def read_name(self, name: str, sample_id: str) -> tuple[Labels, str]:
    """Returns the labels of a sample in a folder of this name, as read."""
    found, wrong = self._read_names([name], 'the folder')
    return ((), wrong) if wrong else self._finish(found, {}, sample_id)

  def _finish(self, found: list[int], values: Mapping[str, str],
              sample_id: str) -> tuple[Labels, str]:
    where = ', '.join(self.columns) or 'the folder'
    shown = printable.quote(' '.join(values[each] for each in self.columns))
    numbers = [each for each in found if each != _IGNORED]
    labels = tuple(sorted(set(numbers)))
    if len(labels) < len(numbers):
      if self._table.repeated == 'refuse':
        return (), f'duplicate label in {where}: {shown}'
      self.merged.append(sample_id)
    if self._table.single and len(labels) > 1:
      return (), f'expected one label in {where}, received {shown}'
    if labels or self._table.empty == 'allow':
      return labels, ''
    if found:
      return (), f'only ignored labels in {where}'
    if self._table.empty == 'refuse':
      return (), f'no label in {where}'
    return (self._number_of[self._table.empty],), ''

  def _read_cell(self, cell: str, column: str) -> tuple[list[int], str]:
    if self.from_table and cell.strip() in _MISSING:
      return [], ''
    separator = self._table.separator
    if self._table.form == 'names' and self._table.single:
      separator = '\n'  # a name may have spaces
    parts = cell.split(None if separator == ' ' else separator)
    parts = [each.strip() for each in parts]
    if self._table.form == 'names':
      return self._read_names([each for each in parts if each], column)
    numbers = [
        int(each) if _NUMBER.fullmatch(each) else self._num_classes
        for each in parts
    ]
    is_empty = not cell.strip()
    if is_empty and self._table.empty != 'refuse':
      return [], ''
    if is_empty or max(numbers) >= self._num_classes:
      by = 'spaces' if separator == ' ' else repr(separator)
      return [], (
          f'expected whole numbers 0..{self._num_classes - 1}, separated'
          f' by {by}, in {column}, received {printable.quote(cell)}')
    return numbers, ''

  def _read_names(self, names: Sequence[str],
                  column: str) -> tuple[list[int], str]:
    found = []
    for name in names:
      whole = _WHOLE.fullmatch(name)
      if whole and name not in self._number_of:
        name = whole[1]
      if name in self._table.ignored:
        found.append(_IGNORED)
        continue
      if self.from_table and name not in self._number_of:
        try:
          spec_lib.check_names('class', [name], 1)
        except ValueError as error:
          return [], f'{error}, in {column}'
        self._number_of[name] = len(self._number_of)
      if name not in self._number_of:
        return [], (f'unknown class {printable.quote(name)} in {column}'
                    f'{self._suggest(name)}')
      found.append(self._number_of[name])
    return found, ''

  def _suggest(self, name: str) -> str:
    near = next((
        each for each in self._number_of if each.casefold() == name.casefold()),
                '')
    what = f'; {printable.quote(near)} is one' if near else ''
    return (
        f'{what}; add it to the aliases of its class, or to ignored, in the '
        'description')

  def _read_flags(self, values: Mapping[str, str]) -> tuple[list[int], str]:
    found = []
    for number, column in enumerate(self.columns):
      text = values[column].strip().lower()
      if text in _TRUE:
        found.append(number)
      elif text not in _FALSE:
        return [], (f'expected True or False, or 1 or 0, in {column}, received '
                    f'{printable.quote(values[column])}')
    return found, ''


def _find_column(each: layout.Class, columns: Sequence[str]) -> str:
  """Returns the column of a class."""
  found = [name for name in (each.name, *each.aliases) if name in columns]
  if len(found) != 1:
    raise errors.DataError(
        f'Expected one column of the class {printable.quote(each.name)}, '
        f'received {printable.show_list(found)}; add the name of its column to '
        'its aliases in the description.')
  return found[0]
