"""Drafts the description of a dataset from its table and its image files.

Each finding stands beside what it rests on; what was not understood is a
comment. The draft is for editing, so a wrong guess must be easy to see.
"""

from typing import Sequence

from hpa_records.format import spec
from hpa_records.images import file_pattern
from hpa_records.runtime import errors
from hpa_records.runtime import printable
from hpa_records.storage import folders
from hpa_records.storage import litter
from hpa_records.survey import built_in
from hpa_records.survey import channel
from hpa_records.survey import file_name
from hpa_records.survey import image_look
from hpa_records.survey import label_column
from hpa_records.survey import path_column
from hpa_records.survey import table as table_lib
from hpa_records.survey import toml_text
from hpa_records.survey import word

_NUM_FOLDS = 5  # of a conversion, by default
_NO_LABELS = 'label'


def draft(csv: str, images: str, name: str) -> str:
  """Returns the text of a TOML file.

  Args:
    csv: path or address of a table; '' for none.
    images: folder or address of the image files; '' for none.
    name: of the dataset.

  Raises:
    errors.DataError: one of them cannot be read, or has nothing to describe.
  """
  table = table_lib.read(csv) if csv else table_lib.Table()
  files = _list(images) if images else []
  return _Draft(csv, images, table, files).write(name)


def _list(images: str) -> list[str]:
  """Returns all files below a folder, without litter."""
  try:
    names = folders.list_names(images, recursive=True, follow_links=True)
  except OSError as error:
    raise errors.describe_read(images, error, 'the folder of images') from error
  return [
      name for name in names if not any(map(litter.is_litter, name.split('/')))
  ]


