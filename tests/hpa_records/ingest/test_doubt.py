"""doubt: samples that look wrong are counted on stderr, or refused."""

import shutil

import cv2
import pytest

from hpa_records.runtime import errors
from tests.support import fakes
from tests.support import specs
from tests.support import tables


@pytest.fixture(name='images')
def _images(tmp_path):
  return fakes.write_source(tmp_path, 3)[1]


def _load(images, **options):
  return tables.load('', images, unlabelled=True, **options)


def _copy(images, *names):
  for name in names:
    shutil.copy(f'{images}/s1_red.png', f'{images}/{name}.png')


def _squeeze(images):
  for channel, name in enumerate(specs.CHANNELS):
    cv2.imwrite(f'{images}/s2_{name}.png', fakes.plane(2, channel)[:20])


def test_normal_samples_print_nothing(images, capsys):
  assert len(_load(images).table) == 3
  assert capsys.readouterr().err == ''


def test_samples_that_look_wrong_are_counted_on_stderr(images, capsys):
  _copy(images, 's1_green', 's1_blue')
  _squeeze(images)
  assert len(_load(images).table) == 3
  assert capsys.readouterr().err == (
      'Samples that may be wrong: 1 not square, which are resized to '
      'squares (such as s2); 1 with two identical channels (such as s1). Pass '
      '--on_doubt=refuse to treat them as issues.\n')


def test_samples_that_look_wrong_can_be_issues(images, capsys):
  _copy(images, 's1_green')
  _squeeze(images)
  with pytest.raises(errors.DataError) as caught:
    _load(images, on_doubt='refuse')
  message = str(caught.value)
  assert 'row 3, s1_green.png: identical to s1_red.png' in message
  assert 'row 4: not square: 20 x 24 pixels' in message
  found = _load(images, on_doubt='refuse', on_error='skip')
  assert found.table['id'].tolist() == ['s0']
  assert capsys.readouterr().err == ''


def test_files_of_one_size_that_differ_anywhere_are_not_the_same(
    tmp_path, capsys):
  for channel, name in enumerate(specs.CHANNELS):
    plane = fakes.plane(0, 0, 600)
    plane[-1, -1] = channel  # far from the middle
    cv2.imwrite(f'{tmp_path}/s0_{name}.tif', plane)
  found = tables.load('',
                      str(tmp_path),
                      pattern='{id}_{channel}.tif',
                      unlabelled=True)
  assert len(found.table) == 1 and capsys.readouterr().err == ''
