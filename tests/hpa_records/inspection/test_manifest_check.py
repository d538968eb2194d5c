"""manifest_check: manifests that contradict themselves are named."""

import dataclasses
import re

import pytest

from hpa_records.format import manifest
from hpa_records.inspection import manifest_check
from hpa_records.reading import dataset as dataset_lib
from hpa_records.runtime import errors
from tests.support import forgery
from tests.support import plain_dataset
from tests.support import specs


@pytest.mark.parametrize('name,value', [
    ('balance', 'none such'),
    ('balance_target', -1),
    ('balance_tolerance', 1e300),
    ('max_repeat', -3),
    ('balance_factors', 'x'),
])
def test_an_impossible_balance_is_named(tmp_path, name, value):
  folder = forgery.write_dataset(tmp_path)
  forgery.forge_content(folder,
                        lambda said: said['settings'].update({name: value}))
  issues = manifest_check.check(manifest.load(str(folder)))
  assert len(issues) == 1
  assert issues[0].startswith('manifest.json: settings: Expected --')
  assert not issues[0].endswith('.')


@pytest.mark.parametrize('change,message', [
    (lambda m: {
        'num_records': 21
    }, 'expected 21 records, received shards with 20'),
    (lambda m: {
        'classes': ('a',) * 28
    }, "duplicate class 'a'"),
    (lambda m: {
        'classes': ('a\x1b',) + m.classes[1:]
    }, r"printable characters without spaces around it, received 'a\x1b'"),
    (lambda m: {
        'channels': m.channels[::-1]
    }, "received ['yellow'"),
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
    }, "no sha256 of ['dataset_info.json', 'features.json']"),
])
def test_issues_of_a_manifest_are_named(dataset, change, message):
  made = dataclasses.replace(dataset[0], **change(dataset[0]))
  issues = manifest_check.check(made)
  assert all(line.startswith('manifest.json: ') for line in issues)
  assert any(message in line for line in issues)


@pytest.mark.parametrize('name,value', [
    ('sum', [1, 2, 3]),
    ('sum', [10**6] * 4),
    ('sum_of_squares', [0] * 4),
    ('mean', [1.0] * 4),
    ('std', [1e30] * 4),
    ('count', 7),
])
def test_impossible_pixel_statistics_are_named(dataset, name, value):
  made = dataclasses.replace(dataset[0],
                             pixels=dataset[0].pixels | {name: value})
  issue, = manifest_check.check(made)
  assert 'impossible pixel statistics for 5120 pixels of 0..255' in issue


@pytest.mark.parametrize('change,message', [
    (lambda folds: folds.pop(), 'expected pixel sums of 5 folds, received 4'),
    (lambda folds: folds[1].update(count=7),
     'impossible pixel sums of fold 1 for 1024 pixels of 0..255'),
    (lambda folds: folds[2].update(sum=[10**6] * 4), 'impossible .* of fold 2'),
    (lambda folds: folds[2]['sum'].pop(), 'impossible .* of fold 2'),
    (lambda folds: folds[3]['sum_of_squares'].__setitem__(
        0, folds[3]['sum_of_squares'][0] + 1),
     'pixels of the folds whose sum_of_squares add up to'),
])
def test_pixel_sums_of_folds_that_cannot_be_are_named(tmp_path, change,
                                                      message):
  folder = forgery.write_dataset(tmp_path)
  forgery.forge_content(folder, lambda said: change(said['pixels']['folds']))
  issue, = manifest_check.check(manifest.load(str(folder)))
  assert re.search(message, issue)
  with pytest.raises(errors.DataError, match=message) as told:
    dataset_lib.load(str(folder))
  assert '\n' not in str(told.value)


def test_unlabelled_records_have_no_folds(tmp_path):
  folder = tmp_path / 'records'
  forgery.write_unlabelled(folder)
  made = manifest.load(str(folder))
  assert not manifest_check.check(made)
  fold = {key: made.pixels[key] for key in ('count', 'sum', 'sum_of_squares')}
  made = dataclasses.replace(made, pixels=made.pixels | {'folds': [fold]})
  assert 'sums of 0 folds, received 1' in manifest_check.check(made)[0]


@pytest.mark.parametrize(
    'counts',
    [[], [[1] * 28], [[1]] * 5, [[1] * 28] * 6, [[1] * 28] * 4 + [[1] * 27]])
def test_class_counts_of_another_shape_are_named(dataset, counts):
  made = dataclasses.replace(dataset[0], class_counts=counts)
  issue, = manifest_check.check(made)
  assert 'expected class counts of 5 folds and 28 classes' in issue


def test_more_folds_than_records_are_named(dataset):
  made = dataclasses.replace(dataset[0],
                             settings=dataset[0].settings | {'num_folds': 21},
                             class_counts=[[0] * 28] * 21)
  assert 'a record in each fold' in manifest_check.check(made)[0]


@pytest.mark.parametrize('num_classes,num_channels,encoding',
                         [(1, 1, 'png'), (65, 3, 'png'), (200, 5, 'raw'),
                          (2000, 16, 'raw')])
def test_any_classes_and_channels_are_valid(tmp_path, num_classes, num_channels,
                                            encoding):
  spec = specs.make(8, num_channels, num_classes, encoding)
  folder = plain_dataset.write(tmp_path, spec, [[0], [num_classes - 1]] * 3)
  made = manifest.load(str(folder))
  assert not manifest_check.check(made)
  fewer = dataclasses.replace(
      made, class_counts=[row[1:] for row in made.class_counts])
  assert f'2 folds and {num_classes} classes' in manifest_check.check(fewer)[0]
  sums = {'sum': made.pixels['sum'] * 2, 'sum_of_squares': [0] * num_channels}
  more = dataclasses.replace(made, pixels={**made.pixels, **sums})
  assert f'each of {num_channels} channels' in manifest_check.check(more)[0]
  table = dataclasses.replace(made,
                              settings={
                                  **made.settings, 'balance': 'table'
                              })
  issue, = manifest_check.check(table)
  assert 'settings: --balance=table needs --balance_factors' in issue


def test_a_png_of_five_channels_is_named(tmp_path):
  folder = plain_dataset.write(tmp_path, specs.make(8, 5, 3), [[0], [1]])
  made = manifest.load(str(folder))
  made = dataclasses.replace(made,
                             settings={
                                 **made.settings, 'encoding': 'png'
                             })
  assert ('expected images of 5 channels to be stored as raw, received png'
          in manifest_check.check(made)[0])
