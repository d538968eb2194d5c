"""index_check: manifests and indexes that contradict themselves are named."""

import dataclasses

import numpy as np
import pytest

from hpa_records.format import manifest
from hpa_records.inspection import consistency
from tests.support import forgery


@pytest.fixture(name='dataset', scope='module')
def _dataset(tmp_path_factory):
  """(manifest, index) of a sound dataset."""
  folder = str(forgery.write_dataset(tmp_path_factory.mktemp('index')))
  made = manifest.load(folder)
  return made, manifest.load_index(folder, made)


@pytest.mark.parametrize('name,value', [
    ('balance', 'none such'),
    ('balance_target', -1),
    ('balance_tolerance', 1e300),
    ('max_repeat', -3),
    ('balance_factors', 'x'),
])
def test_a_balance_that_cannot_be_is_found(tmp_path, name, value):
  folder = forgery.write_dataset(tmp_path)
  forgery.forge_content(folder,
                        lambda said: said['settings'].update({name: value}))
  faults = consistency.check_manifest(manifest.load(str(folder)))
  assert len(faults) == 1
  assert faults[0].startswith('manifest.json: settings: Expected --')
  assert not faults[0].endswith('.')


def test_a_sound_dataset_has_no_faults(dataset):
  made, index = dataset
  assert not consistency.check_manifest(made)
  assert not consistency.check_index(made, index)


def _set(column, value, row=0):

  def change(index):
    values = list(index[column])
    values[row] = value(values[row]) if callable(value) else value
    return index.assign(**{column: values})

  return change


_NAN_REPEATS = np.array([0, 1, 1, 1, np.nan], np.float32)


@pytest.mark.parametrize('change,message', [
    (_set('record_offset', 5), 'expected record 0 of fold0'),
    (_set('record_bytes', lambda n: n + 1), 'expected record 1 of fold0'),
    (_set('record_bytes', lambda n: n + 1, -1), 'received'),
    (_set('image_offset', 0), 'inside its record'),
    (_set('image_bytes', lambda n: n + 9), 'inside its record'),
    (_set('image_bytes', 0), 'inside its record'),
    (lambda index: index.assign(id=['s0'] * 20), 'expected s0 once'),
    (_set('fold', 4), 'expected fold 0 of s'),
    (_set('fold', 5), 'expected fold 0 of s'),
    (_set('fold', -1), 'expected fold 0 of s'),
    (_set('fold', 2**31 - 1), 'expected fold 0 of s'),
    (_set('labels', [28]), 'expected labels 0..27 of s'),
    (_set('labels', [-1]), 'expected labels 0..27 of s'),
    (_set('labels', [5, 5]), 'expected labels 0..27 of s'),
    (_set('labels', [5] * 100), '5, 5, ... and 68 more]'),
    (_set('labels', [26]), 'class counts of fold 0'),
    (_set('repeats', [0, 1, 1, 1]), 'expected 5 repeats of s'),
    (_set('repeats', [1, 1, 1, 1, 1]), '0 in its fold 0'),
    (_set('repeats', [0, 1, 1, 1, -1]), 'at least 0'),
    (_set('repeats', _NAN_REPEATS), 'at least 0'),
    (_set('id', 'a\x1b[2J'), r"received 'a\x1b[2J'"),
    (_set('id', 'a/b'), "received 'a/b'"),
    (_set('id', ''), "received ''"),
    (_set('record_bytes', -(2**62)), 'inside its record'),
    (_set('record_bytes', 2**62), 'inside its record'),
    (_set('image_offset', 2**63 - 1), 'inside its record'),
    (_set('image_bytes', -5), 'inside its record'),
    (_set('repeats', np.array([0, 1e9, 1, 1, 1], np.float32)),
     'at most 1,002,000 draws in an epoch without fold 1'),
    (_set('repeats', np.array([0, 3e38, 1, 1, 1], np.float32)),
     'received repeats with the sum 3e+38'),
    (_set('repeats', np.array([0, np.inf, 1, 1, 1], np.float32)), 'at least 0'),
    (lambda index: index[:-1], 'rows of fold4-00000-of-00001.tfrecord'),
    (lambda index: index[::-1], 'in the order of the shards'),
    (_set('shard', 'x.tfrecord'), "expected no rows of 'x.tfrecord'"),
])
def test_an_index_that_makes_no_sense_is_named(dataset, change, message):
  made, index = dataset
  faults = consistency.check_index(made, change(index))
  assert all(line.startswith('index.parquet: ') for line in faults)
  assert any(message in line for line in faults)


