"""consistency: values that contradict each other are refused by name."""

import copy

import pytest

from hpa_records.conversion import shard_plan
from hpa_records.datasets import toml_form
from hpa_records.runtime import errors

_CONTENT = {
    'name': 'mine',
    'table': {
        'labels': 'Target'
    },
    'channels': [{
        'name': 'red'
    }, {
        'name': 'green'
    }],
    'classes': ['a', {
        'name': 'b',
        'aliases': ['c']
    }],
}


def _parse(**changes):
  """Returns the description of _CONTENT with other values."""
  content = copy.deepcopy(_CONTENT)
  for path, value in changes.items():
    *parents, key = path.split('__')
    place = content
    for each in parents:
      place = place.setdefault(each, {})
    place[key] = value
  return toml_form.parse(content, 'mine.toml')


def test_the_content_is_valid():
  assert _parse().spec(8).channel_names == ('red', 'green')


@pytest.mark.parametrize('changes,message', [
    ({
        'classes': ['a', 'a']
    }, "duplicate class 'a'"),
    ({
        'classes': ['a', {
            'name': 'b',
            'aliases': ['a']
        }]
    }, "'a' is the name or alias of two classes"),
    ({
        'table__ignored': ['c']
    }, "'c' is the name or alias of two classes"),
    ({
        'classes': []
    }, 'labels of the form numbers need classes'),
    ({
        'channels': []
    }, 'names'),
    ({
        'channels': [{
            'name': f'c{i}'
        } for i in range(17)]
    }, 'received 17'),
    ({
        'channels': [{
            'name': 'red'
        }] * 2
    }, "duplicate channel 'red'"),
    ({
        'channels': [{
            'name': 'a',
            'color': 'red'
        }]
    }, 'a color such as #00ff00'),
    ({
        'channels': [{
            'name': 'a\n'
        }]
    }, "received 'a\\n'"),
    ({
        'channels': [{
            'name': 'a',
            'file': 'x'
        }, {
            'name': 'b',
            'file': 'x'
        }]
    }, 'another file for each channel'),
    ({
        'channels': [{
            'name': 'a',
            'path': '../{x}'
        }]
    }, 'below the image folder'),
    ({
        'table__form': 'words'
    }, "numbers, names, columns, folders, received 'w"),
    ({
        'table__repeated': 'no'
    }, "merge, refuse, received 'no'"),
    ({
        'table__empty': 'Negative'
    }, "the name of a class, received 'Negative'"),
    ({
        'table__separator': ''
    }, 'separator is empty'),
    ({
        'table__id': ''
    }, 'id is empty'),
    ({
        'table__id': '{a'
    }, "fields in braces, received '{a'"),
    ({
        'table__id': '{a:last}'
    }, "after a colon or nothing, received 'a:last'"),
    ({
        'table__labels': []
    }, 'form numbers need columns (labels)'),
    ({
        'table__form': 'columns'
    }, 'form columns do not have columns (labels)'),
    ({
        'table__labels': [],
        'table__form': 'folders'
    }, 'need each other'),
    ({
        'images__pattern': '{class}/{id}_{channel}.png'
    }, 'need each other'),
    ({
        'table__join': [{
            'csv': 'second.csv',
            'on': {}
        }]
    }, "on of 'second.csv' has no columns"),
    ({
        'intensity__rule': 'x' * 1000
    }, 'percentiles, received'),
    ({
        'intensity__of': 'x' * 1000
    }, 'dataset, received'),
    ({
        'table__metadata': ['well', 'row']
    }, "be called 'row': the index has a"),
    ({
        'table__metadata': ['well', 'well']
    }, "be called 'well': the index has"),
    ({
        'table__join': [{
            'csv': 'b.csv',
            'on': {
                'a': 'b'
            },
            'unmatched': 'x'
        }]
    }, "refuse, drop, received 'x'"),
    ({
        'table__join': [{
            'csv': '/etc/passwd',
            'on': {
                'a': 'b'
            }
        }]
    }, "beside the first or below its folder"),
    ({
        'table__join': [{
            'csv': '../b.csv',
            'on': {
                'a': 'b'
            }
        }]
    }, "beside the first or below its folder"),
    ({
        'table__join': [{
            'csv': 'gs://a/b.csv',
            'on': {
                'a': 'b'
            }
        }]
    }, "beside the first or below its folder"),
    ({
        'table__each': {
            'a': ['x'] * 40,
            'b': ['y'] * 26
        }
    }, 'expected 1..1,000 samples of a row by each, received 1,040'),
    ({
        'table__each': {
            'a': []
        }
    }, 'by each, received 0'),
    ({
        'images__stacked': 'both',
        'images__pattern': '{id}.tif'
    }, "'both'"),
    ({
        'images__stacked': 'pages'
    }, '{channel} in the pattern of stacked files'),
    ({
        'images__axes': 'CZ'
    }, 'axes and project are of stacked files'),
    ({
        'images__pixel_um': -0.5
    }, 'a pixel_um above 0, received -0.5'),
    ({
        'images__pixel_um': float('nan')
    }, 'a pixel_um above 0, received nan'),
    ({
        'images__pixel_um': 10**400
    }, 'a pixel_um above 0'),
    ({
        'intensity__rule': 'auto'
    }, "received 'auto'"),
    ({
        'intensity__of': 'well'
    }, "received 'well'"),
    ({
        'intensity__white_level': -1
    }, 'white_level above 0'),
    ({
        'intensity__white_level': 10**400
    }, 'of at most 65535, received 1000'),
    ({
        'intensity__rule': 'full_scale',
        'intensity__white_level': 4095
    }, 'a white_level needs rule = "white_level", received full_scale'),
    ({
        'intensity__rule': 'percentiles',
        'channels': [{
            'name': 'a',
            'white_level': 4095
        }]
    }, 'a white_level needs rule = "white_level", received percentiles'),
    ({
        'intensity__percentiles': [50, 10]
    }, '0 <= low < high <= 100'),
    ({
        'intensity__percentiles': [0, float('nan')]
    }, '0 <= low < high <= 100'),
    ({
        'intensity__rule': 'percentiles',
        'intensity__of': 'plate'
    }, 'percentiles of a plate need its columns'),
])
def test_other_values_are_refused(changes, message):
  with pytest.raises(errors.DataError) as caught:
    _parse(**changes)
  assert message in str(caught.value), caught.value
  assert str(caught.value).startswith('mine.toml is not the description of a ')
  assert len(str(caught.value).splitlines()) == 1
  assert len(str(caught.value)) < 500 and '.;' not in str(caught.value)


