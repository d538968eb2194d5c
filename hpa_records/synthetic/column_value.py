"""Values of a table's columns, such that ids and file names are unique.

A description names columns, not what they contain. So the columns of a template
count with periods that have no common divisor: 5 plates, 24 wells and 7 sites
are 840 different names, and each column soon has all its values. A single
column gets a unique text. Columns that a table with labels is joined on count
the label sets.
"""

import hashlib
from typing import Iterable, Sequence

from hpa_records.datasets import layout
from hpa_records.datasets import template as template_lib
from hpa_records.synthetic import image_file

_NO_COLUMNS = ('channel', 'class')
_FIRST_PERIOD, _WELL_PERIOD = 5, 24
_PERIODS = (7, 11, 13, 17, 19, 23)
_PER_SET = 3  # values of a joined column for each label set
_NUMBERED = ('plate', 'site', 'field', 'sample', 'dose', 'concentration')
_WELLS = ('well', 'position')


def make_id(seed: int, number: int) -> str:
  """Returns a text in the form of Kaggle's Ids.

  Args:
    seed: of the dataset.
    number: of the sample.
  """
  text = hashlib.sha256(f'{seed}:{number}'.encode()).hexdigest()
  return '-'.join((text[:8], text[8:12], text[12:16], text[16:20], text[20:32]))


class Columns:
  """The columns that a description reads, without those of labels.

  Ids and file names may contain labels, which do not make them unique.

  Attributes:
    names: in order.
  """

  def __init__(self, found: layout.Description, label_columns: Iterable[str]):
    """Decides what each column contains.

    Args:
      found: the description.
      label_columns: names of the columns with labels.
    """
    self._found, self._ending = found, image_file.find_ending(found)
    table = found.table
    identifier = (table.id if '{' in table.id else f'{{{table.id}}}')
    self._made = {
        *_NO_COLUMNS, *(name for name, _ in table.each), *label_columns
    }
    if 'id' not in template_lib.find_fields(identifier):
      self._made.add('id')  # in patterns, the sample's id
    self._files: dict[str, str] = {}  # column -> tag of its files' names
    self._folders: set[str] = set()  # of paths before a file's name
    self._plain: set[str] = set()  # without a modifier somewhere
    self._unique: set[str] = set()
    self._counters: dict[str, int] = {}  # column -> period, 0 for the rest
    self._keys: list[str] = []
    templates = [identifier, *found.patterns()]
    for each in templates:
      self._find_paths(each)
    if table.join:
      self._keys = [name for name, _ in table.join[-1].on]
    self._count(identifier)
    for each in found.patterns():
      if 'id' not in template_lib.find_fields(each):
        self._count(each)
    self.names = self._list(templates)

  def fill(self, number: int, seed: int, label_set: int) -> dict[str, str]:
    """Returns the values of a row by column.

    Args:
      number: of the row, 0-based.
      seed: of the dataset.
      label_set: number of the row's label set.
    """
    values = {}
    for name in self.names:
      if name in self._files:
        values[name] = self._name_file(name, number, seed)
      elif name in self._folders:
        values[name] = f'/data/plate_{number % _FIRST_PERIOD + 1}/Images'
      elif name in self._unique:
        values[name] = make_id(seed, number)
      else:
        values[name] = _write(name, self._find_index(name, number, label_set))
    table = self._found.table
    if table.fold:
      values[table.fold] = str(number % 5)
    if isinstance(self._found.images.pixel_um, str):
      values[self._found.images.pixel_um] = '0.5'
    return values

  def _find_paths(self, template: str) -> None:
    """Finds columns with names of files or folders."""
    parts = template.split('/')
    for i, part in enumerate(parts):
      for field in template_lib.FIELD.findall(part):
        name, _, modifier = field.partition(':')
        is_whole = part == f'{{{field}}}'
        if not modifier:
          self._plain.add(name)
        is_file = modifier in ('stem', 'name') and name not in self._folders
        if len(parts) > 1 and i < len(parts) - 1 and modifier:
          self._folders.add(name)
        elif is_file or (modifier != 'parent' and is_whole and
                         len(parts) > 1 and i == len(parts) - 1):
          self._files.setdefault(name, f'_w{len(self._files) + 1}')

  def _count(self, template: str) -> None:
    """Makes the values of a template unique."""
    fields = dict.fromkeys(template_lib.find_fields(template))
    if set(fields) & {*self._files, *self._unique}:
      return
    fields = [each for each in fields if each not in self._made]
    if len(fields) == 1:
      self._unique.update(fields)
      return
    if set(fields) <= set(self._keys):  # a row of the joined table each
      self._keys = []
    known = {*self._keys, *self._counters, *self._folders}
    free = [each for each in fields if each not in known]
    if not set(fields) & set(self._counters):
      periods = iter(_PERIODS)
      self._counters.update(dict.fromkeys(free[:1], 0))
      self._counters.update(
          (each, _WELL_PERIOD if _is_well(each) else next(periods))
          for each in free[1:])

  def _list(self, templates: Sequence[str]) -> list[str]:
    table, names = self._found.table, []
    for each in templates:
      names += template_lib.find_fields(each)
    names += [*table.group, *table.plate, *table.metadata]
    for join in table.join:
      names += [name for name, _ in join.on]
    return [each for each in dict.fromkeys(names) if each not in self._made]

  def _name_file(self, name: str, number: int, seed: int) -> str:
    tag = self._files[name] if len(self._files) > 1 else ''
    folder = '' if name in self._plain else '/data/images/'
    return f'{folder}{make_id(seed, number)}{tag}{self._ending}'

  def _find_index(self, name: str, number: int, label_set: int) -> int:
    if name in self._keys:
      return label_set * _PER_SET + number % _PER_SET
    if name not in self._counters:
      # Groups of two rows; three of anything else.
      return number // 2 if name in self._found.table.group else number % 3
    if self._counters[name]:
      return number % self._counters[name]
    # The first column goes on counting when the periods are used up.
    turn = _FIRST_PERIOD
    for each in self._counters.values():
      turn *= each or 1
    return number % _FIRST_PERIOD + number // turn * _FIRST_PERIOD


def _is_well(name: str) -> bool:
  return any(word in name.lower() for word in _WELLS)


def _write(name: str, index: int) -> str:
  """Returns the value of a column, by words in its name."""
  if _is_well(name):
    row, column = divmod(index, 24)
    return f'{chr(ord("A") + row % 16)}{column + 1:02d}' + (
        f'-{row // 16 + 1}' if row >= 16 else '')
  if any(word in name.lower() for word in _NUMBERED):
    return str(index + 1)
  return f'{"folder" if "path" in name.lower() else name}-{index + 1}'