class _Draft:
  """The findings while they are made."""

  def __init__(self, csv: str, images: str, table: table_lib.Table,
               files: Sequence[str]):
    self._csv, self._images, self._table = csv, images, table
    found = [each for each in files if image_look.is_image(each)]
    self._files = [each for each in found if file_name.can_be_in_pattern(each)]
    others = [each for each in files if not image_look.is_image(each)]
    self._text = toml_text.Text()
    self._notes = list(table.notes)
    if others:
      self._notes.append(f'{len(others):,} files are no images by their '
                         f'endings, such as {others[0]}')
    odd = sorted({*found} - {*self._files})
    if odd:
      self._notes.append(f'{len(odd):,} files have names that a pattern cannot '
                         f'have, such as {printable.quote(odd[0])}')
    if images and not self._files:
      raise errors.DataError(
          f'No image files in {images}, whose names end in '
          f'{file_pattern.ENDINGS}; pass the folder of the images.')
    self._used: set[str] = set()  # columns that are explained

  def write(self, name: str) -> str:
    """Returns the description."""
    paths = self._find_paths()
    look = image_look.look(self._images, self._files)
    names = None
    if self._files and not paths:
      names = file_name.find(self._files, self._table, look.num_pages == 1,
                             look.num_colors > 1)
      self._notes += names.notes
    if paths:
      self._notes += paths.notes
      self._used |= {*paths.columns, *paths.folders}
      tokens = tuple(paths.patterns)
    else:
      tokens = names.channels if names else ()
      self._used |= set(names.columns if names else ())
    found = channel.find(tokens if tokens != ('',) else (), look)
    labels, table = self._describe_table(names, paths)
    text = self._text
    text.head(self._csv, self._images, len(self._files), self._table.num_rows)
    text.add('name', name)
    text.classes(labels.classes)
    text.part('table', table)
    pattern = names.pattern if names else '{id}_{channel}.png'
    if paths:
      pattern = next(iter(paths.patterns.values()))
    text.part('images', {'pattern': pattern, **found.images})
    text.part('intensity', found.intensity)
    for each in found.channels:
      path = paths.patterns[each['name']] if paths and tokens != ('',) else ''
      text.channel({**each, **({'path': path} if path else {})})
    self._note_built_in(names)
    text.notes('Not understood, or assumed; correct it above',
               [*self._notes, *found.notes, *labels.notes])
    return text.join()

  def _find_paths(self) -> path_column.Paths | None:
    """Returns the columns with paths of files."""
    if self._files:
      return path_column.find(self._files, self._table)
    self._notes.append('no --images was passed: the folders and the kind of the'
                       ' files, and channels, are unknown; correct them')
    named = {
        text.replace('\\', '/').rpartition('/')[2]
        for column in self._table.columns
        for text in column.values
        if image_look.is_image(text)
    }
    return path_column.find(sorted(named), self._table)

  def _describe_table(self, names, paths):
    """Returns the labels, and the keys of [table]."""
    if not self._csv:
      return self._describe_files(names)
    found = {'id': self._find_id(names, paths)}
    rest = [each for each in self._table.columns if each.name not in self._used]
    labels = label_column.find(rest)
    self._used |= set(labels.columns)
    if labels.form:
      if labels.form != 'columns':
        found['labels'] = (list(labels.columns)
                           if len(labels.columns) > 1 else labels.columns[0])
      found['form'] = labels.form
      if labels.separator != ' ':
        found['separator'] = labels.separator
      if labels.single:
        found['single'] = True
      if labels.num_empty:
        found['empty'] = 'allow'
        self._notes.append(f'{labels.num_empty:,} rows have no label: empty = '
                           '"allow"')
    else:
      self._miss_labels(found, 'no column has labels for certain')
    group = self._find_group(labels)
    if group:
      found['group'] = [group]
    known = {*labels.columns, *spec.INDEX_COLUMNS, found['id']}
    copied = [
        each.name
        for each in self._table.columns
        if (each.name in (names.columns if names else ()) or word.rate_group(
            each.name)) and each.name not in known and not each.is_constant
    ]
    if copied:
      found['metadata'] = copied
    if names and names.each:
      found['each'] = {each: list(names.fields[each]) for each in names.each}
      self._notes.append(
          f'{", ".join(names.each)}: in file names but in no column, so each '
          'row is a sample for each of these texts (each)')
    shown = {*self._used, *copied, group}
    self._note_unused(shown, labels.maybe)
    return labels, found

  def _note_unused(self, shown, maybe):
    """Adds a note for each column that is not used, one for the constant."""
    unused = [each for each in self._table.columns if each.name not in shown]
    self._notes += [
        f'column {table_lib.describe(each)}, not used'
        f'{"; labels?" if each.name in maybe else ""}'
        for each in unused
        if not each.is_constant
    ]
    constant = [each.name for each in unused if each.is_constant]
    if constant:
      self._notes.append('columns with one value, not used: '
                         f'{", ".join(constant)}')

  def _note_built_in(self, names):
    """Adds a note of the built-in descriptions that fit."""
    columns = [each.name for each in self._table.columns]
    for each in built_in.find(columns, names.channels if names else ()):
      self._notes.insert(
          0, f'columns and channels are those of the built-in description '
          f'{each}: try --dataset={each}')

  def _miss_labels(self, found, reason):
    """Adds keys that can be loaded, and a note."""
    found.update({'labels': _NO_LABELS, 'form': 'names'})
    self._notes.append(
        f'{reason}: write the name of the column in labels; add a '
        '[[table.join]] if it is in a second table; or convert with '
        '--unlabelled')

  def _describe_files(self, names):
    """Returns the labels and the keys of [table] without a table."""
    fields = list(names.fields)
    found = {}
    if fields:
      found['id'] = '_'.join(f'{{{each}}}' for each in fields)
    elif names.classes:  # files of several folders may have the same name
      found['id'] = '{class}_{id}'
    if names.classes:
      found['form'] = 'folders'
      return label_column.Labels('folders', classes=names.classes), found
    self._miss_labels(found, 'no --csv was passed')
    return label_column.Labels(), found

  def _find_id(self, names, paths) -> str:
    """Returns the column or the template of ids."""
    usable = [each for each in self._table.columns if each.fits_template]
    unique = [each.name for each in usable if each.is_unique]
    in_names = list(names.columns) if names else []
    likely = [each for each in unique if word.is_id(each)]
    # A plate may have one row in a small table: only an id's name is certain.
    likely.sort(key=lambda each: each not in in_names)
    rows = self._table.find(in_names) if in_names else []
    if likely and likely[0] not in self._used - set(in_names):
      columns = likely[:1]
    elif paths and (template := path_column.name_id(paths, self._table)):
      return template
    elif rows and len(set(rows)) == len(rows):
      columns = in_names
    else:
      left = [each for each in unique if each not in self._used]
      columns = left[:1] or [each.name for each in usable][:1] or ['id']
      self._notes.append(
          f'{columns[0]} was taken for the id: its values '
          f'{"differ, and nothing else explains it" if left else "repeat"}')
    self._used |= set(columns)
    columns = [*columns, *(names.each if names else ())]
    return columns[0] if len(columns) == 1 else '_'.join(
        f'{{{each}}}' for each in columns)

  def _find_group(self, labels) -> str:
    """Returns the column whose samples should be in one fold, or ''."""
    found = [
        (word.rate_group(each.name), -i, each)
        for i, each in enumerate(self._table.columns)
        if word.rate_group(each.name) and each.name not in labels.columns and
        not each.is_unique and not each.num_empty
    ]
    enough = [each for each in found if len(each[2].values) >= _NUM_FOLDS]
    for _, _, column in found:
      if len(column.values) < _NUM_FOLDS:
        self._notes.append(
            f'column {table_lib.describe(column)}: too few for groups in '
            f'{_NUM_FOLDS} folds')
    if not enough:
      return ''
    column = max(enough)[2]
    self._notes.append(
        f'samples with the same {column.name} are put in one fold (group): '
        f'{len(column.values):,} values in {len(column.texts):,} rows')
    return column.name
