"""npz_file: arrays of strangers, refused before memory is taken."""

import io
import os
import tracemalloc
import zipfile

import numpy as np
import pytest

from trainer.run import npz_file


def _header(shape, dtype='<f4'):
  data = io.BytesIO()
  np.lib.format.write_array_header_1_0(data, {
      'descr': dtype,
      'fortran_order': False,
      'shape': shape
  })
  return data.getvalue()


def _write(path, *members, compression=zipfile.ZIP_DEFLATED):
  with zipfile.ZipFile(path, 'w', compression) as file:
    for name, data in members:
      file.writestr(name, data)
  return str(path)


def test_arrays_come_back(tmp_path):
  arrays = {
      'ids': np.array(['a', 'bb']),
      'none': np.zeros((0, 3), np.float32),
      'one': np.array(7),
      'columns': np.asfortranarray(np.arange(6).reshape(2, 3))
  }
  np.savez_compressed(tmp_path / 'a.npz', **arrays)
  found = npz_file.read(str(tmp_path / 'a.npz'))
  assert found.keys() == arrays.keys()
  for name, array in arrays.items():
    assert found[name].dtype == array.dtype
    np.testing.assert_array_equal(found[name], array)


@pytest.mark.parametrize('shape,dtype', [
    ((10**9,), '<f4'),
    ((10**12,), '<U0'),
    ((2**40, 2**40), '<f4'),
    ((1,), '|O'),
    ((-1,), '<f4'),
])
def test_an_array_that_is_not_as_large_as_it_says_is_refused(
    tmp_path, shape, dtype):
  path = _write(tmp_path / 'a.npz', ('a.npy', _header(shape, dtype)))
  with pytest.raises(ValueError, match='a.npy'):
    npz_file.read(path)


def test_much_from_a_small_file_takes_no_memory(tmp_path):
  with zipfile.ZipFile(tmp_path / 'a.npz', 'w', zipfile.ZIP_DEFLATED) as file:
    with file.open('a.npy', 'w', force_zip64=True) as member:
      member.write(_header((600 * 2**18,)))
      for _ in range(600):
        member.write(bytes(2**20))
  tracemalloc.start()
  try:
    with pytest.raises(ValueError, match='bytes of arrays in a file of'):
      npz_file.read(str(tmp_path / 'a.npz'))
    assert tracemalloc.get_traced_memory()[1] < 2**24
  finally:
    tracemalloc.stop()


@pytest.mark.filterwarnings('ignore:Duplicate name')
def test_an_array_that_comes_twice_is_refused(tmp_path):
  whole = ('a.npy', _header((1,)) + bytes(4))
  with pytest.raises(ValueError, match='1 duplicate names of arrays'):
    npz_file.read(_write(tmp_path / 'a.npz', whole, whole))


def test_more_arrays_than_asked_for_are_refused(tmp_path):
  np.savez(tmp_path / 'a.npz', *[np.zeros(1)] * 3)
  assert len(npz_file.read(str(tmp_path / 'a.npz'), 3)) == 3
  with pytest.raises(ValueError, match='up to 2 arrays, received 3'):
    npz_file.read(str(tmp_path / 'a.npz'), 2)


def test_other_compressions_are_refused(tmp_path):
  path = _write(tmp_path / 'a.npz', ('a.npy', _header((1,)) + bytes(4)),
                compression=zipfile.ZIP_LZMA)
  with pytest.raises(ValueError, match='an unknown compression'):
    npz_file.read(path)


def test_a_flipped_bit_is_found(tmp_path):
  np.savez(tmp_path / 'a.npz', a=np.zeros(100))
  data = bytearray((tmp_path / 'a.npz').read_bytes())
  data[300] ^= 1
  (tmp_path / 'a.npz').write_bytes(data)
  with pytest.raises(zipfile.BadZipFile, match='CRC'):
    npz_file.read(str(tmp_path / 'a.npz'))


def test_a_pipe_is_no_file(tmp_path):
  os.mkfifo(tmp_path / 'a.npz')
  with pytest.raises(ValueError, match='not a regular file'):
    npz_file.read(str(tmp_path / 'a.npz'))


@pytest.mark.parametrize('array', [
    np.zeros(3, np.float32),
    np.full((2, 2), np.nan, np.float32),
    np.full((2, 2), 'a'),
])
def test_other_variables_than_the_networks_are_refused(array):
  with pytest.raises(ValueError, match='model/a: expected'):
    npz_file.check_variables({'model/a': array}, {'model/a': (2, 2)})


def test_a_type_that_tensorflow_does_not_have_is_refused():
  arrays = {'model/a': np.zeros(2, np.longdouble)}
  with pytest.raises(ValueError, match='received .*longdouble|float128'):
    npz_file.check_variables(arrays, {'model/a': (2,)})


def test_names_of_arrays_are_not_printed_raw(tmp_path):
  path = _write(tmp_path / 'a.npz', ('\x1b[2J.npy', _header((10**9,))))
  with pytest.raises(ValueError, match=r"^'\\x1b\[2J.npy': float32"):
    npz_file.read(path)
