"""pixel_difference: records whose pixels mean something else are named."""

import pytest

from hpa_records.conversion import shard_plan
from hpa_records.datasets import description
from trainer.prediction import pixel_difference

_CLASSES = description.default().spec(1).classes


def _encode(*changes, name='hpa2018', **values):
  return shard_plan.Settings(description=description.load(name, changes),
                             **values).encode()


_STACKED = ('images={pattern="{id}.tif", stacked="pages", axes="CZ", '
            'project="max"}',)
_PERCENTILES = 'intensity.rule="percentiles"'


@pytest.mark.parametrize('mine,theirs,expected', [
    (_encode(), _encode(white_level=65535), ''),
    (_encode(), _encode(pattern='{id}_{channel}.tif', seed=5), ''),
    (_encode(), _encode(_PERCENTILES),
     "intensity 'white_level' and 'percentiles'; percentiles"),
    (_encode(_PERCENTILES),
     _encode(_PERCENTILES, 'intensity.percentiles=[1, 99]'),
     'percentiles (0.1, 99.9) and (1.0, 99.0)'),
    (_encode(_PERCENTILES), _encode(
        _PERCENTILES, 'intensity.of="dataset"'), "of 'image' and 'dataset'"),
    (_encode('title="mine"',
             white_level=4095), _encode('title="mine"', white_level=65535),
     'white_level (4095, 4095, 4095, 4095) and (65535, '),
    (_encode(*_STACKED), _encode(
        *_STACKED, 'images.project="middle"'), "project 'max' and 'middle'"),
    (_encode(*_STACKED), _encode(), "stacked 'pages' and ''; axes 'CZ' and ''"),
    (_encode('images.pixel_um=0.5',
             pixel_um=1.0), _encode(), 'pixel_um 1.0 and None'),
])
def test_a_difference_of_pixels_is_named(mine, theirs, expected):
  found = pixel_difference.find(mine, theirs, _CLASSES)
  assert found.startswith(expected) and bool(found) == bool(expected)
