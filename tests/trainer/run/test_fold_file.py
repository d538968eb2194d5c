"""fold_file and arrays: the files of a fold, sound or not."""

import json

import numpy as np
import pytest

from hpa_records.datasets import description
from hpa_records.runtime import errors
from tests.support import specs
from trainer.run import arrays as arrays_lib
from trainer.run import finished_run
from trainer.run import fold_file
from trainer.run import workdir


def _read_all(run):
  """Reads every file of a run, as the report and the prediction do."""
  fold = workdir.fold_directory(str(run), 0)
  spec = finished_run.load(str(run)).spec
  fold_file.load_history(fold)
  fold_file.load_gallery(fold, spec)
  fold_file.load_network(fold)
  arrays_lib.Predictions.load(f'{fold}/{workdir.PREDICTIONS_NAME}',
                              spec.num_classes)
  fold_file.load_json(f'{fold}/{workdir.BEST_METRICS_NAME}')


def _refusal(run):
  with pytest.raises(errors.DataError) as caught:
    _read_all(run)
  return str(caught.value)


def test_a_sound_run_is_read(run):
  _read_all(run)


@pytest.mark.parametrize('text',
                         ['', '{}', '[]', 'null', '7', '{"epoch": "1"}'])
@pytest.mark.parametrize('name', [
    workdir.CONFIG_NAME, workdir.METRICS_NAME, workdir.BEST_METRICS_NAME,
    workdir.ABOUT_NAME, workdir.NETWORK_NAME
])
def test_json_of_another_form_is_named(run, name, text):
  path = run / 'fold0' / name
  path.write_text(text)
  assert f'{name} is missing or damaged' in _refusal(run)


@pytest.mark.parametrize('name', [
    workdir.CONFIG_NAME, workdir.METRICS_NAME, workdir.BEST_METRICS_NAME,
    workdir.ABOUT_NAME, workdir.NETWORK_NAME, workdir.HISTORY_NAME,
    workdir.PREDICTIONS_NAME, workdir.SAMPLES_NAME, workdir.GALLERY_NAME
])
def test_a_folder_in_a_files_place_is_named(run, name):
  path = run / 'fold0' / name
  path.unlink()
  path.mkdir()
  assert str(path) in _refusal(run)


@pytest.mark.parametrize('name,key', [
    (workdir.METRICS_NAME, 'threshold'),
    (workdir.ABOUT_NAME, 'device'),
    (workdir.ABOUT_NAME, 'versions'),
    (workdir.ABOUT_NAME, 'records'),
    (workdir.ABOUT_NAME, 'records_versions'),
    (workdir.NETWORK_NAME, 'layers'),
])
def test_what_json_lacks_is_named(run, name, key):
  path = run / 'fold0' / name
  content = json.loads(path.read_text())
  del content[key]
  path.write_text(json.dumps(content))
  refusal = _refusal(run)
  assert str(path) in refusal and f'({key}: ' in refusal


def test_a_layer_without_inputs_is_named(run):
  path = run / 'fold0' / workdir.NETWORK_NAME
  content = json.loads(path.read_text())
  del content['layers'][3]['inputs']
  path.write_text(json.dumps(content))
  assert str(path) in _refusal(run)


def _put(value):
  """Sets the first element of an array."""

  def change(array):
    array = array.copy()
    array.flat[0] = value
    return array

  return change


