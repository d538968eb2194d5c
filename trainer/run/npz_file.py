"""Arrays of an .npz file, read after its declared sizes are checked.

A run's folder may be untrusted: an archive of a few kilobytes can declare
arrays of many gigabytes, the same array twice, or pickled objects. Sizes, types
and names are checked before memory is allocated. No TensorFlow.
"""

from collections.abc import Mapping, Sequence
import math
import os
import stat
from typing import BinaryIO
import zipfile

import numpy as np

from hpa_records.runtime import printable

_ENDING = '.npy'
_KINDS = 'biufU'  # NumPy's dtype kinds of numbers and texts
# Other methods decompress into pieces of any size.
_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_MOST_ARRAYS = 20_000  # the largest network has 2,000 variables
# Of all arrays together, unless the file itself is larger: enough for a million
# images.
_MOST_BYTES = 2**29


def read(path: str, most_arrays: int = _MOST_ARRAYS) -> dict[str, np.ndarray]:
  """Returns the arrays of an .npz file by name.

  Args:
    path: of the file.
    most_arrays: the largest allowed number of arrays.

  Raises:
    OSError: it cannot be read.
    ValueError: it is not an .npz file of numbers and texts, or too large.
    Exception: it is damaged; zipfile and NumPy raise various types.
  """
  if not stat.S_ISREG(
      os.stat(path).st_mode):  # a pipe or a device may have no end
    raise ValueError('not a regular file')
  with open(path, 'rb') as raw, zipfile.ZipFile(raw) as file:
    members = _list_members(file, os.fstat(raw.fileno()).st_size, most_arrays)
    return {name: _read(file, member) for name, member in members.items()}


def check_variables(arrays: Mapping[str, np.ndarray],
                    shapes: Mapping[str, Sequence[int]]) -> None:
  """Checks that arrays are the values of variables.

  Args:
    arrays: by name.
    shapes: expected shapes, by name.

  Raises:
    ValueError: an array is missing, is of no variable, has another shape, or a
      value that is not finite; the message says which.
  """
  for name, shape in shapes.items():
    if name not in arrays:
      raise ValueError(f'{name} is missing')
    array = arrays[name]
    if (array.shape != tuple(shape) or array.dtype.kind == 'U' or
        array.dtype.itemsize > 8):
      raise ValueError(f'{name}: expected {tuple(shape)} numbers, received '
                       f'{array.dtype} {array.shape}')
    if not np.isfinite(array).all():
      raise ValueError(f'{name}: expected finite numbers, received nan or inf')
  others = sorted(arrays.keys() - shapes.keys())
  if others:
    raise ValueError(f'{printable.quote(others[0])} is no variable of the '
                     'network and its optimizer')


def _list_members(file: zipfile.ZipFile, file_bytes: int,
                  most_arrays: int) -> dict[str, zipfile.ZipInfo]:
  members = file.infolist()
  names = [each.filename for each in members]
  if len(members) > most_arrays:
    raise ValueError(f'expected up to {most_arrays:,} arrays, received '
                     f'{len(members):,}')
  if len(set(names)) < len(names):
    raise ValueError(f'{len(names) - len(set(names))} duplicate names of '
                     'arrays')
  if any(each.compress_type not in _COMPRESSIONS for each in members):
    raise ValueError('arrays with an unknown compression')
  declared = sum(each.file_size for each in members)
  if declared > max(_MOST_BYTES, file_bytes):
    raise ValueError(f'{declared:,} bytes of arrays in a file of '
                     f'{file_bytes:,} bytes')
  return {
      name.removesuffix(_ENDING): each for name, each in zip(names, members)
  }


def _read(file: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
  with file.open(member) as opened:
    _check_header(opened, member)
  with file.open(member) as opened:
    array = np.lib.format.read_array(opened, allow_pickle=False)
    opened.read(1)  # at the end of the file zipfile checks the checksum
  return array


def _check_header(opened: BinaryIO, member: zipfile.ZipInfo) -> None:
  """Refuses an array whose declared size is not that of its archive member."""
  if np.lib.format.read_magic(opened) != (1, 0):
    raise ValueError(f'{printable.quote(member.filename)}: an unknown version '
                     'of .npy')
  shape, _, dtype = np.lib.format.read_array_header_1_0(opened)
  data_bytes = member.file_size - opened.tell()
  if (dtype.kind not in _KINDS or not dtype.itemsize or
      min(shape, default=0) < 0 or
      math.prod(shape) * dtype.itemsize != data_bytes):
    raise ValueError(f'{printable.quote(member.filename)}: {dtype} {shape} in '
                     f'{data_bytes:,} bytes')
