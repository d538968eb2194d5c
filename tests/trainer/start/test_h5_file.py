"""h5_file: arrays of HDF5 files, before they are read.

test_keras_file and test_imagenet have the files that are refused.
"""

import io

import h5py
import numpy as np
import pytest

from trainer.start import h5_file


def _open(fill):
  content = io.BytesIO()
  with h5py.File(content, 'w') as file:
    fill(file)
  return h5py.File(content, 'r'), len(content.getbuffer())


def _write_compact(file):
  # pylint: disable=c-extension-no-member
  plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
  plan.set_layout(h5py.h5d.COMPACT)
  h5py.h5d.create(file.id, b'a', h5py.h5t.NATIVE_FLOAT,
                  h5py.h5s.create_simple((4,)), plan)
  file['a'][...] = 3


def _write_contiguous(file):
  file['a'] = np.full(4, 3, 'f4')


@pytest.mark.parametrize('fill', [_write_compact, _write_contiguous])
def test_arrays_in_one_piece_are_listed(fill):
  file, num_bytes = _open(fill)
  with file:
    groups, arrays = h5_file.list_objects(file, num_bytes)
    assert not groups
    np.testing.assert_array_equal(arrays['a'], [3] * 4)


def _link_softly(file):
  file['a'] = np.zeros(4)
  file['b'] = h5py.SoftLink('/a')


def _refer_to_texts(file):
  file.create_dataset('a', (4,), h5py.string_dtype())[:] = 'text'


@pytest.mark.parametrize('fill,received', [(_link_softly, 'links'),
                                           (_refer_to_texts, 'no numbers')])
def test_other_arrays_are_refused(fill, received):
  file, num_bytes = _open(fill)
  with file, pytest.raises(ValueError, match=received):
    h5_file.list_objects(file, num_bytes)


@pytest.mark.parametrize('names,fits', [
    ([b'a', b'b'], True),
    ('ab', True),
    ([b'a', b'/layer/a', b'a', b'b'], False),
    ('aaaa', False),
])
@pytest.mark.parametrize('attribute', ['weight_names', 'weight_names0'])
def test_a_layer_may_not_name_more_than_the_file_has(names, fits, attribute):

  def fill(file):
    layer = file.create_group('layer')
    layer['a'] = np.zeros(2**16, 'f4')
    layer['b'] = np.zeros(2**16, 'f4')
    layer.attrs[attribute] = names

  file, num_bytes = _open(fill)
  with file:
    groups, _ = h5_file.list_objects(file, num_bytes)
    if fits:
      h5_file.check_layers(file, groups.values(), num_bytes)
    else:
      with pytest.raises(ValueError, match='a layer names more arrays'):
        h5_file.check_layers(file, groups.values(), num_bytes)
