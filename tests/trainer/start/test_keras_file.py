"""keras_file: the arrays of a .keras file, which may be a stranger's."""

import io
import zipfile
import zlib

import h5py
import numpy as np
import pytest

from hpa_records.runtime import errors
from hpa_records.runtime.tensorflow import keras
from trainer.start import keras_file


def test_layers_of_nested_models_are_found_by_name(tmp_path):
  inputs = keras.Input((8, 8, 3))
  inner = keras.Sequential([
      keras.Input((8, 8, 3)),
      keras.layers.Conv2D(2, 3, name='conv'),
      keras.layers.BatchNormalization(name='norm')
  ])
  x = keras.layers.Flatten()(inner(inputs))
  model = keras.Model(inputs, keras.layers.Dense(4, name='logits')(x))
  model.get_layer('logits').bias.assign([1, 2, 3, 4])
  model.compile('adam')
  path = str(tmp_path / 'model.keras')
  model.save(path)
  found = keras_file.read(path)
  assert [each.shape for each in found['conv']] == [(3, 3, 3, 2), (2,)]
  assert len(found['norm']) == 4
  np.testing.assert_array_equal(found['logits'][1], [1, 2, 3, 4])
  np.testing.assert_array_equal(found['logits'][0],
                                model.get_layer('logits').kernel)


def _write(path, fill, compression=zipfile.ZIP_STORED):
  """A .keras file whose weights' file has what fill writes."""
  content = io.BytesIO()
  with h5py.File(content, 'w') as file:
    group = file.create_group('layers/dense/vars')
    group.attrs['name'] = 'logits'
    fill(group)
  with zipfile.ZipFile(path, 'w', compression) as archive:
    archive.writestr('model.weights.h5', content.getvalue())


def _link(group):
  group['0'] = h5py.ExternalLink('/etc/passwd', 'x')


def _store_elsewhere(group):
  group.create_dataset('0', (4,), 'f4', external=[('/etc/passwd', 0, 16)])


def _declare_much(group):
  group.create_dataset('0', (2**40,), 'f4', chunks=(2**20,))


def _be_a_large_chunk(group):
  group.create_dataset('0', (1,),
                       'f4',
                       maxshape=(None,),
                       chunks=(2**24,),
                       compression='gzip')[0] = 1


def _inflate_beyond_the_chunk(group):
  array = group.create_dataset('0', (4,), 'f4', chunks=(4,), compression='gzip')
  array.id.write_direct_chunk((0,), zlib.compress(bytes(2**24)))


def _be_a_text(group):
  group['0'] = 'text'


@pytest.mark.parametrize('fill', [
    _link, _store_elsewhere, _declare_much, _be_a_large_chunk,
    _inflate_beyond_the_chunk, _be_a_text
])
def test_arrays_that_no_network_has_are_refused(tmp_path, fill):
  path = str(tmp_path / 'model.keras')
  _write(path, fill)
  with pytest.raises(errors.DataError, match='no valid .keras file') as caught:
    keras_file.read(path)
  assert '\n' not in str(caught.value)


def test_a_compressed_archive_is_refused(tmp_path):
  path = str(tmp_path / 'model.keras')
  _write(path, lambda group: group.create_dataset('0', data=np.zeros(4)),
         zipfile.ZIP_DEFLATED)
  with pytest.raises(errors.DataError, match='compressed'):
    keras_file.read(path)