@pytest.mark.parametrize('name,key,change', [
    (workdir.PREDICTIONS_NAME, 'predictions', _put(np.nan)),
    (workdir.PREDICTIONS_NAME, 'predictions', _put(1.5)),
    (workdir.PREDICTIONS_NAME, 'predictions', lambda each: each[:, :20]),
    (workdir.PREDICTIONS_NAME, 'labels', lambda each: each[:-1]),
    (workdir.PREDICTIONS_NAME, 'labels', _put(2)),
    (workdir.PREDICTIONS_NAME, 'ids', lambda each: each[0]),
    (workdir.PREDICTIONS_NAME, 'ids', lambda each: np.arange(len(each))),
    (workdir.PREDICTIONS_NAME, 'ids', None),
    (workdir.PREDICTIONS_NAME, 'predictions', None),
    (workdir.SAMPLES_NAME, 'repeats', lambda each: each[:-1]),
    (workdir.SAMPLES_NAME, 'repeats', _put(-1)),
    (workdir.SAMPLES_NAME, 'folds', lambda each: each.astype(float)),
    (workdir.SAMPLES_NAME, 'groups', lambda each: np.array(['a'])),
    (workdir.SAMPLES_NAME, 'groups', lambda each: np.zeros((0, 1), str)),
    (workdir.SAMPLES_NAME, 'groups', lambda each: np.full(40, '\ud800')),
    (workdir.SAMPLES_NAME, 'groups',
     lambda each: np.full(40, 0x110000, np.uint32).view('<U1')),
    (workdir.SAMPLES_NAME, 'balance', lambda each: np.array('[]')),
    (workdir.SAMPLES_NAME, 'balance', lambda each: np.array(
        str(each).replace('"target": 500', '"target": 1000000000000'))),
    (workdir.SAMPLES_NAME, 'balance', lambda each: np.array(
        str(each).replace('"target": 500', '"target": 500.0'))),
    (workdir.SAMPLES_NAME, 'folds', _put(2**40)),
    (workdir.SAMPLES_NAME, 'seed', None),
    (workdir.SAMPLES_NAME, 'seed', lambda each: np.array(-1)),
    (workdir.SAMPLES_NAME, 'ids', _put('a\x1b[2J')),
    (workdir.SAMPLES_NAME, 'ids', _put('../a')),
    (workdir.GALLERY_NAME, 'kinds', lambda each: np.full_like(each, 'hi')),
    (workdir.GALLERY_NAME, 'classes', _put(28)),
    (workdir.GALLERY_NAME, 'images', lambda each: each[1:]),
    (workdir.GALLERY_NAME, 'images', lambda each: np.zeros(
        (len(each), 1, 20_000, 4), np.uint8)),
    (workdir.GALLERY_NAME, 'images', lambda each: each[..., :3]),
    (workdir.GALLERY_NAME, 'map1', lambda each: each[:-1]),
    (workdir.GALLERY_NAME, 'images', lambda each: np.zeros(
        (len(each), 257, 1, 4), np.uint8)),
    (workdir.GALLERY_NAME, 'map1', lambda each: each[:, :0]),
    (workdir.GALLERY_NAME, 'map1', None),
    (workdir.GALLERY_NAME, 'kinds', lambda each: each.astype('<U256')),
    (workdir.SAMPLES_NAME, 'ids', lambda each: each.astype('<U256')),
    (workdir.SAMPLES_NAME, 'balance',
     lambda each: np.array(str(each) + ' ' * 20_000)),
])
def test_arrays_of_another_form_are_named(run, name, key, change):
  path = run / 'fold0' / name
  with np.load(path) as file:
    arrays = dict(file)
  array = arrays.pop(key)
  if change:
    arrays[key] = change(array)
  np.savez(path, **arrays)
  assert str(path) in _refusal(run)


def _save_gallery(path, num_samples, num_maps, classes=28):
  """Writes an empty gallery, as Gallery.save does."""
  count = num_samples
  arrays_lib.Gallery(np.full(count, 'a'), np.zeros((count, classes), np.uint8),
                     np.zeros((count, classes), np.float32),
                     np.zeros(count, int), np.full(count, 'hit'),
                     np.zeros((count, 1, 1, 4), np.uint8), (np.zeros(
                         (count, 1, 1), np.float32),) * num_maps).save(path)


@pytest.mark.parametrize('num_samples,num_maps,message', [
    (85, 3, 'ids: expected up to 84, received 85'),
    (3, 9, 'maps: expected map0 to map7 without gaps, received 9'),
    (3, 1000, 'up to 16 arrays, received 1,006'),
])
def test_a_gallery_of_any_size_is_refused(tmp_path, num_samples, num_maps,
                                          message):
  path = str(tmp_path / workdir.GALLERY_NAME)
  _save_gallery(path, 84, 8)
  spec = description.default().spec(8)
  assert len(fold_file.load_gallery(str(tmp_path), spec).maps) == 8
  _save_gallery(path, num_samples, num_maps)
  with pytest.raises(errors.DataError, match=message):
    fold_file.load_gallery(str(tmp_path), spec)


def test_a_gallery_of_many_classes_has_those_of_the_panels(tmp_path):
  path = str(tmp_path / workdir.GALLERY_NAME)
  spec = specs.make(32, 4, 2000)
  _save_gallery(path, 90, 3, 2000)
  assert len(fold_file.load_gallery(str(tmp_path), spec).ids) == 90
  _save_gallery(path, 91, 3, 2000)
  with pytest.raises(errors.DataError, match='up to 90, received 91'):
    fold_file.load_gallery(str(tmp_path), spec)


@pytest.mark.parametrize('text', [
    'some text\nand more\n', 'epoch,loss\none,0.5\n', 'epoch\n',
    'epoch,loss\n1,0.5\n1,0.4\n', 'epoch,loss\n1,1e300\n',
    'epoch,loss\n1,inf\n', 'epoch,loss\n1,0.5\n2,3,4,5\n'
])
def test_another_history_is_named_in_one_line(run, text):
  path = run / 'fold0' / workdir.HISTORY_NAME
  path.write_text(text)
  message = _refusal(run)
  assert str(path) in message and '\n' not in message


_COLUMNS = 'epoch' + ',a' * 1000


