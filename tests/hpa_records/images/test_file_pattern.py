"""file_pattern: names from patterns, and ids from names."""

import hypothesis
from hypothesis import strategies
import pytest

from hpa_records.conversion import shard_plan
from hpa_records.format import spec
from hpa_records.images import file_pattern
from hpa_records.runtime import errors
from hpa_records.storage import litter


@pytest.mark.parametrize('pattern,sample_id,name', [
    ('{id}_{channel}.png', 'a', 'a_red.png'),
    ('{id}/{channel}.TIF', 'a', 'a/red.TIF'),
    ('x/{channel}/{id}.jpeg', 'a', 'x/red/a.jpeg'),
    ('{channel}{id}.tiff', '{channel}', 'red{channel}.tiff'),
    ('{id}.{channel}.jpg', 'a.*', 'a.*.red.jpg'),
])
def test_names_and_ids(pattern, sample_id, name):
  file_pattern.check(pattern)
  assert file_pattern.name(pattern, sample_id, 'red') == name
  others = ['', 'red', name + 'x', f'y/{name}', name.replace('red', 'grey')]
  assert file_pattern.find_ids(pattern, [name, *others]) == [sample_id]


@hypothesis.given(
    strategies.text(min_size=1).filter(lambda text: '/' not in text))
def test_every_id_is_found_again(sample_id):
  for pattern in ('{id}_{channel}.png', 'a/{id}/{channel}.png',
                  '{channel}-{id}.tif'):
    names = [
        file_pattern.name(pattern, sample_id, channel)
        for channel in spec.CHANNELS
    ]
    assert file_pattern.find_ids(pattern, names) == [sample_id]


@pytest.mark.parametrize('pattern,expected', [
    ('', 'with {id} and {channel}, each once'),
    ('{id}.png', 'with {id} and {channel}, each once'),
    ('{id}_{channel}_{channel}.png', 'each once'),
    ('{id}_{channel}_{plate}.png', 'each once'),
    ('{id!r}_{channel}.png', 'each once'),
    ('{{id}}_{channel}.png', 'nothing in braces but'),
    ('{id}_{channel}}.png', 'nothing in braces but'),
    ('/data/{id}_{channel}.png', 'below the image folder'),
    ('../{id}_{channel}.png', 'below the image folder'),
    ('a/./{id}_{channel}.png', 'below the image folder'),
    ('a//{id}_{channel}.png', 'below the image folder'),
    ('a\\{id}_{channel}.png', 'below the image folder'),
    ('{id}_{channel}', 'that ends in one of .png, .tif'),
    ('{id}_{channel}.xyz', 'that ends in one of .png, .tif'),
])
def test_other_patterns_are_refused(pattern, expected):
  with pytest.raises(errors.DataError) as error:
    shard_plan.Settings(pattern=pattern)
  assert expected in str(error.value) and repr(pattern) in str(error.value)


def test_system_files_are_litter():
  names = ['.DS_Store', 'a/._b.png', 'Thumbs.db', 'x/desktop.ini', '.directory']
  assert all(map(litter.is_litter, names))
  assert not any(map(litter.is_litter, ['a.png', '_a', '.a', 'DS_Store']))
