"""The identities of images: a column of index.parquet, as numbers.

An identity is what several images show, such as an antibody. Images of one are
to be near to each other, whatever their labels.
"""

from collections.abc import Sequence

import numpy as np

from hpa_records.format import spec
from hpa_records.reading import dataset
from hpa_records.runtime import errors
from hpa_records.runtime import printable

NONE = -1  # of images that are not trained on
_GROUP = 'group'


def find(parts: Sequence[dataset.Records], column: str,
         is_trained: np.ndarray) -> np.ndarray:
  """Returns the number of each image's identity, [N] int64.

  They are 0..I-1, in the order of the texts, in the images that are trained on,
  and NONE in the others.

  Args:
    parts: the datasets, N images together.
    column: of their indices.
    is_trained: [N] bool, which images are trained on.

  Raises:
    errors.DataError: a dataset has no such column, or no value for an image; or
      the images that are trained on have the same.
  """
  values = np.concatenate([_read(each, column) for each in parts])
  known, numbers = np.unique(values[is_trained], return_inverse=True)
  if len(known) < 2:
    raise errors.DataError(
        f'Expected two or more values of {printable.quote(column)} among the '
        f'images to train on, received only {printable.quote(str(known[0]))}; '
        'choose another --identity.')
  found = np.full(len(values), NONE, np.int64)
  found[is_trained] = numbers
  return found


def _read(part: dataset.Records, column: str) -> np.ndarray:
  """Returns a column of a dataset, [n] str."""
  columns = [
      name for name in part.index
      if name == _GROUP or name not in spec.INDEX_COLUMNS
  ]
  if column not in columns:
    others = (f'it has {printable.show_list(columns)}. Choose one of them'
              if columns else 'it has none of a group or of metadata')
    raise errors.DataError(
        f'No column {printable.quote(column)} for --identity in the index of '
        f'{part.directory}; {others}, or convert the data with '
        'table.metadata of its description.')
  found = part.index[column].to_numpy(str)
  empty = np.flatnonzero(np.char.strip(found) == '')
  if len(empty):
    raise errors.DataError(
        f'{printable.count(len(empty), "image")} at {part.directory} without '
        f'{printable.quote(column)}, first {part.index["id"].iloc[empty[0]]}; '
        'fill in the table and convert it again, or choose another --identity.')
  return found
