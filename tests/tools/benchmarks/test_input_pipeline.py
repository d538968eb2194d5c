"""benchmark input: every way is there and gave every image. Never how fast."""

import json
import pathlib

from benchmarks import input_pipeline
from benchmarks import reader
from benchmarks import table
import cv2
import numpy as np
import pandas as pd
import pytest

from tests.support import fakes
from tests.support import prestarted

# Whole measurements take minutes.
pytestmark = pytest.mark.soak

_ROOT = pathlib.Path(__file__).parents[3]
_PEERS = _ROOT / '.venv-peers' / 'bin' / 'python'
# Those that start soon, and one of the peers.
_KEYS = [
    'memcpy', 'page_cache', 'indexed', 'open', 'batch_parse', 'torch_memmap'
]


def _run(*words):
  return prestarted.run([_ROOT / 'tools' / 'benchmark.py', 'input', *words])


@pytest.fixture(name='done', scope='module')
def _done(tmp_path_factory):
  """One real run on made data: (the finished process, its folder)."""
  folder = tmp_path_factory.mktemp('benchmark')
  peers = _PEERS if _PEERS.exists() else ''
  done = _run(f'--only={",".join(_KEYS)}', '--limit=30', '--image_size=32',
              '--batch_size=4', '--seconds=0.1', '--repeats=1',
              f'--peers_python={peers}', f'--workdir={folder / "work"}',
              f'--json={folder / "all.json"}',
              f'--table={folder / "table.csv"}', f'--figures={folder}')
  assert done.returncode == 0, done.stderr
  return done, folder


def test_every_way_is_measured_or_said_to_be_absent(done):
  report = json.loads((done[1] / 'all.json').read_text())
  assert list(report['ways']) == _KEYS
  for way in input_pipeline.choose(_KEYS):
    found = report['ways'][way.key]
    if 'absent' in found:
      assert way.is_peer and not _PEERS.exists()
      assert f'{way.title} was not measured' in done[0].stdout
    else:
      assert len(found['rates']) == 1 and found['rates'][0] > 0
      assert len(found['tried']) == len(way.settings)
      assert found['setting'] in way.settings


def test_table_plot_and_ratios_are_of_the_same_numbers(done):
  report = json.loads((done[1] / 'all.json').read_text())
  rates = pd.read_csv(done[1] / 'table.csv', index_col=0)
  pd.testing.assert_frame_equal(rates, table.tabulate_input(report))
  assert cv2.imread(str(done[1] / 'input.png')) is not None
  indexed = rates.loc['indexed reader', 'median']
  plain = rates.loc[rates.index.str.startswith('tf.data'), 'median'].max()
  assert report['ratios']['best_plain'] == pytest.approx(indexed / plain)
  assert f'{indexed / plain:.2f} times the best plain' in done[0].stdout
  others = rates['median'][[
      name for name in rates.index if name.startswith(('tf.data', 'torch'))
  ]].max()
  assert report['ratios']['best_other'] == pytest.approx(indexed / others)


def test_png_records_are_measured_by_ways_that_read_them(tmp_path):
  records = fakes.write_records(tmp_path, 20, 32, encoding='png')
  words = (f'--records={records}', f'--images={tmp_path / "train"}',
           '--batch_size=4', '--seconds=0.1', '--repeats=1', '--peers_python=')
  done = _run(*words, '--only=streaming,parse_batch')
  assert done.returncode == 0, done.stderr
  assert 'The streaming reader gives ' in done.stdout
  refused = _run(*words, '--only=memcpy')
  assert refused.returncode == 2
  assert 'memcpy reads raw records only' in refused.stderr


def test_all_ways_are_measured_unless_some_are_chosen():
  assert input_pipeline.choose([]) == list(input_pipeline.WAYS)
  done = _run('--only=indexed,zarr')
  assert done.returncode == 2 and "received 'zarr'" in done.stderr


def test_every_way_has_a_function():
  functions = {way.function for way in input_pipeline.WAYS}
  assert functions == set(reader.WAYS)


def test_nothing_is_left_behind(done):
  assert not list((done[1] / 'work').iterdir())


@pytest.mark.parametrize('keep,named', [
    (slice(0, 9), '9 with'),
    ([0, 1, 2, 3, 4, 5, 6, 7, 8, 8], '10 with'),
])
def test_a_way_that_skips_or_repeats_an_image_does_not_count(keep, named):
  images = np.random.default_rng(0).integers(0, 256, (10, 8, 8, 4), np.uint8)
  way = input_pipeline.WAYS[0]
  expected = reader.check([images[:4], images[4:]])
  input_pipeline.check_work(way, expected, expected)
  with pytest.raises(RuntimeError, match=f'received {named}'):
    input_pipeline.check_work(way, reader.check([images[keep]]), expected)
