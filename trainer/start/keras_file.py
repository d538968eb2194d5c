"""The weights in a .keras file, by the names of their layers.

A stranger's file is not loaded as a model: its configuration, which names
classes and functions, is never read. Only the arrays of model.weights.h5 are,
after h5_file has checked them.

Source: keras/src/saving/saving_lib.py: each object's arrays are in a group
'vars' with the attribute 'name', numbered from 0.
"""

import io
import stat
import os
import zipfile

import h5py
import numpy as np

from hpa_records.runtime import errors
from hpa_records.runtime import printable
from trainer.start import h5_file

_WEIGHTS = 'model.weights.h5'
_VARIABLES = 'vars'
_MOST_LETTERS = 100  # of a name


def read(path: str) -> dict[str, list[np.ndarray]]:
  """Returns weights by the name of their layer, in the order of layer.weights.

  Args:
    path: of a .keras file, as keras.Model.save writes it.

  Raises:
    errors.DataError: it is missing, damaged, of another kind, or too large.
  """
  try:
    if not stat.S_ISREG(os.stat(path).st_mode):
      raise ValueError('not a regular file')
    with zipfile.ZipFile(path) as archive:
      member = archive.getinfo(_WEIGHTS)
      if member.compress_type != zipfile.ZIP_STORED:
        raise ValueError(f'{_WEIGHTS} is compressed')
      content = archive.read(member)
    with h5py.File(io.BytesIO(content), 'r') as file:
      return _read(file, len(content))
  except Exception as error:  # zipfile and h5py each raise their own
    raise errors.find_unread(path, error) or errors.DataError(
        f'{path} is no folder of a run or fold, and no valid .keras file '
        f'({printable.join_lines(str(error))}); pass another, or save the '
        'model again with Keras 3.') from error


def _read(file: h5py.File, most_bytes: int) -> dict[str, list[np.ndarray]]:
  groups, arrays = h5_file.list_objects(file, most_bytes)
  found: dict[str, list[np.ndarray]] = {}
  for path, group in groups.items():
    name = group.attrs.get('name')
    if os.path.basename(path) != _VARIABLES or not isinstance(name, str):
      continue
    stored = [arrays.get(f'{path}/{i}') for i in range(len(group))]
    if None in stored or any(each.dtype.kind != 'f' for each in stored):
      continue  # the state of an optimizer, or of random numbers
    if name in found or len(name) > _MOST_LETTERS:
      raise ValueError(f'{name!r:.40} is no name, or that of two layers')
    if stored:
      found[name] = [each[()] for each in stored]
  if not found:
    raise ValueError('no arrays with the name of a layer')
  return found
