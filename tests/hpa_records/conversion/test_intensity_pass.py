"""intensity_pass: levels of plates and of the dataset."""

import gc
import json
import weakref

import cv2
import numpy as np
import pytest

from hpa_records.conversion import conversion_input
from hpa_records.conversion import convert
from hpa_records.conversion import intensity_pass
from hpa_records.conversion import shard_plan
from hpa_records.datasets import description
from hpa_records.inspection import verify
from hpa_records.runtime import errors
from hpa_records.runtime import process_pool

_DESCRIPTION = """
classes = ["a", "b"]
channels = [{name = "x", file = "1"}, {name = "y", file = "2"}]
[table]
id = "{plate}_{well}"
labels = "label"
form = "names"
plate = "plate"
[images]
pattern = "{id}_{channel}.tif"
[intensity]
rule = "percentiles"
percentiles = [10, 90]
of = "plate"
"""
_PLATES = ('P', 'Q')
_WELLS = ('1', '2', '3', '4')


def _pixels(plate, well, channel):
  rng = np.random.default_rng([_PLATES.index(plate), int(well), channel])
  top = 1000 * (1 + _PLATES.index(plate))
  return rng.integers(0, top, (16, 16)).astype(np.uint16)


@pytest.fixture(name='source')
def _source(tmp_path):
  folder = tmp_path / 'images'
  folder.mkdir()
  rows = ['plate,well,label']
  for plate in _PLATES:
    for well in _WELLS:
      rows.append(f'{plate},{well},{"ab"[int(well) % 2]}')
      for channel in (1, 2):
        assert cv2.imwrite(str(folder / f'{plate}_{well}_{channel}.tif'),
                           _pixels(plate, well, channel))
  csv = tmp_path / 'table.csv'
  csv.write_text('\n'.join(rows) + '\n')
  return conversion_input.Source(str(csv), str(folder))


def _settings(tmp_path, *changes, **settings):
  path = tmp_path / 'mine.toml'
  path.write_text(_DESCRIPTION)
  return shard_plan.Settings(**{
      'image_size': 16,
      'num_folds': 2
  } | settings,
                             description=description.load(str(path), changes))


def _levels(pixels):
  return [[
      float(np.percentile(each, p, method='inverted_cdf')) for p in (10, 90)
  ] for each in pixels]


def _files(folder):
  return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_levels_of_plates_are_percentiles_of_all_their_pixels(source, tmp_path):
  made = convert.make(source, str(tmp_path / 'out'), _settings(tmp_path),
                      convert.How(workers=1)).manifest
  assert made.levels == {
      plate:
          _levels([[_pixels(plate, well, c)
                    for well in _WELLS]
                   for c in (1, 2)]) for plate in _PLATES
  }
  verify.verify(str(tmp_path / 'out'))


def test_levels_of_the_dataset(source, tmp_path):
  made = convert.make(source, str(tmp_path / 'out'),
                      _settings(tmp_path, 'intensity.of = "dataset"'),
                      convert.How(workers=1)).manifest
  assert made.levels == {
      '':
          _levels([[
              _pixels(plate, well, c) for plate in _PLATES for well in _WELLS
          ] for c in (1, 2)])
  }


def test_bytes_are_the_same_for_any_workers_and_jobs(source, tmp_path):
  settings = _settings(tmp_path)
  one, two, jobs = (tmp_path / name for name in ('one', 'two', 'jobs'))
  convert.make(source, str(one), settings, convert.How(workers=1))
  convert.make(source, str(two), settings, convert.How(workers=2))
  for shard in (1, 0):
    convert.make(source, str(jobs), settings, convert.How(only_shard=shard))
  convert.make(source, str(jobs), settings, convert.How(workers=1))
  assert _files(one) == _files(two) == _files(jobs)


def test_jobs_share_the_levels(source, tmp_path):
  output = tmp_path / 'out'
  convert.make(source, str(output), _settings(tmp_path),
               convert.How(only_shard=0))
  path = output / intensity_pass.NAME
  before = path.stat().st_mtime_ns
  convert.make(source, str(output), _settings(tmp_path),
               convert.How(only_shard=1))
  assert path.stat().st_mtime_ns == before
  assert 'levels' in json.loads(path.read_bytes().split(b'\n', 1)[1])


def test_mixed_depths_of_a_plate_are_refused(source, tmp_path):
  for channel in (1, 2):
    assert cv2.imwrite(f'{source.images}/P_1_{channel}.tif',
                       np.full((16, 16), channel, np.uint8))
  with pytest.raises(errors.DataError,
                     match='row 2, P_1_1.tif: expected uint16.*uint8'):
    convert.make(source, str(tmp_path / 'out'), _settings(tmp_path),
                 convert.How(workers=1))


def test_a_damaged_image_is_listed_by_the_second_pass(source, tmp_path):
  path = f'{source.images}/Q_2_1.tif'
  with open(path, 'rb') as file:
    data = file.read()
  tags = cv2.imencode('.tif', _pixels('Q', '2', 1),
                      [cv2.IMWRITE_TIFF_COMPRESSION, 8])[1].tobytes()
  assert data != tags
  with open(path, 'wb') as file:
    file.write(tags[:8] + bytes(40) + tags[48:])
  settings = _settings(tmp_path)
  with pytest.raises(errors.DataError, match='Q_2_1.tif: damaged TIFF'):
    convert.make(source, str(tmp_path / 'out'), settings,
                 convert.How(workers=1))
  made = convert.make(source, str(tmp_path / 'out'), settings,
                      convert.How(workers=1, on_error='skip')).manifest
  assert made.num_records == 7
  assert made.levels['Q'] == _levels([
      [_pixels('Q', well, c) for well in _WELLS if well != '2'] for c in (1, 2)
  ])


def test_results_are_not_kept():
  """Each histogram is released when its task is done."""
  alive = []
  tasks = list(range(12))
  for _, result in process_pool.run(_make_large, tasks, 2):
    alive.append(weakref.ref(result))
    del result
    gc.collect()
    assert sum(each() is not None for each in alive) <= 3
  assert len(alive) == len(tasks)


def _make_large(number):
  return np.full(2**20, number)
