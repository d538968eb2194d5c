"""workdir and report: what a run wrote, on one page."""

import base64
import dataclasses
import json
import pathlib
import re
import shutil
import subprocess
import sys

import cv2
import numpy as np
import pandas as pd
import pytest

from hpa_records import balance
from hpa_records import convert
from hpa_records import dataset
from hpa_records import schema
from hpa_records import shard_plan
from tests import fakes
from trainer import config as config_lib
from trainer import loop
from trainer import report
from trainer import workdir

_ROOT = pathlib.Path(__file__).parent.parent
_BALANCE = balance.Balance('exact', target=9)


@pytest.fixture(name='run', scope='module')
def _run(tmp_path_factory):
  """Folder of a real run of two folds, an epoch each, and of its records."""
  folder = tmp_path_factory.mktemp('report')
  csv, images = fakes.write_source(folder, num_samples=40, size_px=32)
  settings = shard_plan.Settings(image_size=32,
                                 balance='exact',
                                 balance_target=9)
  records = str(folder / 'records')
  convert.convert(csv, images, records, settings, convert.How(workers=1))
  config = config_lib.Config(records=records,
                             workdir=str(folder / 'run'),
                             distribute='cpu',
                             epochs=1,
                             batch_size=16)
  for fold in (0, 3):
    loop.train(dataclasses.replace(config, fold=fold))
  return folder / 'run', records


@pytest.fixture(name='page', scope='module')
def _page(run, tmp_path_factory):
  """The report of that run twice: (text of the page, folder)."""
  output = tmp_path_factory.mktemp('page')
  other = output / 'other'
  shutil.copytree(run[0], other)
  done = subprocess.run([
      sys.executable, 'tools/report.py', f'--workdir={run[0]}',
      f'--workdir={other}', f'--output={output}'
  ],
                        cwd=_ROOT,
                        capture_output=True,
                        text=True,
                        check=False)
  assert done.returncode == 0, done.stderr
  assert done.stdout.strip() == str(output / 'report.html')
  return (output / 'report.html').read_text(), output / 'report'


def test_a_run_is_what_the_trainer_wrote(run):
  found = workdir.load(str(run[0]))
  assert [fold.number for fold in found.folds] == [0, 3]
  records = dataset.load(run[1])
  assert found.fingerprint == records.manifest.fingerprint
  for fold in found.folds:
    path = run[0] / f'fold{fold.number}' / 'scores.json'
    assert fold.scores == json.loads(path.read_text())
    np.testing.assert_array_equal(fold.samples.repeats,
                                  records.repeats(fold.number))
    np.testing.assert_array_equal(fold.samples.labels, records.labels)
    assert fold.samples.ids.tolist() == records.index['id'].tolist()
    assert fold.samples.balance == _BALANCE


def test_scores_are_those_of_the_folds_with_mean_and_population_std(run, page):
  found = workdir.load(str(run[0]))
  table = report.tabulate_scores(found)
  values = [fold.scores['auc_macro'] for fold in found.folds]
  assert table['auc_macro'].tolist() == pytest.approx(
      [*values, np.mean(values), np.std(values)])
  saved = pd.read_csv(page[1] / 'run_scores.csv', index_col=0)
  np.testing.assert_allclose(saved, table)
  for value in values:
    assert f'<td>{value:.3f}</td>' in page[0]


def test_class_counts_are_those_of_every_policy(run, page):
  counts = pd.read_csv(page[1] / 'run_class_counts.csv', index_col=0)
  records = dataset.load(run[1])
  training = (records.index['fold'] != 0).to_numpy()
  assert counts['images'].tolist() == records.labels[training].sum(
      axis=0).tolist()
  for policy in balance.POLICIES:
    drawn = records.repeats(0, dataclasses.replace(_BALANCE, policy=policy))
    np.testing.assert_allclose(counts[policy],
                               drawn.astype(float) @ records.labels)
  np.testing.assert_allclose(counts['this run'], counts['exact'])
  for name in schema.CLASS_NAMES:
    assert name.replace('&', '&amp;') in page[0]


def test_policies_are_compared_in_the_six_figures(run, page):
  table = pd.read_csv(page[1] / 'run_policies.csv', index_col=0)
  assert table.index.tolist() == list(balance.POLICIES)
  records = dataset.load(run[1])
  training = (records.index['fold'] != 0).to_numpy()
  want = balance.summary(records.labels[training],
                         records.repeats(0, _BALANCE)[training])
  assert table.loc['exact'].to_dict() == pytest.approx(want)


def test_the_page_holds_its_figures_and_fetches_nothing(page):
  text, folder = page
  images = re.findall(r'src="([^"]*)"', text)
  assert len(images) == 2 * (1 + len(balance.POLICIES))
  inside = [base64.b64decode(each.partition('base64,')[2]) for each in images]
  assert {path.read_bytes() for path in folder.glob('*.png')} == set(inside)
  assert all(
      cv2.imdecode(np.frombuffer(each, np.uint8), 1) is not None
      for each in inside)
  assert not re.search(r'(src|href)="(?!data:)|@import|url\(', text)


def test_both_runs_are_on_the_page(page):
  assert re.findall(r'<h2>(.*?)</h2>', page[0]) == ['run', 'other']


def test_runs_of_one_name_are_told_apart(run, tmp_path):
  other = tmp_path / 'run'
  shutil.copytree(run[0], other)
  path = report.write([str(run[0]), str(other)], str(tmp_path))
  text = pathlib.Path(path).read_text(encoding='utf-8')
  assert re.findall(r'<h2>(.*?)</h2>', text) == ['1-run', '2-run']


def _refusal(folder):
  with pytest.raises(schema.DataError) as caught:
    workdir.load(str(folder))
  return str(caught.value)


def test_a_folder_without_a_finished_fold_is_refused(run, tmp_path):
  assert 'received none at' in _refusal(tmp_path / 'missing')
  shutil.copytree(run[0], tmp_path / 'run')
  for path in (tmp_path / 'run').glob('*/scores.json'):
    path.unlink()
  assert 'received none at' in _refusal(tmp_path / 'run')


@pytest.mark.parametrize('name', ['config.json', 'scores.json', 'samples.npz'])
def test_a_damaged_file_is_named(run, tmp_path, name):
  shutil.copytree(run[0], tmp_path / 'run')
  path = tmp_path / 'run' / 'fold3' / name
  path.write_bytes(path.read_bytes()[:20])
  assert str(path) in _refusal(tmp_path / 'run')


def test_folds_of_different_runs_are_refused(run, tmp_path):
  shutil.copytree(run[0], tmp_path / 'run')
  path = tmp_path / 'run' / 'fold3' / 'config.json'
  path.write_text(path.read_text().replace('"prelu"', '"selu"'))
  assert "fold 3 of another: activation 'prelu', not 'selu'" in _refusal(
      tmp_path / 'run')


def test_no_workdir_is_told_in_one_line():
  done = subprocess.run([sys.executable, 'tools/report.py'],
                        cwd=_ROOT,
                        capture_output=True,
                        text=True,
                        check=False)
  assert done.returncode == 2
  assert done.stderr.count('\n') == 1 and '--workdir=PATH' in done.stderr
