"""One row of a table, or the fields of a file's name, to samples."""

import contextlib
import itertools
import re
from typing import Mapping, NamedTuple, Sequence

from hpa_records.datasets import layout
from hpa_records.datasets import template as template_lib
from hpa_records.images import crop
from hpa_records.ingest import group_table
from hpa_records.ingest import issue
from hpa_records.ingest import label_reader
from hpa_records.runtime import printable

# Between the values of several columns that are one group; not in a file name.
_BETWEEN = '|'
_MAX_TEXT = 1000  # characters of a metadata column
_FILE_FIELDS = ('id', 'channel', 'class')


class Sample(NamedTuple):
  """One sample of a table.

  Attributes:
    id: of the sample.
    labels: 0..K-1, ascending; () without labels.
    row: as in issue.Issue.
    files: names of its files in the folder, one a channel, or one; see
      image_folder.Listing.find_file.
    fold: of the table; None without a fold column.
    group: '' without groups.
    plate: '' if no intensity of plates is needed.
    pixel_um: size of a pixel in micrometers; 0 if unknown.
    metadata: values of the columns to copy.
  """
  id: str
  labels: tuple[int, ...]
  row: int
  files: tuple[str, ...] = ()
  fold: int | None = None
  group: str = ''
  plate: str = ''
  pixel_um: float = 0.0
  metadata: tuple[str, ...] = ()