@pytest.mark.parametrize('change', [
    lambda index: index.drop(columns='repeats'),
    lambda index: index.assign(extra=1),
])
def test_an_index_of_other_columns_is_named(dataset, change):
  made, index = dataset
  fault, = consistency.check_index(made, change(index))
  assert fault.startswith('index.parquet: expected the columns')


def test_class_counts_of_the_manifest_are_checked(dataset):
  made, index = dataset
  counts = [list(row) for row in made.class_counts]
  counts[4][27] += 1
  made = dataclasses.replace(made, class_counts=counts)
  fault, = consistency.check_index(made, index)
  assert 'class counts of fold 4' in fault


@pytest.mark.parametrize('change,message', [
    (lambda m: {
        'num_records': 21
    }, 'expected 21 records, received shards with 20'),
    (lambda m: {
        'classes': ('a',) * 28
    }, 'expected the classes'),
    (lambda m: {
        'channels': m.channels[::-1]
    }, "channels ['yellow'"),
    (lambda m: {
        'settings': {
            **m.settings, 'unlabelled': True
        }
    }, 'expected the shards of test'),
    (lambda m: {
        'shards': m.shards[::-1]
    }, 'expected the shards of all folds in order'),
    (lambda m: {
        'files': {
            'index.parquet': m.files['index.parquet']
        }
    }, "expected the sha256 of ['dataset_info.json', 'features.json']"),
])
def test_a_manifest_that_makes_no_sense_is_named(dataset, change, message):
  made = dataclasses.replace(dataset[0], **change(dataset[0]))
  faults = consistency.check_manifest(made)
  assert all(line.startswith('manifest.json: ') for line in faults)
  assert any(message in line for line in faults)


@pytest.mark.parametrize('name,value', [
    ('sum', [1, 2, 3]),
    ('sum', [10**6] * 4),
    ('sum_of_squares', [0] * 4),
    ('mean', [1.0] * 4),
    ('std', [1e30] * 4),
    ('count', 7),
])
def test_pixels_that_cannot_be_are_named(dataset, name, value):
  made = dataclasses.replace(dataset[0],
                             pixels=dataset[0].pixels | {name: value})
  fault, = consistency.check_manifest(made)
  assert 'expected pixels that 5120 pixels of 0..255 can have' in fault


@pytest.mark.parametrize(
    'counts',
    [[], [[1] * 28], [[1]] * 5, [[1] * 28] * 6, [[1] * 28] * 4 + [[1] * 27]])
def test_class_counts_of_another_shape_are_named(dataset, counts):
  made = dataclasses.replace(dataset[0], class_counts=counts)
  fault, = consistency.check_manifest(made)
  assert 'expected class counts of 5 folds and 28 classes' in fault


def test_more_folds_than_records_are_named(dataset):
  made = dataclasses.replace(dataset[0],
                             settings=dataset[0].settings | {'num_folds': 21},
                             class_counts=[[0] * 28] * 21)
  assert 'a record in each fold' in consistency.check_manifest(made)[0]


def test_a_group_is_a_name(dataset):
  made, index = dataset
  made = dataclasses.replace(made,
                             settings=made.settings | {'groups_sha256': 'x'})
  fault, *_ = consistency.check_index(made, index.assign(group='a\nb'))
  assert "expected a group that is a plain name" in fault and '\n' not in fault


def test_a_set_without_labels_has_fewer_columns(tmp_path):
  forgery.write_unlabelled(tmp_path)
  made = manifest.load(str(tmp_path))
  index = manifest.load_index(str(tmp_path), made)
  assert not consistency.check_manifest(made)
  assert not consistency.check_index(made, index)
  fault, = consistency.check_index(made, index.assign(fold=0))
  assert 'expected the columns' in fault


@pytest.mark.parametrize('rows', [0, 1, -3])
def test_lines_of_a_csv_are_whole_and_differ(tmp_path, rows):
  folder = tmp_path / 'records'
  folder.mkdir()
  forgery.write_unlabelled(folder)
  made = manifest.load(str(folder))
  index = manifest.load_index(str(folder), made)
  assert not consistency.check_index(made, index.drop(columns='row'))
  fault, = consistency.check_index(made, index.assign(row=rows))
  assert 'expected row' in fault
