"""description: TOML files of users, built-in ones, and those of manifests."""

import dataclasses
import os

import pytest

from hpa_records.conversion import shard_plan
from hpa_records.datasets import description
from hpa_records.format import manifest
from hpa_records.format import spec
from hpa_records.runtime import errors
from tests.support import fakes
from tests.support import forgery

_TEXT = '''
[table]
labels = "Target"

[[channels]]
name = "DNA"

[[channels]]
name = "ER"
color = "#00ff00"
'''
_CLASSES = 'classes = ["a", "b"]\n'


@pytest.fixture(name='write')
def _write(tmp_path):

  def write(content=_CLASSES + _TEXT, name='mine.toml'):
    path = tmp_path / name
    path.write_bytes(
        content if isinstance(content, bytes) else content.encode('utf-8'))
    return str(path)

  return write


def _refuse(*args):
  with pytest.raises(errors.DataError) as caught:
    description.load(*args)
  assert len(str(caught.value).splitlines()) == 1
  return str(caught.value)


def test_the_built_in_ones_are_those_of_the_issue():
  assert description.names() == [
      'bbbc021', 'cell_painting', 'hpa2018', 'hpa2021', 'hpa_fov', 'hpa_public',
      'opencell', 'rxrx1'
  ]


@pytest.mark.parametrize('name,num_classes,num_channels', [
    ('bbbc021', 13, 3),
    ('cell_painting', 0, 5),
    ('hpa2018', 28, 4),
    ('hpa2021', 19, 4),
    ('hpa_fov', 19, 4),
    ('hpa_public', 19, 4),
    ('rxrx1', 1138, 6),
])
def test_a_built_in_description_has_its_numbers(name, num_classes,
                                                num_channels):
  found = description.load(name)
  assert found.name == name
  assert (len(found.classes), len(found.channels)) == (num_classes,
                                                       num_channels)
  assert len({each.color for each in found.channels}) == num_channels
  assert all(each.stain for each in found.channels)


def test_a_file_is_read_and_named_after_itself(write):
  found = description.load(write(b'\xef\xbb\xbf' + (_CLASSES + _TEXT).encode()))
  assert found.name == 'mine'
  assert found.spec(16) == spec.Spec(
      ('a', 'b'), (spec.Channel('DNA'), spec.Channel('ER', color='#00ff00')),
      16)


def test_classes_may_be_the_lines_of_a_file_beside_it(write):
  write('a\n\n b c \n', 'classes.txt')
  path = write('classes = {file = "classes.txt"}\n' + _TEXT)
  assert [each.name for each in description.load(path).classes] == ['a', 'b c']
  write('\n', 'classes.txt')
  assert 'No classes in classes.txt' in _refuse(path)
  path = write('classes = {file = "none.txt"}\n' + _TEXT)
  assert 'none.txt' in _refuse(path)
  path = write('classes = {file = 5}\n' + _TEXT)
  assert 'pattern: received None' in _refuse(path)


@pytest.mark.parametrize('file', [
    '/etc/hostname', '../classes.txt', 'http://127.0.0.1:9/classes.txt',
    's3://bucket/classes.txt'
])
def test_the_file_of_classes_is_not_elsewhere(write, file):
  path = write(f'classes = {{file = "{file}"}}\n' + _TEXT)
  assert 'beside it or below its folder' in _refuse(path)


def test_the_home_folder_is_expanded(write, tmp_path, monkeypatch):
  monkeypatch.setenv('HOME', str(tmp_path))
  name = os.path.relpath(write(), tmp_path)
  assert description.load(f'~/{name}') == description.load(write())


def test_single_values_may_be_replaced(write):
  found = description.load(write(), [
      'table.id="{plate}_{well}"', 'images.pattern="{id}/{channel}.tif"',
      'intensity.white_level=4095', 'classes=["x", "y", "z"]'
  ])
  assert found.table.id == '{plate}_{well}'
  assert found.table.labels == ('Target',)
  assert found.patterns() == ('{id}/DNA.tif', '{id}/ER.tif')
  assert found.rule().white_levels == (4095, 4095)
  assert len(found.classes) == 3


@pytest.mark.parametrize('change,message', [
    ('table.id=a', '--set=table.id=a is not valid TOML'),
    ('table.idd="a"', "unknown key 'idd' in table"),
    ('table=5', 'table: received 5'),
    ('a\n=5', 'is not valid TOML'),
])
def test_an_invalid_replacement_is_named(write, change, message):
  assert message in _refuse(write(), [change])


@pytest.mark.parametrize('name', ['kaggle', '', '../hpa2018', 'hpa2018.tom'])
def test_an_unknown_name_is_refused(name):
  assert 'Expected --dataset to be one of bbbc021, ' in _refuse(name)


@pytest.mark.parametrize('content,message', [
    (b'\xff', 'is not UTF-8 text'),
    (b'name = ', 'is not valid TOML'),
    (b'a = 1\na = 2\n', 'is not valid TOML'),
    (b'a = ' + b'[' * 100_000, 'is not valid TOML'),
    (b'a = ' + b'9' * 10_000, 'is not valid TOML'),
    (b'a' + b'.a' * 101 + b' = 1\n', 'a line with more than 100 dots'),
    (b'#' * (2**18 + 1),
     'too large for the description of a dataset: over 262,144 bytes'),
    (b'', 'channels: received None'),
    (b'classes = 5\n', 'channels: received None'),
    (b'channels = [[]]\n', 'channels: received []'),
    (b'channels = 2026-11-26\n', 'channels: received datetime.date'),
    (b'\0', 'is not valid TOML'),
])
def test_hostile_files_are_one_line(write, content, message):
  assert message in _refuse(write(content))


