"""Features of samples as a table, and the files that hold it.

.parquet, .npz and .h5ad (AnnData), by the ending of the name. Parquet is
written in groups of rows, so memory does not grow with their number; the others
hold the features in memory. A file has its name once it is complete.
"""

from collections.abc import Callable, Iterable
import dataclasses
import importlib
import io
import json
import os
from typing import Any, BinaryIO
import warnings
import zipfile

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import parquet

from hpa_records.runtime import errors
from hpa_records.runtime import printable
from hpa_records.storage import filesystem
from hpa_records.storage import path_check
from trainer.prediction import assignment as assignment_lib

PROBABILITIES = 'probabilities'
EXTRA = 'pip install "hpa-records[embed]"'
ABOUT = 'hpa_features'  # names what a file is, in each format
_VERSION = 1
_TAKEN = ('_index', '.', '')  # by AnnData and HDF5
_GROUP_ROWS = 4096  # of a row group: 8 MB of GapNet-PL's features


@dataclasses.dataclass(frozen=True)
class Table(assignment_lib.Assignment):
  """Features of M samples: an Assignment of them, and numbers.

  Attributes:
    ids: [M] str, each once.
    rows: [M] int64, the row of values that each sample has.
    values: [N, D] float32, parts side by side: features and, last,
      PROBABILITIES.
    lengths: of the parts, by name in their order.
    classes: the names of the K classes.
    metadata: [M] str each, by name.
    num_skipped: samples that are left out.
  """
  ids: np.ndarray
  rows: np.ndarray
  values: np.ndarray
  lengths: dict[str, int]
  classes: tuple[str, ...]
  metadata: dict[str, np.ndarray]
  num_skipped: int

  @property
  def features(self) -> list[str]:
    """The names of the features; the last is the nearest to the output."""
    return [name for name in self.lengths if name != PROBABILITIES]

  def part(self, name: str, chosen: Any = slice(None)) -> np.ndarray:
    """Returns one part of the values, [n, length] float32.

    Args:
      name: of the part.
      chosen: of the M samples; all by default.
    """
    names = list(self.lengths)
    start = sum(self.lengths[each] for each in names[:names.index(name)])
    columns = slice(start, start + self.lengths[name])
    return self.values[self.rows[chosen], columns]

  def columns(self, chosen: Any = slice(None)) -> dict[str, np.ndarray]:
    """Returns what is known of samples, by name: one value each.

    Args:
      chosen: of the M samples; all by default.
    """
    found = {
        'id': self.ids,
        'fold': self.folds,
        'model': self.models,
        'trained_on': self.trained_on,
    }
    if (self.groups != '').any():
      found['group'] = self.groups
    taken = [*found, 'labels', 'labelled', 'classes', ABOUT, *self.lengths]
    found.update(zip(_make_unique(self.metadata, taken),
                     self.metadata.values()))
    return {name: values[chosen] for name, values in found.items()}

  def about(self) -> str:
    """Returns what the parts are, as JSON."""
    return json.dumps({
        'version': _VERSION,
        'classes': self.classes,
        'lengths': self.lengths
    })


def _make_unique(names: Iterable[str], taken: Iterable[str]) -> list[str]:
  """Returns names, each with metadata_ before it until it is not taken."""
  found, taken = [], set(taken)
  for name in names:
    while name in taken:
      name = f'metadata_{name}'
    taken.add(name)
    found.append(name)
  return found


def prepare(path: str) -> None:
  """Checks that a table can be written, before it is computed.

  Raises:
    errors.DataError: the ending is unknown, a package is missing, the path is
      not writable, or has a file that is no such table.
  """
  ending = _find_ending(path)
  if ending == '.h5ad':
    require('anndata', f'writes {path}')
  path_check.prepare_output(path)
  if filesystem.size(path) is not None and not _is_own(path, ending):
    raise errors.DataError(
        f'{path} exists, and is no table of features; move or remove it, or '
        'choose another --output.')


def require(package: str, what: str) -> Any:
  """Returns a package of the extra [embed].

  Args:
    package: its name.
    what: what it does, for the message.

  Raises:
    errors.DataError: it is not installed.
  """
  try:
    with warnings.catch_warnings():
      warnings.simplefilter('ignore')
      return importlib.import_module(package)
  except ImportError as error:
    raise errors.DataError(
        f'{package.partition(".")[0]}, which {what}, cannot be imported '
        f'({printable.join_lines(str(error))}); {EXTRA}.') from error


def write(path: str, table: Table, outdated: str = '') -> None:
  """Writes a table; it has its name once it is complete.

  Args:
    path: with the ending .parquet, .npz or .h5ad; see docs/features.md.
    table: of the samples.
    outdated: file of an earlier table to remove, after the new one is written
      and before it has its name: never beside a table that is not its own.

  Raises:
    errors.DataError: it cannot be written.
  """
  writer = _WRITERS[_find_ending(path)]
  with path_check.translate_write_errors(path):
    with filesystem.atomic_writer(path) as file:
      writer(file, table)
      if outdated:
        file.flush()
        filesystem.remove(outdated)


