"""A finished dataset of another description is never taken for the result."""

import cv2
import numpy as np
import pytest

from hpa_records.conversion import conversion_input
from hpa_records.conversion import convert
from hpa_records.conversion import shard_plan
from hpa_records.datasets import description
from hpa_records.runtime import errors

_DESCRIPTION = """
classes = ["a", {name = "b", aliases = ["drug"]}]
channels = [{name = "x"}]
[table]
labels = "label"
form = "names"
[images]
pattern = "{id}.png"
stacked = "planes"
"""


@pytest.fixture(name='source')
def _source(tmp_path):
  folder = tmp_path / 'images'
  folder.mkdir()
  rows = ['Id,label']
  for number in range(6):
    rows.append(f's{number},{("a", "drug")[number % 2]}')
    assert cv2.imwrite(str(folder / f's{number}.png'),
                       np.full((8, 8), number, np.uint8))
  csv = tmp_path / 'table.csv'
  csv.write_text('\n'.join(rows) + '\n')
  return conversion_input.Source(str(csv), str(folder))


def _make(source, tmp_path, *changes):
  path = tmp_path / 'mine.toml'
  path.write_text(_DESCRIPTION)
  found = description.load(str(path), changes)
  settings = shard_plan.Settings(image_size=8, num_folds=2, description=found)
  return convert.make(source, str(tmp_path / 'out'), settings,
                      convert.How(workers=1))


def test_the_same_description_is_recognised(source, tmp_path):
  assert _make(source, tmp_path).is_new
  assert not _make(source, tmp_path).is_new


@pytest.mark.parametrize('change,message', [
    ('classes = ["drug", "a"]', 'classes and aliases of sha256'),
    ('classes = ["b", {name = "a", aliases = ["drug"]}]',
     'classes and aliases'),
    ('table.empty = "allow"', 'description .*empty'),
    ('channels = [{name = "y"}]', 'description'),
])
def test_another_description_is_refused(source, tmp_path, change, message):
  _make(source, tmp_path)
  with pytest.raises(errors.DataError, match=message):
    _make(source, tmp_path, change)
