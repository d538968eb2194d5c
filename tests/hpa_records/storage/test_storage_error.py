"""address: refused addresses, and one-line errors for TensorFlow's."""

import sys

import pytest

from hpa_records.conversion import convert
from hpa_records.conversion import shard_plan
from hpa_records.reading import dataset
from hpa_records.reading import how as how_lib
from hpa_records.reading import reader
from hpa_records.runtime import errors
from hpa_records.runtime import tensorflow
from hpa_records.sampling import epoch_plan
from hpa_records.storage import address
from hpa_records.storage import filesystem
from hpa_records.storage import folders
from tests.support import fakes

_BROKEN = 'import warnings\nwarnings.warn("file system plugins are not loaded")'


@pytest.fixture(name='no_io', params=['missing', 'broken'])
def _no_io(request, monkeypatch, tmp_path):
  """Without tensorflow-io, and with one built for another TensorFlow."""
  tensorflow.has_scheme.cache_clear()
  if request.param == 'missing':
    monkeypatch.setitem(sys.modules, 'tensorflow_io', None)
  else:
    (tmp_path / 'tensorflow_io.py').write_text(_BROKEN)
    monkeypatch.delitem(sys.modules, 'tensorflow_io', raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
  registered = ['gs', 'ram', 'file', '']
  monkeypatch.setattr(tensorflow.tf.io.gfile, 'get_registered_schemes',
                      lambda: registered)
  yield
  tensorflow.has_scheme.cache_clear()
  sys.modules.pop('tensorflow_io', None)


@pytest.mark.usefixtures('no_io')
@pytest.mark.parametrize('scheme', ['s3', 'az', 'http', 'https'])
def test_without_tensorflow_io_the_right_environment_is_named(scheme):
  with pytest.raises(errors.DataError) as told:
    filesystem.read_bytes(f'{scheme}://there/records/manifest.json')
  message = str(told.value)
  assert '\n' not in message
  assert f' cannot read {scheme}:// without a compatible' in message
  assert 'pip install "hpa-records[io]"' in message
  assert ('copy the files to local disk first (records: trainer.main '
          '--stage_dir=DIR does that)') in message


def test_an_unknown_scheme_is_refused_with_the_known_ones():
  with pytest.raises(errors.DataError,
                     match=r'gs://, s3://, az://, http:// or https://, '
                     r'received ftp://host/x'):
    filesystem.size('ftp://host/x')


@pytest.mark.parametrize('write', [
    lambda path: filesystem.write_atomically(path, b''),
    folders.make,
    filesystem.remove,
    folders.remove_empty,
    lambda path: filesystem.rename(path, path + '2'),
])
@pytest.mark.parametrize('scheme', ['s3', 'az', 'https'])
def test_writing_where_only_reading_works_is_refused(write, scheme):
  with pytest.raises(errors.DataError,
                     match=r'or gs:// to write to, received '
                     rf'{scheme}://there/x.*finished folder to {scheme}://'):
    write(f'{scheme}://there/x')


def test_a_web_server_has_no_folders():
  with pytest.raises(errors.DataError,
                     match='https://there/x cannot be listed'):
    folders.list_names('https://there/x')


def _error(kind, message):
  return getattr(tensorflow.tf.errors, kind)(None, None, message)


@pytest.mark.parametrize('error,told', [
    (_error('NotFoundError', 'Object s3://b/x does not exist'),
     'NotFoundError: Object s3://b/x does not exist; check'),
    (_error(
        'PermissionDeniedError', 'HTTP response code 403 with body \'<?xml\n'
        '<Error>\''), 'PermissionDeniedError: HTTP response code 403; check'),
    (_error(
        'NotFoundError',
        'Graph execution error:\n\nDetected at node Get defined at (most '
        'recent call last):\n<stack traces unavailable>\n: No response '
        'body.\n\t [[{{node IteratorGetNext}}]]'),
     'NotFoundError: No response body; check'),
    (_error(
        'DataLossError', '{{function_node __wrapped__Get}} corrupted record '
        'at 0 [Op:Get] name: '), 'DataLossError: corrupted record at 0; '),
    (_error('UnknownError', ''), 'UnknownError: no reason given; check'),
    (RuntimeError('no host'), 'RuntimeError: no host; check'),
])
def test_errors_become_one_line(error, told):
  with pytest.raises(address.StorageError,
                     match='Cannot access s3://b/x') as found:
    with address.translate_errors('s3://b/x'):
      raise error
  assert told in str(found.value) and '\n' not in str(found.value)
  assert isinstance(found.value, errors.DataError)
  assert isinstance(found.value, OSError)


@pytest.mark.parametrize('path,naming,error', [
    ('local/x', '', _error('NotFoundError', 'x')),
    ('gs://b/x', 'IteratorGetNext', _error('ResourceExhaustedError', 'memory')),
    ('gs://b/x', '', RuntimeError('of another kind')),
    ('gs://b/x', '', errors.DataError('told before')),
])
def test_other_errors_stay_as_they_are(path, naming, error):
  with pytest.raises(type(error)) as found:
    with address.translate_errors(path, naming):
      raise error
  assert found.value is error


def test_a_dataset_at_an_address_is_read(tmp_path):
  csv, images = fakes.write_source(tmp_path, num_samples=10)
  local, remote = tmp_path / 'records', 'ram://dataset/records'
  convert.convert(csv, images, str(local), shard_plan.Settings(image_size=16),
                  convert.How(workers=1))
  folders.make(remote)
  for path in local.iterdir():
    filesystem.write_atomically(f'{remote}/{path.name}', path.read_bytes())
  found = dataset.load(remote)
  assert found.index.equals(dataset.load(str(local)).index)
  batches = reader.Reader(found, 1,
                          how_lib.How()).evaluation(0, epoch_plan.Share(4))
  assert sum(float(batch['weight'].numpy().sum()) for batch in batches) == 2
  filesystem.remove(f'{remote}/{found.manifest.shards[0].name}')
  with pytest.raises(errors.DataError, match='received no file at ram://'):
    dataset.load(remote)