def _find_ending(path: str) -> str:
  ending = os.path.splitext(path)[1]
  if ending not in _WRITERS:
    raise errors.DataError('Expected --output=NAME with the ending '
                           f'{", ".join(_WRITERS)}, received {path}.')
  return ending


def _write_parquet(file: BinaryIO, table: Table) -> None:
  with parquet.ParquetWriter(file, _find_schema(table)) as writer:
    for start in range(0, max(len(table.ids), 1), _GROUP_ROWS):
      writer.write_table(_to_arrow(table, slice(start, start + _GROUP_ROWS)))


def _find_schema(table: Table) -> pa.Schema:
  fields = [(name, pa.string()
             if each.dtype.kind == 'U' else pa.from_numpy_dtype(each.dtype))
            for name, each in table.columns(slice(0)).items()]
  fields.append(('labels', pa.list_(pa.int32())))
  for name in _order(table):
    fields.append((name, pa.list_(pa.float32(), table.lengths[name])))
  return pa.schema(fields, {ABOUT: table.about()})


def _order(table: Table) -> list[str]:
  return [PROBABILITIES, *table.features]


def _to_arrow(table: Table, chosen: slice) -> pa.Table:
  """Returns one group of rows."""
  schema = _find_schema(table)
  columns = [
      pa.array(each,
               schema.field(name).type)
      for name, each in table.columns(chosen).items()
  ]
  columns.append(
      pa.array([
          np.flatnonzero(row) if is_known else None
          for row, is_known in zip(table.labels[chosen], table.labelled[chosen])
      ],
               schema.field('labels').type))
  for name in _order(table):
    values = np.ascontiguousarray(table.part(name, chosen))
    columns.append(
        pa.FixedSizeListArray.from_arrays(values.ravel(), table.lengths[name]))
  return pa.Table.from_arrays(columns, schema=schema)


def _write_npz(file: BinaryIO, table: Table) -> None:
  arrays = {ABOUT: np.array(table.about()), **table.columns()}
  arrays['labels'], arrays['labelled'] = table.labels, table.labelled
  arrays['classes'] = np.array(table.classes)
  arrays |= {name: table.part(name) for name in _order(table)}
  # np.savez takes names as arguments, and has some of its own, such as file.
  with zipfile.ZipFile(file, 'w') as archive:
    for name, values in arrays.items():
      with archive.open(f'{name}.npy', 'w', force_zip64=True) as member:
        np.lib.format.write_array(member, values, allow_pickle=False)


def _write_h5ad(file: BinaryIO, table: Table) -> None:
  anndata = require('anndata', 'writes .h5ad')
  h5py = require('h5py', 'writes .h5ad')
  *others, last = table.features
  columns = {**table.columns(), 'labelled': table.labelled}
  index = pd.Index(columns.pop('id'), dtype=object)
  obs = pd.DataFrame(
      {
          name: _categorize(each) if each.dtype.kind == 'U' else each
          for name, each in columns.items()
      }, index)
  # HDF5 takes a slash for a folder.
  obs.columns = _make_unique((name.replace('/', '_') for name in obs), _TAKEN)
  names = [f'{last}_{i}' for i in range(table.lengths[last])]
  var = pd.DataFrame(index=pd.Index(names, dtype=object))
  with warnings.catch_warnings():
    warnings.simplefilter('ignore')  # what it thinks of texts
    found = anndata.AnnData(np.asarray(table.part(last)),
                            obs,
                            var,
                            uns={
                                ABOUT: table.about(),
                                'classes': np.array(table.classes, object)
                            },
                            obsm={
                                name: np.asarray(table.part(name))
                                for name in (PROBABILITIES, *others)
                            })
    found.obsm['labels'] = table.labels
    # In memory: on a full disk HDF5 cannot close its file, and prints errors.
    content = io.BytesIO()
    with h5py.File(content, 'w') as stored:
      anndata.io.write_elem(stored, '/', found)
  file.write(content.getbuffer())


def _categorize(texts: np.ndarray) -> pd.Categorical:
  """Returns texts as AnnData stores them; strings of pandas 3 it cannot."""
  names, codes = np.unique(texts, return_inverse=True)
  return pd.Categorical.from_codes(codes, pd.Index(names, dtype=object))


_WRITERS: dict[str, Callable[[BinaryIO, Table], None]] = {
    '.parquet': _write_parquet,
    '.npz': _write_npz,
    '.h5ad': _write_h5ad
}


def _is_own(path: str, ending: str) -> bool:
  """Returns whether a file is a table that write wrote."""
  try:
    with filesystem.open_read(path) as file:
      if ending == '.parquet':
        return ABOUT.encode() in (parquet.read_schema(file).metadata or {})
      if ending == '.npz':
        with np.load(file, allow_pickle=False) as arrays:
          return ABOUT in arrays.files
      h5py = require('h5py', f'reads {path}')
      with h5py.File(file) as stored:
        return f'uns/{ABOUT}' in stored
  except errors.DataError:
    raise
  except Exception:  # pylint: disable=broad-except # another kind of file
    return False
