"""template: names from the values of columns, and back."""

import hypothesis
from hypothesis import strategies
import pytest

from hpa_records.datasets import template
from hpa_records.runtime import errors

_TEXTS = strategies.text(
    min_size=1).filter(lambda text: '/' not in text and '\0' not in text)


@pytest.mark.parametrize('text,name', [
    ('{id}_{channel}.png', 'a.b_{plate}.png'),
    ('{plate:name}', '02.ome.tif'),
    ('{plate:stem}', '02'),
    ('{plate:parent}/{plate:name}', 'p/02.ome.tif'),
    ('{windows:parent}/{windows:stem}{windows:stem}', 'week1/xx'),
    ('{folder:parent}/{folder:name}', 'a/b'),
    ('none', 'none'),
])
def test_a_template_is_filled(text, name):
  values = {
      'id': 'a.b',
      'channel': '{plate}',  # stays as it is
      'plate': '/data/p/02.ome.tif',
      'windows': 'D:\\raw\\week1\\x.TIF',
      'folder': 'a/b/',
  }
  assert template.fill(text, values) == name
  with pytest.raises(KeyError):
    template.fill(text + '{more}', values)


@hypothesis.given(_TEXTS, _TEXTS)
def test_every_value_is_found_again(first, second):
  for text in ('{a}/{b}.png', 'x/{a}/{a}/y{b}', '{b}\n{a}/z'):
    name = template.fill(text, {'a': first, 'b': second})
    match = template.compile_name(text).fullmatch(name)
    found = template.read_values(match, text)
    assert template.fill(text, found) == name


def test_case_is_ignored_and_equal_fields_are_equal():
  found = template.compile_name('{a}/{a}_{b}.png')
  assert found.fullmatch('x/X_y.PNG')
  assert not found.fullmatch('x/z_y.png') and not found.fullmatch('x/x_y.tif')
  assert not found.fullmatch('x/x_y/z.png')


def test_the_fields_that_names_are_compared_with_are_few():
  few = template.compile_name('{c}/{p}_{w}_{s}_{z}.png')
  assert few.fullmatch('k/1_2_3_4.png')
  assert not few.fullmatch('k/' + '_' * 200 + '.tif')
  for many in ('{c}/{p}_{w}_{s}_{z}_{t}.png', '{a}_{b}/{c}_{d}/{e}_{f}_{g}.png',
               '*{a}_{b}*_*.png'):
    with pytest.raises(errors.DataError, match='Too many fields .*--csv=PATH'):
      template.compile_name(many)


def test_any_text_is_one_of_the_pattern_not_of_a_value():
  name = template.fill_pattern('*_{a*b}_*.tif', {'a*b': 'x*'})
  found = template.compile_filled(name)
  assert found.fullmatch('1_x*_2.tif') and found.fullmatch('_x*_.tif')
  for other in ('1_xy_2.tif', '1/_x*_2.tif', '1_x*_2.tiff', '1_x*_2.TIF'):
    assert not found.fullmatch(other)
