"""The arrays of an HDF5 file, which may be a stranger's, before they are read.

A file of a few kilobytes can declare arrays of terabytes, and refer to other
files. An array in chunks takes the memory of a whole chunk, however few values
it has, and a compressed chunk as much as it inflates to, whatever its declared
size: HDF5's filter enlarges its buffer as needed. Keras writes no chunks, in
all its formats.

Source: HDF5 1.14, H5Zdeflate.c; keras/src/saving/saving_lib.py (H5IOStore) and
keras/src/legacy/saving/legacy_h5_format.py, create_dataset.
"""

from typing import Iterable

import h5py

_NAMES = 'weight_names'  # an attribute; long lists are numbered from 0
_MOST_OBJECTS = 20_000  # groups and arrays


def list_objects(
    file: h5py.File,
    most_bytes: int) -> tuple[dict[str, h5py.Group], dict[str, h5py.Dataset]]:
  """Returns the groups below the root, and the arrays, by their path.

  Args:
    file: open.
    most_bytes: of all arrays together, the size of the file.

  Raises:
    ValueError: they are larger, no numbers, in chunks or in other files; or the
      file has too many objects, or links.
  """
  groups, arrays = {}, {}

  def visit(name, each):  # follows no link to another file
    if len(groups) + len(arrays) >= _MOST_OBJECTS:
      raise ValueError(f'more than {_MOST_OBJECTS:,} objects')
    (groups if isinstance(each, h5py.Group) else arrays)[name] = each

  file.visititems(visit)
  if any(not isinstance(group.get(name, getlink=True), h5py.HardLink)
         for group in (file, *groups.values())
         for name in group):
    raise ValueError('it has links to other objects or files')
  if any(each.external or each.is_virtual for each in arrays.values()):
    raise ValueError('its arrays are in other files')
  if any(each.chunks for each in arrays.values()):
    raise ValueError('its arrays are in chunks, or compressed, as Keras does '
                     'not write them')
  if any(each.dtype.hasobject for each in arrays.values()):
    raise ValueError('its arrays are no numbers')
  if sum(each.nbytes for each in arrays.values()) > most_bytes:
    raise ValueError('its arrays are larger than the file')
  return groups, arrays


def check_layers(file: h5py.File, groups: Iterable[h5py.Group],
                 most_bytes: int) -> None:
  """Checks that a layer does not name an array a thousand times.

  In the earlier format of Keras a layer has a list of names of arrays, which
  Keras reads all before it counts them.

  Args:
    file: open, passed by list_objects.
    groups: below the root.
    most_bytes: of the arrays that one layer names.

  Raises:
    ValueError: they are larger.
    Exception: of many types, if the names are none.
  """
  for group in (file, *groups):
    named = (group.get(name) for key, names in group.attrs.items()
             if key.startswith(_NAMES) for name in names)
    if sum(each.nbytes
           for each in named
           if isinstance(each, h5py.Dataset)) > most_bytes:
      raise ValueError('a layer names more arrays than the file has')