class RowReader:
  """Makes samples of the values of rows."""

  def __init__(self, description: layout.Description, columns: Sequence[str],
               unlabelled: bool, num_folds: int):
    self._description, self._table = description, description.table
    self._num_folds = num_folds
    self._plate = description.table.plate if description.needs_plates else ()
    self._patterns = description.patterns()
    self._first_rows: dict[str, int] = {}
    # Of each column: 5 and 5.0 are alike, but P|5 and P|5.0 are not.
    self._names = {
        (kind, column): group_table.Names(kind)
        for kind, columns in (('group', self._table.group),
                              ('plate', self._plate)) for column in columns
    }
    self._fold_of: dict[str, tuple[int, int]] = {}  # group -> fold, row
    self.labels = None
    if not unlabelled:
      self.labels = label_reader.LabelReader(description, columns)

  def needed(self) -> list[str]:
    """Returns the columns that are read, without those of `each`."""
    table, names = self._table, []
    names += (template_lib.find_fields(table.id)
              if '{' in table.id else [table.id])
    if self.labels:
      names += [*self.labels.columns, *table.group]
      names += filter(None, [table.fold])
    names += [*self._plate, *table.metadata]
    if isinstance(self._description.images.pixel_um, str):
      names.append(self._description.images.pixel_um)
    for pattern in self._patterns:
      names += [
          each for each in template_lib.find_fields(pattern)
          if each not in _FILE_FIELDS
      ]
    made = {name for name, _ in table.each}
    return [each for each in dict.fromkeys(names) if each not in made]

  def read(self, row: int,
           values: dict[str, str]) -> tuple[list[Sample], list[issue.Issue]]:
    """Returns the samples of a row of a table, and its issues.

    Args:
      row: as of issue.Issue.
      values: texts by column.
    """
    samples, issues = [], []
    names = [name for name, _ in self._table.each]
    for chosen in itertools.product(*(each for _, each in self._table.each)):
      each = {**values, **dict(zip(names, chosen))}
      sample_id = self.name(each)
      more, wrong = self.read_one(row, each, sample_id, sample_id)
      samples += more
      issues += wrong
    return samples, issues

  def read_one(self, row: int, values: dict[str, str], sample_id: str,
               file_id: str) -> tuple[list[Sample], list[issue.Issue]]:
    """As read, of one sample.

    Args:
      row: as of issue.Issue.
      values: texts by column, or by field of the files' names.
      sample_id: as name returns it.
      file_id: what {id} in a pattern stands for.
    """
    sample, wrong = self._read(row, values, sample_id, file_id)
    issues = [
        issue.Issue(row, sample.id, '', message) for message in wrong if message
    ]
    return [] if wrong[0] else [sample], issues

  def name(self, values: Mapping[str, str]) -> str:
    """Returns the id of a sample.

    Args:
      values: texts by column; or by field of the files' names, whose {id} is
        the id if they lack a field of the table's id.
    """
    template = self._table.id
    if not set(template_lib.find_fields(template) or [template]) <= set(values):
      return values['id']
    return (template_lib.fill(template, values)
            if '{' in template else values[template])

  def _read(self, row: int, values: dict[str, str], sample_id: str,
            file_id: str) -> tuple[Sample, list[str]]:
    """Returns a sample, and messages; the first is of its id or its files."""
    table = self._table
    wrong = [issue.find_id_issue(sample_id, row, self._first_rows)]
    labels, fold, group = (), None, ''
    if self.labels:
      labels, message = (self.labels.read_name(values['class'], sample_id)
                         if table.form == 'folders' else self.labels.read(
                             values, sample_id))
      wrong.append(message)
      if table.fold:
        fold, message = _parse_fold(values[table.fold], table.fold,
                                    self._num_folds)
        wrong.append(message)
      if table.group:
        group, messages = self._join('group', table.group, values, row)
        wrong += messages
      if table.fold and table.group and not any(wrong):
        wrong.append(self._find_split(group, fold, row))
    files, message = self._name_files({**values, 'id': file_id})
    wrong[0] = wrong[0] or message
    pixel_um, message = self._read_pixel_um(values)
    wrong.append(message)
    metadata = tuple(values[each] for each in table.metadata)
    wrong += [
        f'more than {_MAX_TEXT:,} characters in {name}'
        for name, text in zip(table.metadata, metadata)
        if len(text) > _MAX_TEXT
    ]
    plate, messages = self._join('plate', self._plate, values, row)
    wrong += messages
    return Sample(sample_id, labels, row, files, fold, group, plate, pixel_um,
                  metadata), wrong

  def _join(self, kind: str, columns: Sequence[str], values: Mapping[str, str],
            row: int) -> tuple[str, list[str]]:
    """Returns the name of a group or plate, and messages."""
    parts = [values[each].strip() for each in columns]
    return _BETWEEN.join(parts), [
        self._names[kind, column].find_issue(part, row)
        for column, part in zip(columns, parts)
    ]

  def _find_split(self, group: str, fold: int, row: int) -> str:
    """Returns the message of a group in two folds, else ''."""
    first, first_row = self._fold_of.setdefault(group, (fold, row))
    return '' if fold == first else (
        f'group {printable.quote(group)} is in fold {fold}, and in fold {first}'
        f' in row {first_row}; put it in one fold')

  def _name_files(self, values: Mapping[str,
                                        str]) -> tuple[tuple[str, ...], str]:
    names = []
    for pattern in self._patterns:
      for field in template_lib.find_fields(pattern):
        if not values[field].strip():
          return (), f'empty cell in {field}, which names a file'
      name = template_lib.fill(pattern, values)
      if (not name.isprintable() or '\\' in name or
          set(name.split('/')) & {'', '.', '..'}):
        return (), ('expected the name of a file in the folder of images, '
                    f'received {printable.quote(name)}')
      names.append(template_lib.fill_pattern(pattern, values))
    if len(set(names)) < len(names):
      return (
      ), f'two channels have the same file: {printable.show_list(names)}'
    return tuple(names), ''

  def _read_pixel_um(self, values: Mapping[str, str]) -> tuple[float, str]:
    wanted = self._description.images.pixel_um
    if not isinstance(wanted, str):
      return wanted, ''
    with contextlib.suppress(ValueError):
      return crop.check_um(float(values[wanted])), ''
    return 0.0, (f'expected the size of a pixel in micrometers, above 0, in '
                 f'{wanted}, received {printable.quote(values[wanted])}')


def _parse_fold(text: str, name: str, num_folds: int) -> tuple[int, str]:
  """Returns the fold and '', or 0 and the message of an issue."""
  if re.fullmatch(r'\s*[0-9]{1,9}\s*', text) and int(text) < num_folds:
    return int(text), ''
  return 0, (f'expected a fold 0..{num_folds - 1} in {name}, received '
             f'{printable.quote(text)}')
