"""toml_form: the types of a description, from TOML and from a manifest."""

import copy
import json

import pytest

from hpa_records.datasets import description
from hpa_records.datasets import toml_form
from hpa_records.runtime import errors

_CONTENT = {
    'name': 'mine',
    'table': {
        'labels': 'Target'
    },
    'channels': [{
        'name': 'red'
    }],
    'classes': ['a', 'b'],
}


def _parse(**changes):
  return toml_form.parse({**copy.deepcopy(_CONTENT), **changes}, 'mine.toml')


@pytest.mark.parametrize('name', description.names())
def test_a_description_comes_back_from_json(name):
  found = description.load(name)
  stored = json.loads(json.dumps(toml_form.encode(found)))
  classes = [{
      'name': each.name,
      'aliases': list(each.aliases)
  } for each in found.classes]
  assert toml_form.parse({**stored, 'classes': classes}, name) == found


def test_values_that_are_the_default_are_not_stored():
  assert toml_form.encode(_parse(table={
      'labels': 'Target',
      'id': 'Id'
  })) == {
      'name': 'mine',
      'title': 'Fluorescence images',
      'channels': [{
          'name': 'red'
      }],
      'table': {
          'labels': ['Target']
      }
  }


def test_classes_may_be_numbered():
  found = _parse(classes={'pattern': 'sirna_{}', 'count': 3}).classes
  assert [each.name for each in found] == ['sirna_0', 'sirna_1', 'sirna_2']
  assert [each.aliases for each in found] == [('0',), ('1',), ('2',)]


@pytest.mark.parametrize('changes,message', [
    ({
        'name': 5
    }, 'name: received 5'),
    ({
        'name': None
    }, 'name: received None'),
    ({
        'title': ['x']
    }, "title: received ['x']"),
    ({
        'colour': 1
    }, "unknown key 'colour', expected one of channels, classes"),
    ({
        'table': []
    }, 'table: received []'),
    ({
        'table': {
            'labels': 5
        }
    }, 'table.labels: received 5'),
    ({
        'table': {
            'labels': [5]
        }
    }, 'table.labels: received 5'),
    ({
        'table': {
            'lables': 'x'
        }
    }, "unknown key 'lables' in table"),
    ({
        'table': {
            'labels': 'x',
            'single': 1
        }
    }, 'table.single: received 1'),
    ({
        'table': {
            'labels': 'x',
            'each': {
                'a': 'b'
            }
        }
    }, "table.each: received 'b'"),
    ({
        'table': {
            'labels': 'x',
            'each': [1]
        }
    }, 'table.each: received [1]'),
    ({
        'table': {
            'labels': 'x',
            'join': {
                'csv': 'x'
            }
        }
    }, 'table.join: received'),
    ({
        'table': {
            'labels': 'x',
            'join': [{
                'csv': 'x'
            }]
        }
    }, 'on is missing in table.join'),
    ({
        'table': {
            'labels': 'x',
            'join': [{
                'csv': 'x',
                'on': {
                    'a': 1
                }
            }]
        }
    }, 'table.join.on: received 1'),
    ({
        'images': {
            'pixel_um': True
        }
    }, 'images.pixel_um: received True'),
    ({
        'images': {
            'pattern': 1.5
        }
    }, 'images.pattern: received 1.5'),
    ({
        'intensity': {
            'white_level': 1.5
        }
    }, 'white_level: received 1.5'),
    ({
        'intensity': {
            'white_level': True
        }
    }, 'white_level: received True'),
    ({
        'intensity': {
            'percentiles': [1]
        }
    }, 'expected two numbers, received [1]'),
    ({
        'intensity': {
            'percentiles': [0, 10**400]
        }
    }, 'too large'),
    ({
        'channels': {}
    }, 'channels: received {}'),
    ({
        'channels': ['red']
    }, "channels: received 'red'"),
    ({
        'channels': [{}]
    }, 'name is missing in channels'),
    ({
        'channels': [{
            'name': 'a',
            'stain': 5
        }]
    }, 'channels.stain: received 5'),
    ({
        'channels': [{
            'name': 'a',
            'plane': '1'
        }]
    }, "plane: received '1'"),
    ({
        'classes': 'a'
    }, "classes: received 'a'"),
    ({
        'classes': [1]
    }, 'classes: received 1'),
    ({
        'classes': [{}]
    }, 'name is missing in classes'),
    ({
        'classes': {
            'count': 2
        }
    }, 'pattern: received None'),
    ({
        'classes': {
            'pattern': 'a',
            'count': 2
        }
    }, 'a pattern with {} and a count'),
    ({
        'classes': {
            'pattern': '{}',
            'count': 10**9
        }
    }, 'a count of 1..2000'),
    ({
        'classes': {
            'pattern': '{}',
            'count': 0
        }
    }, 'a count of 1..2000'),
    ({
        'classes': {
            'pattern': '{}',
            'count': 2,
            'x': 1
        }
    }, "unknown key 'x'"),
    ({
        'classes': [f'c{i}' for i in range(2001)]
    }, '2,001 classes, at most 2,0'),
    ({
        'table': {
            'labels': 'x',
            'ignored': [f'{i:099}' for i in range(3000)]
        }
    }, 'more than 262,144 characters'),
])
def test_other_forms_are_refused(changes, message):
  with pytest.raises(errors.DataError) as caught:
    _parse(**changes)
  assert message in str(caught.value), caught.value
  assert str(caught.value).startswith('mine.toml is not the description of a ')
  assert len(str(caught.value)) < 600
  assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize('content', [None, [], 'x', 5, {}])
def test_what_is_no_table_is_refused(content):
  with pytest.raises(errors.DataError, match='is not the description'):
    toml_form.parse(content, 'mine.toml')


@pytest.mark.parametrize('size', [0, -1, 0.0])
def test_a_pixel_without_a_size_is_refused(size):
  content = {
      'name': 'mine',
      'channels': [{
          'name': 'x'
      }],
      'table': {
          'labels': 'Target',
          'form': 'names'
      },
      'images': {
          'pixel_um': size
      }
  }
  with pytest.raises(errors.DataError, match='a pixel_um above 0'):
    toml_form.parse(content, 'mine.toml')
