"""index_check: indexes that contradict themselves or the manifest are named."""

import dataclasses

import numpy as np
import pytest

from hpa_records.format import manifest
from hpa_records.inspection import index_check
from hpa_records.inspection import manifest_check
from tests.support import forgery
from tests.support import plain_dataset
from tests.support import specs


def test_a_valid_dataset_has_no_issues(dataset):
  made, index = dataset
  assert not manifest_check.check(made)
  assert not index_check.check(made, index)


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
    (_set('image_offset', 0), 'outside its record'),
    (_set('image_bytes', lambda n: n + 9), 'bytes for the image of s'),
    (_set('image_bytes', 0), 'bytes for the image of s'),
    (lambda index: index.assign(id=['s0'] * 20), 'duplicate id s0'),
    (_set('fold', 4), 'expected fold 0 for s'),
    (_set('fold', 5), 'expected fold 0 for s'),
    (_set('fold', -1), 'expected fold 0 for s'),
    (_set('fold', 2**31 - 1), 'expected fold 0 for s'),
    (_set('labels', [28]), 'expected unique labels 0..27 for s'),
    (_set('labels', [-1]), 'expected unique labels 0..27 for s'),
    (_set('labels', [5, 5]), 'expected unique labels 0..27 for s'),
    (_set('labels', [5] * 100), '5, 5, ... and 68 more]'),
    (_set('labels', [26]), 'class counts of fold 0'),
    (_set('repeats', [0, 1, 1, 1]), 'expected 5 repeats for s'),
    (_set('repeats', [1, 1, 1, 1, 1]), '0 in its fold 0'),
    (_set('repeats', [0, 1, 1, 1, -1]), 'at least 0'),
    (_set('repeats', _NAN_REPEATS), 'at least 0'),
    (_set('id', 'a\x1b[2J'), r"received 'a\x1b[2J'"),
    (_set('id', 'a/b'), "received 'a/b'"),
    (_set('id', ''), "received ''"),
    (_set('record_bytes', -(2**62)), 'bytes for the image of s'),
    (_set('record_bytes', 2**62), 'bytes for the image of s'),
    (_set('image_offset', 2**63 - 1), 'outside its record'),
    (_set('image_bytes', -5), 'bytes for the image of s'),
    (_set('repeats', np.array([0, 1e9, 1, 1, 1], np.float32)),
     'at most 1,002,000 draws in an epoch without fold 1'),
    (_set('repeats', np.array([0, 3e38, 1, 1, 1],
                              np.float32)), 'received repeats with sum 3e+38'),
    (_set('repeats', np.array([0, np.inf, 1, 1, 1], np.float32)), 'at least 0'),
    (lambda index: index[:-1], 'rows of fold4-00000-of-00001.tfrecord'),
    (lambda index: index[::-1], 'in the order of the shards'),
    (_set('shard', 'x.tfrecord'), "rows of unknown shard 'x.tfrecord'"),
])
def test_issues_of_an_index_are_named(dataset, change, message):
  made, index = dataset
  issues = index_check.check(made, change(index))
  assert all(line.startswith('index.parquet: ') for line in issues)
  assert any(message in line for line in issues)


@pytest.mark.parametrize('change', [
    lambda index: index.drop(columns='repeats'),
    lambda index: index.assign(extra=1),
])
def test_an_index_of_other_columns_is_named(dataset, change):
  made, index = dataset
  issue, = index_check.check(made, change(index))
  assert issue.startswith('index.parquet: expected the columns')


def test_class_counts_of_the_manifest_are_checked(dataset):
  made, index = dataset
  counts = [list(row) for row in made.class_counts]
  counts[4][27] += 1
  made = dataclasses.replace(made, class_counts=counts)
  issue, = index_check.check(made, index)
  assert 'class counts of fold 4' in issue


def test_a_group_is_a_name(dataset):
  made, index = dataset
  made = dataclasses.replace(made,
                             settings=made.settings | {'groups_sha256': 'x'})
  issue, *_ = index_check.check(made, index.assign(group='a\nb'))
  assert "expected a group that is a plain name" in issue and '\n' not in issue


def test_a_set_without_labels_has_fewer_columns(tmp_path):
  forgery.write_unlabelled(tmp_path)
  made = manifest.load(str(tmp_path))
  index = manifest.load_index(str(tmp_path), made)
  assert not manifest_check.check(made)
  assert not index_check.check(made, index)
  issue, = index_check.check(made, index.assign(fold=0))
  assert 'expected the columns' in issue


@pytest.mark.parametrize('rows', [0, 1, -3])
def test_rows_of_a_csv_are_positive_and_unique(tmp_path, rows):
  folder = tmp_path / 'records'
  folder.mkdir()
  forgery.write_unlabelled(folder)
  made = manifest.load(str(folder))
  index = manifest.load_index(str(folder), made)
  assert not index_check.check(made, index.drop(columns='row'))
  issue, = index_check.check(made, index.assign(row=rows))
  assert 'expected unique rows' in issue


@pytest.mark.parametrize('num_classes', [1, 65, 2000])
def test_labels_of_any_number_of_classes_are_checked(tmp_path, num_classes):
  spec = specs.make(8, 3, num_classes)
  labels = [[i % num_classes] for i in range(7)] + [[]]
  folder = plain_dataset.write(tmp_path, spec, labels, plates=True)
  made = manifest.load(str(folder))
  index = manifest.load_index(str(folder), made)
  assert not index_check.check(made, index)
  issue, = index_check.check(made, _set('labels', [num_classes])(index))
  assert f'expected unique labels 0..{num_classes - 1} for s0' in issue
  issue, = index_check.check(made, index.drop(columns='plate'))
  assert 'expected the columns' in issue
  issue, = index_check.check(made, index.assign(well='a1'))
  assert 'expected the columns' in issue
