"""json_text: untrusted JSON, checked against a form."""

import pytest

from hpa_records.runtime import json_text


def test_json_is_parsed():
  assert json_text.parse(b'{"a": [1, 2.5, null, "x"]}') == {
      'a': [1, 2.5, None, 'x']
  }


@pytest.mark.parametrize('text,message', [
    ('[' * 100_000, 'nested'),
    ('{"a":' * 100_000, 'nested'),
    ('{"a": 1, "a": 2}', 'duplicate key'),
    ('[NaN]', 'NaN'),
    ('[-Infinity]', 'Infinity'),
    ('[' + '9' * 10_000 + ']', 'digits'),
    ('', 'Expecting'),
    (b'\xff', 'decode'),
])
def test_invalid_json_is_a_value_error(text, message):
  with pytest.raises(ValueError, match=message):
    json_text.parse(text)


def test_a_seal_detects_damage_that_is_valid_json():
  data = json_text.seal({'a': (1, 2)})
  assert json_text.unseal(data) == {'a': [1, 2]}
  for damaged in (data.replace(b'[1', b'[7'), b'', b'{}', b'\n'):
    with pytest.raises(ValueError, match='sha256'):
      json_text.unseal(damaged)


def test_a_valid_form_passes():
  form = {'a': int, 'b': [{'c': (int, float)}], 'd': bool}
  json_text.check_form({
      'a': 1,
      'b': [{
          'c': 1.5
      }],
      'd': True,
      'more': None
  }, form, 'x')


@pytest.mark.parametrize('value', [
    None, [], {}, {
        'a': '1'
    }, {
        'a': True
    }, {
        'a': 1,
        'b': None
    }, {
        'a': 1,
        'b': [{}]
    }
])
def test_another_form_is_refused(value):
  with pytest.raises(ValueError, match='received'):
    json_text.check_form(value, {'a': int, 'b': [{'c': str}]}, 'x')