@pytest.mark.parametrize('pattern,expected', [
    ('{id}.png', 'another file for each channel'),
    ('x_{channel}.png', 'expected {id} or a column in a pattern'),
    ('{id!r}_{chan', 'expected fields in braces'),
    ('{{id}}_{channel}.png', 'expected fields in braces'),
    ('{id}_{channel}}.png', 'expected fields in braces'),
    ('{}_{channel}.png', 'expected a column in braces'),
    ('/data/{id}_{channel}.png', 'below the image folder'),
    ('../{id}_{channel}.png', 'below the image folder'),
    ('a/./{id}_{channel}.png', 'below the image folder'),
    ('a//{id}_{channel}.png', 'below the image folder'),
    ('a\\{id}_{channel}.png', 'below the image folder'),
    ('*/{id}_{channel}.png', '* in the last part'),
    ('{id}{site}_{channel}.png', 'a text between two fields'),
    ('*{id}*a*_{channel}*.png', 'at most 3 *'),
    ('{id}_{channel}_raw', 'that ends in one of .png, .tif'),
    ('{id}_{channel}.xyz', 'that ends in one of .png, .tif'),
    ('{id}_{channel}\x1b.png', 'fields in braces'),
])
def test_other_patterns_are_refused(pattern, expected):
  with pytest.raises(errors.DataError) as error:
    shard_plan.Settings(pattern=pattern)
  assert expected in str(error.value)


@pytest.mark.parametrize('pattern', [
    '{id}/{channel}.TIF', 'x/{channel}/{id}.jpeg', '{plate}/{channel}_{well}',
    '{id}_*_{channel}.tif.gz', '{id}_{channel}_*', '{a/b*}_{channel}.jp2'
])
def test_patterns_are_accepted(pattern):
  assert shard_plan.Settings(pattern=pattern).pattern == pattern


@pytest.mark.parametrize('given,planes', [
    ([{}, {}], ()),
    ([{
        'plane': 0
    }, {
        'plane': 1
    }], (0, 1)),
    ([{
        'plane': 2
    }, {}], (2, 1)),
])
def test_planes_that_are_given_are_chosen(given, planes):
  found = _parse(
      images__stacked='pages',
      images__pattern='{id}.tif',
      channels=[each | {
          'name': name
      } for each, name in zip(given, 'ab')])
  assert found.stack().planes == planes


@pytest.mark.parametrize('ending,most', [('.png', 4), ('.JPG', 3), ('.jpeg', 3),
                                         ('.jp2', 1)])
def test_a_file_has_as_many_planes_as_its_format_allows(ending, most):

  def parse(ending, plane, **changes):
    channels = [{'name': 'red'}, {'name': 'last', 'plane': plane}]
    _parse(images__stacked='planes',
           images__pattern=f'{{id}}{ending}',
           channels=channels[-most:],
           **changes)

  parse(ending, most - 1)
  for plane in (most, 15):
    parse('.tif', plane)
    with pytest.raises(errors.DataError,
                       match=f'has at most {most} planes?, received channels '
                       f'in {plane + 1}'):
      parse(ending, plane)


def test_each_dataset_of_stacked_files_has_one_pattern():
  found = _parse(images__stacked='planes', images__pattern='{id}.png')
  assert found.patterns() == ('{id}.png',)
  with pytest.raises(errors.DataError, match='stacked files have no path'):
    _parse(images__stacked='planes',
           images__pattern='{id}.png',
           channels=[{
               'name': 'a',
               'path': '{x}'
           }])
