"""The tables and the file names of synthetic samples, of any description."""

import csv as csv_module
import hashlib
import io
import itertools
from typing import Any, NamedTuple, Sequence

from hpa_records.datasets import layout
from hpa_records.datasets import template as template_lib
from hpa_records.runtime import errors
from hpa_records.runtime import printable
from hpa_records.synthetic import column_value
from hpa_records.synthetic import image_file

TABLE_NAME = 'train.csv'
_NUM_TREATMENTS = 8  # where a description has no classes

Labels = tuple[int, ...]


class Sample(NamedTuple):
  """The labels of a sample, in the order of the table, and its files' names."""
  labels: Labels
  files: tuple[str, ...]


class SampleLayout(NamedTuple):
  """What a folder of samples contains.

  Attributes:
    samples: a row's samples follow each other.
    tables: content by name; TABLE_NAME is the last, and absent for class
      folders.
  """
  samples: list[Sample]
  tables: dict[str, bytes]


def find_classes(found: layout.Description) -> tuple[str, ...]:
  """Returns the names of the classes, made where the description has none."""
  return (tuple(each.name for each in found.classes) or
          tuple(f'treatment_{i + 1}' for i in range(_NUM_TREATMENTS)))


def samples_per_row(found: layout.Description) -> int:
  """Returns how many samples a row of the table is."""
  count = 1
  for _, values in found.table.each:
    count *= len(values)
  return count


def lay_out(found: layout.Description, labels: Sequence[Labels],
            seed: int) -> SampleLayout:
  """Returns the tables and the samples.

  Args:
    found: description of the dataset.
    labels: of each row.
    seed: of the dataset.

  Raises:
    errors.DataError: the description has files of types or with numbers of
      planes that are not made, or class names that its table cannot have; or
      two samples would have the same id or file.
  """
  writer = _LabelWriter(found)
  columns = column_value.Columns(found, writer.columns)
  sets: dict[Labels, int] = {}
  rows, samples, seen = [], [], set()
  for number, each in enumerate(labels):
    label_set = sets.setdefault(tuple(sorted(each)), len(sets))
    values = columns.fill(number, seed, label_set)
    texts = writer.write(each)
    rows.append((values, texts))
    for made in itertools.product(*(parts for _, parts in found.table.each)):
      more = dict(zip((name for name, _ in found.table.each), made))
      more = {**values, **texts, **more, 'class': writer.names[each[0]]}
      samples.append(_make_sample(found, each, more, seed, len(samples), seen))
  image_file.check(samples[0].files, found)
  if found.table.form == 'folders':
    return SampleLayout(samples, {})
  return SampleLayout(samples, _write_tables(found, rows))


def _make_sample(found: layout.Description, labels: Labels, values: dict[str,
                                                                         str],
                 seed: int, number: int, seen: set[str]) -> Sample:
  table = found.table
  is_template = '{' in table.id
  identifier = (template_lib.fill(table.id, values)
                if is_template else values[table.id])
  # Without a table, {id} is a field of the file names like any other.
  file_id = (values.get('id', identifier)
             if table.form == 'folders' else identifier)
  files = []
  for i, pattern in enumerate(found.patterns()):
    text = hashlib.sha256(f'{seed}:{number}:{i}'.encode()).hexdigest()
    pattern = pattern.replace(template_lib.ANY, text[:12].upper())
    files.append(template_lib.fill(pattern, {**values, 'id': file_id}))
  for name in (f'the id {identifier}', *(f'the file {each}' for each in files)):
    if name in seen:
      raise errors.DataError(
          f'Two samples would have {name}: sample data of the description '
          f'{found.name} needs an id and a pattern with more columns.')
    seen.add(name)
  return Sample(labels, tuple(files))


class _LabelWriter:
  """Writes labels as the columns of a table.

  Attributes:
    names: what each class is called in the table.
    columns: names of the columns with labels.
  """

  def __init__(self, found: layout.Description):
    self._table = found.table
    form = found.table.form
    self.names = list(find_classes(found))
    if form == 'columns':
      # A class with aliases has them because tables do.
      self.names = [(*each.aliases, each.name)[0] for each in found.classes]
    if form == 'names' and not found.table.single:
      for i, each in enumerate(found.classes):
        self.names[i] = next((name for name in (each.name, *each.aliases)
                              if len(self._split(name)) == 1), '')
        if not self.names[i]:
          raise errors.DataError(
              f'The class {printable.quote(each.name)} contains the separator '
              'of labels; choose another separator in the description.')
    self.columns = self.names if form == 'columns' else found.table.labels

  def write(self, labels: Labels) -> dict[str, str]:
    """Returns the text of each column with labels."""
    form, columns = self._table.form, self._table.labels
    if form == 'columns':
      return {name: str(i in labels) for i, name in enumerate(self.names)}
    if form == 'folders':
      return {}
    texts = [
        str(each) if form == 'numbers' else self.names[each] for each in labels
    ]
    return {
        column: self._table.separator.join(texts[i::len(columns)])
        for i, column in enumerate(columns)
    }

  def _split(self, name: str) -> list[str]:
    separator = self._table.separator
    return name.split(None if separator == ' ' else separator)


def _write_tables(
    found: layout.Description,
    rows: Sequence[tuple[dict[str, str], dict[str, str]]]) -> dict[str, bytes]:
  """Returns the tables; labels are in the last one that is joined, if
  any, and it is not joined on them."""
  tables = {}
  joins = found.table.join
  # A table that is joined on the labels is not the one that has them.
  keys = {own for join in joins for own, _ in join.on}
  is_first = not joins or bool(keys & rows[0][1].keys())
  for i, join in enumerate(joins):
    joined = {}
    for values, labels in rows:
      key = {other: {**values, **labels}[own] for own, other in join.on}
      joined[tuple(key.values())] = {
          **key,
          **(labels if i == len(joins) - 1 and not is_first else {})
      }
    tables[join.csv] = _write_csv(list(joined.values()))
  tables[TABLE_NAME] = _write_csv([{
      **values,
      **(labels if is_first else {})
  } for values, labels in rows])
  return tables


def _write_csv(rows: Sequence[dict[str, Any]]) -> bytes:
  text = io.StringIO()
  writer = csv_module.DictWriter(text, list(rows[0]), lineterminator='\n')
  writer.writeheader()
  writer.writerows(rows)
  return text.getvalue().encode()