def test_a_missing_file_is_named(tmp_path):
  assert 'none.toml' in _refuse(str(tmp_path / 'none.toml'))
  (tmp_path / 'folder.toml').mkdir()
  assert 'folder.toml' in _refuse(str(tmp_path / 'folder.toml'))


def test_a_fold_column_takes_the_place_of_groups():
  found = description.change(description.load('rxrx1'), fold_column='fold')
  assert (found.table.fold, found.table.group) == ('fold', ())
  with pytest.raises(errors.DataError,
                     match="of the dataset hpa2018 with --pattern='{id}.png'"):
    description.change(description.default(), pattern='{id}.png')


def test_a_pattern_does_not_replace_paths_of_channels(write):
  found = description.load(
      write(), ['channels=[{name = "a", path = "{a}"}, {name = "b"}]'])
  assert description.change(found, pattern=found.images.pattern) == found
  with pytest.raises(errors.DataError, match='have paths of their own'):
    description.change(found, pattern='{id}.tif')


@pytest.mark.parametrize('white_level', [4095, 1000])
def test_a_white_level_replaces_those_of_channels(write, white_level):
  found = description.load(write(), [
      'intensity.white_level=4095',
      'channels=[{name = "a", white_level = 9}, {name = "b"}]'
  ])
  made = shard_plan.Settings(description=found)
  assert made.description.rule().white_levels == (9, 4095)
  assert dataclasses.replace(
      made, classes=('a', 'b')).description.rule() == made.description.rule()
  changed = dataclasses.replace(made, white_level=white_level)
  assert changed.description.rule().white_levels == (white_level, white_level)
  stored = description.of_settings(changed.encode(), ['a', 'b'])
  assert stored.rule() == changed.description.rule()


@pytest.fixture(name='records')
def _records(tmp_path):
  return forgery.write_dataset(tmp_path)


def test_the_spec_of_a_dataset_is_that_of_its_description(records):
  assert description.spec_of(manifest.load(
      str(records))) == description.default().spec(16)


@pytest.mark.parametrize('changes,message', [
    ({
        'channels': ('red', 'green', 'blue')
    }, "'yellow'] of the description, re"),
    ({
        'classes': ('a', 'a')
    }, "duplicate class 'a'"),
    ({
        'classes': ('a\x1b[0m',)
    }, "received 'a\\x1b[0m'"),
    ({
        'settings': {
            'description': {
                'name': 'x',
                'channels': []
            }
        }
    }, 'names'),
    ({
        'settings': {
            'description': {
                'name': 'x',
                'table': {
                    'labels': 'x'
                },
                'channels': [{
                    'name': 'a'
                }],
                'images': {
                    'pattern': '/etc/passwd'
                }
            }
        }
    }, 'below the image folder'),
    ({
        'settings': {
            'description': {
                'name': 'x',
                'channels': [{
                    'name': 'a'
                }],
                'evil': 1
            }
        }
    }, "unknown key 'evil'"),
    ({
        'settings': {
            'description': {
                'name': 'x',
                'channels': [{
                    'name': 5
                }]
            }
        }
    }, 'channels.name: received 5'),
    ({
        'settings': {
            'pattern': '../{id}_{channel}.png'
        }
    }, 'below the image fo'),
    ({
        'settings': {
            'white_level': -5
        }
    }, 'white_level above 0'),
    ({
        'settings': {
            'pixel_um': 1.0
        }
    }, 'pixel_um of 1.0 needs images.pixel_um'),
    ({
        'settings': {
            'pixel_um': -1.0
        }
    }, 'a stored pixel_um above 0, received -1.0'),
    ({
        'settings': {
            'pixel_um': 10**400
        }
    }, 'a stored pixel_um above 0, received 1000'),
])
def test_hostile_manifests_are_refused(records, changes, message):
  made = manifest.load(str(records))
  changes = {
      name: {
          **made.settings,
          **value
      } if name == 'settings' else value for name, value in changes.items()
  }
  with pytest.raises(errors.DataError) as caught:
    description.spec_of(dataclasses.replace(made, **changes))
  assert message in str(caught.value), caught.value
  assert len(str(caught.value).splitlines()) == 1


def test_settings_of_a_description_are_stored_and_read(write):
  found = description.load(write())
  stored = shard_plan.Settings(description=found, image_size=8).encode()
  assert stored['description']['name'] == 'mine'
  assert description.of_settings(stored, ['a', 'b']) == found
  assert 'description' not in shard_plan.Settings(image_size=8).encode()


def test_a_dataset_of_another_description_is_not_the_same(tmp_path, write):
  """A conversion with another description is refused, by its difference."""
  found = description.load(
      write('classes = {pattern = "c{}", count = 28}\n' +
            _TEXT.replace('DNA', 'red').replace('ER', 'green')))
  folder = fakes.write_records(tmp_path / 'made', 6, 8, num_folds=2)
  with pytest.raises(errors.DataError,
                     match="description 'hpa2018', requested 'mine'"):
    fakes.convert.convert(
        str(tmp_path / 'made' / 'train.csv'), str(tmp_path / 'made' / 'train'),
        folder, shard_plan.Settings(image_size=8,
                                    num_folds=2,
                                    description=found))