@pytest.mark.parametrize('text,message', [
    (f'{_COLUMNS}\n1{",1" * 1000}\n', 'up to 100 columns, received 1,001'),
    (f'epoch,loss\n1{",1" * 1000}\n', 'rows of different lengths'),
    ('epoch,"' + '\n",a,"' * 1000 + '"\n', 'unexpected end of data'),
    ('epoch,' + 'a' * 5000 + '\n1,0.5\n', 'up to 4,096 bytes, received 5,006'),
    ('epoch\n' + '1\n' * 200_001, 'more than 99,999 rows'),
    ('epoch' + '\r' * 200_002, 'more than 99,999 rows'),
])
@pytest.mark.parametrize('name,load', [
    (workdir.HISTORY_NAME, fold_file.load_history),
    (workdir.PER_CLASS_NAME,
     lambda folder: fold_file.load_per_class(folder, 28)),
])
def test_a_table_of_any_size_is_not_parsed(tmp_path, name, load, text, message):
  path = tmp_path / name
  path.write_text(text)
  with pytest.raises(errors.DataError, match=message) as caught:
    load(str(tmp_path))
  assert str(path) in str(caught.value) and '\n' not in str(caught.value)


def test_a_history_without_numbers_is_refused(tmp_path):
  (tmp_path / workdir.HISTORY_NAME).write_text('epoch,loss\n1,good\n')
  with pytest.raises(errors.DataError, match='loss: expected numbers'):
    fold_file.load_history(str(tmp_path))


def test_a_score_that_no_epoch_has_is_a_gap(tmp_path):
  (tmp_path / workdir.HISTORY_NAME).write_text('epoch,auc_macro\n1,\n2,\n')
  assert fold_file.load_history(str(tmp_path))['auc_macro'].isna().all()


@pytest.mark.parametrize('name,key,value', [
    (workdir.METRICS_NAME, 'epoch', 10**9),
    (workdir.METRICS_NAME, 'f1_macro', '0.5'),
    (workdir.METRICS_NAME, 'f1_macro', True),
    (workdir.METRICS_NAME, 'f1_macro', [0.5]),
    (workdir.BEST_METRICS_NAME, 'epoch', 0),
    (workdir.ABOUT_NAME, 'device', 'the \x1b[31mCPU'),
    (workdir.ABOUT_NAME, 'versions', {
        'keras': 3
    }),
    (workdir.ABOUT_NAME, 'versions', {
        f'package{i}': '1' for i in range(101)
    }),
    (workdir.ABOUT_NAME, 'records', {
        'nested': [[]]
    }),
    (workdir.ABOUT_NAME, 'records', {
        'pattern': 'a' * 5000
    }),
    (workdir.ABOUT_NAME, 'pixels', {
        'mean': [[]]
    }),
    (workdir.ABOUT_NAME, 'pixels', {
        'mean': [1.0] * 5
    }),
    (workdir.ABOUT_NAME, 'classes', ['Nucleoplasm'] * 2),
    (workdir.ABOUT_NAME, 'classes', [f'class {i}' for i in range(2001)]),
    (workdir.ABOUT_NAME, 'classes', []),
    (workdir.ABOUT_NAME, 'records', {
        'description': []
    }),
    (workdir.ABOUT_NAME, 'records', {
        'image_size': '32'
    }),
    (workdir.ABOUT_NAME, 'classes', [['Nucleoplasm']]),
    (workdir.ABOUT_NAME, 'other', [[]]),
    (workdir.BEST_METRICS_NAME, 'note', [[]]),
    (workdir.BEST_METRICS_NAME, 'note', 'a' * 201),
    (workdir.CONFIG_NAME, 'data_service', 'a' * 5000),
    (workdir.CONFIG_NAME, 'other', 1),
    (workdir.NETWORK_NAME, 'parameters', -1),
    (workdir.NETWORK_NAME, 'layers', []),
    (workdir.NETWORK_NAME, 'layers', [{
        'name': 'a',
        'kind': 'Dense',
        'shape': [1],
        'parameters': 0,
        'inputs': ['b']
    }]),
    (workdir.CONFIG_NAME, 'fold', 0.0),
    (workdir.CONFIG_NAME, 'l2', None),
])
def test_values_that_no_run_has_are_named(run, name, key, value):
  path = run / 'fold0' / name
  path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
  refusal = _refusal(run)
  assert str(path) in refusal and key in refusal


@pytest.mark.parametrize('size', [2**23 + 1, 0])
@pytest.mark.parametrize('name', [
    workdir.CONFIG_NAME, workdir.METRICS_NAME, workdir.BEST_METRICS_NAME,
    workdir.ABOUT_NAME, workdir.NETWORK_NAME
])
def test_a_json_of_any_size_is_not_read(run, name, size):
  path = run / 'fold0' / name
  path.write_bytes(path.read_bytes().ljust(size)[:size])
  assert str(path) in _refusal(run)
