"""benchmark balance: its numbers are those of the library. Never how fast."""

import dataclasses
import json
import os
import pathlib

from benchmarks import balance as balance_benchmark
from benchmarks import mlsmote as mlsmote_benchmark
import numpy as np
import pytest

from hpa_records.format import spec
from hpa_records.runtime import errors
from hpa_records.sampling import balance
from hpa_records.sampling import decoupling
from hpa_records.sampling import folds
from hpa_records.sampling import resampling
from tests.support import fakes
from tests.support import prestarted
from tests.support import specs

_ROOT = pathlib.Path(__file__).parents[3]
_NUM_ROWS, _NUM_FOLDS, _SEEDS = 200, 3, 2
_CHOSEN = balance.Balance(target=40)


def _run(*words):
  return prestarted.run([_ROOT / 'tools' / 'benchmark.py', 'balance', *words])


@pytest.fixture(name='source', scope='module')
def _source(tmp_path_factory):
  """(path of a CSV, its ids, its labels): 0 in most rows, 15 in seven."""
  ids = [f's{i}' for i in range(_NUM_ROWS)]
  targets = [
      sorted({i % 3 and 25, i % 5, 15 if i % 30 == 0 else 0})
      for i in range(_NUM_ROWS)
  ]
  rows = [f'{i},{" ".join(map(str, each))}' for i, each in zip(ids, targets)]
  path = tmp_path_factory.mktemp('balance') / 'train.csv'
  path.write_text('\n'.join(['Id,Target', *rows, '']))
  return path, ids, specs.KAGGLE.multi_hot(targets)


@pytest.fixture(name='done', scope='module')
def _done(source):
  """One real run: (what it printed, its numbers)."""
  path = source[0].with_name('all.json')
  done = _run(f'--csv={source[0]}', f'--num_folds={_NUM_FOLDS}',
              f'--seeds={_SEEDS}', '--balance_target=40', '--repeats=1',
              '--rows=450', f'--json={path}',
              f'--figures={path.with_name("figures")}')
  assert done.returncode == 0, done.stderr
  return done.stdout, json.loads(path.read_text())


def _summaries(source, chosen, num_seeds):
  """Returns the summary of each held-out fold of each cut, and its totals."""
  _, ids, labels = source
  found = []
  for seed in range(num_seeds):
    fold_of = folds.assign(ids, labels, _NUM_FOLDS, seed)
    drawn = resampling.repeats(ids, labels, fold_of, _NUM_FOLDS, chosen, seed)
    for fold in range(_NUM_FOLDS):
      rest = fold_of != fold
      totals = drawn[rest, fold].astype(np.float64) @ labels[rest]
      found.append((resampling.summary(labels[rest], drawn[rest,
                                                           fold]), totals))
  return found


@pytest.mark.parametrize('policy', balance.POLICIES)
def test_policies_have_the_figures_of_their_summaries(source, done, policy):
  chosen = dataclasses.replace(_CHOSEN, policy=policy)
  found = _summaries(source, chosen, _SEEDS)
  want = {
      name: [f([each[name] for each, _ in found]) for f in (min, max)]
      for name in found[0][0]
  }
  figures = dict(done[1]['policies'][policy])
  off = figures.pop('off_target')
  assert figures == want
  # Every class of the table is in all training sets.
  distances = [np.abs(totals[totals > 0] / 40 - 1).max() for _, totals in found]
  np.testing.assert_allclose(off, [min(distances), max(distances)])
  assert f'\n| {policy} | ' in done[0]


def test_remedial_has_the_figures_of_split_labels(source, done):
  _, ids, labels = source
  values = []
  for seed in range(_SEEDS):
    fold_of = folds.assign(ids, labels, _NUM_FOLDS, seed)
    for fold in range(_NUM_FOLDS):
      rest = labels[fold_of != fold]
      split = decoupling.make_rule(rest).split(rest)
      values.append(resampling.summary(split, np.ones(len(split))))
  figures = done[1]['policies']['remedial']
  for name in ('images_drawn', 'scumble'):
    found = [each[name] for each in values]
    assert figures[name] == [min(found), max(found)]
  assert figures['images_drawn'][0] > _NUM_ROWS / 2
  assert done[1]['seconds'][0]['remedial'] > 0


def _write_features(path):
  """Two models with 30 images of class 0, four of class 1; others left out."""
  labels = np.repeat(np.eye(2, dtype=np.uint8), [30, 4], axis=0)
  labels = np.concatenate([labels, labels, np.ones([6, 2], np.uint8)])
  count = len(labels)
  np.savez(path,
           hpa_features=json.dumps(
               {'lengths': {
                   'hidden': 3,
                   'probabilities': 2
               }}),
           labels=labels,
           labelled=np.arange(count) < 71,
           trained_on=(np.arange(count) >= 68) & (np.arange(count) < 71),
           model=np.arange(count) // 34 % 2,
           hidden=np.random.default_rng(0).normal(size=(count, 3)))


def test_mlsmote_is_measured_on_the_features_of_each_model(source, tmp_path):
  _write_features(tmp_path / 'features.npz')
  found = mlsmote_benchmark.measure(str(tmp_path / 'features.npz'))
  assert list(found) == ['model 0', 'model 1']
  for ways in found.values():
    # IRLbl 1 and 7.5, MeanIR 4.25; four images more: 3.75 and 2.375.
    assert ways['none']['images_drawn'] == 34
    assert ways['none']['mean_ir'] == 4.25
    assert ways['mlsmote']['images_drawn'] == 38
    assert ways['mlsmote']['largest_over_smallest'] == 3.75
    assert ways['mlsmote']['mean_ir'] == 2.375
  done = _run(f'--csv={source[0]}', '--rows=0', '--seeds=1', '--repeats=1',
              '--num_folds=2', f'--features={tmp_path / "features.npz"}')
  assert done.returncode == 0, done.stderr
  assert '\n| model 1 | mlsmote | 38 | 3.75 | 2.38 | 0.000 | ' in done.stdout


def test_features_of_another_kind_are_refused(source, tmp_path):
  with pytest.raises(errors.DataError, match='is no table of features'):
    mlsmote_benchmark.measure(str(source[0]))
  _write_features(tmp_path / 'features.npz')
  with np.load(tmp_path / 'features.npz') as file:
    arrays = dict(file)
  arrays['trained_on'][:] = True
  np.savez(tmp_path / 'features.npz', **arrays)
  with pytest.raises(errors.DataError, match='has no labelled images that'):
    mlsmote_benchmark.measure(str(tmp_path / 'features.npz'))


@pytest.mark.parametrize('name,value', [
    ('hidden', np.full((38, 3), np.nan)),
    ('hidden', np.full((38, 3), 'a')),
    ('hidden', np.zeros((2, 3))),
    ('labels', np.zeros(38, np.uint8)),
    ('labels', np.full((38, 2), 9)),
    ('model', np.full(38, '\x1b[31m')),
])
def test_features_of_a_stranger_are_refused(tmp_path, name, value):
  path = tmp_path / 'features.npz'
  _write_features(path)
  with np.load(path) as file:
    arrays = dict(file)
  np.savez(path, **{**arrays, name: value})
  with pytest.raises(errors.DataError, match='no table of features .*: expec'):
    mlsmote_benchmark.measure(str(path))


def test_folds_differ_as_they_are_cut(source, done):
  _, ids, labels = source
  for seed, difference in enumerate(done[1]['folds']):
    fold_of = folds.assign(ids, labels, _NUM_FOLDS, seed)
    worst = max(
        abs(labels[fold_of == fold, k].sum() - labels[:, k].sum() / _NUM_FOLDS)
        for fold in range(_NUM_FOLDS)
        for k in range(28))
    np.testing.assert_allclose(difference, worst)


def test_the_frontier_is_of_exact_with_each_tolerance_and_bound(source, done):
  rows = done[1]['frontier']
  assert [(row['tolerance'], row['max_repeat']) for row in rows] == [
      (value, 0) for value in balance_benchmark.TOLERANCES
  ] + [(_CHOSEN.tolerance, value) for value in balance_benchmark.BOUNDS]
  for row in (rows[0], rows[4], rows[7]):
    chosen = dataclasses.replace(_CHOSEN,
                                 policy='exact',
                                 tolerance=row['tolerance'],
                                 max_repeat=row['max_repeat'])
    sizes = [
        each['effective_sample_size']
        for each, _ in _summaries(source, chosen, 1)
    ]
    assert row['effective_sample_size'] == [min(sizes), max(sizes)]


def test_rounding_by_a_cycle_leaves_no_image_out(done):
  rounding = done[1]['rounding']
  assert rounding['epochs'] == spec.CYCLE_EPOCHS
  assert rounding['systematic']['never_drawn'] == 0
  assert rounding['ranked']['never_drawn'] == 0
  assert 0 < rounding['ranked']['mean_std'] < rounding['coins']['mean_std']
  for way in ('coins', 'systematic', 'ranked'):
    assert rounding[way]['mean_std'] <= rounding[way]['largest_std']
    assert rounding[way]['largest_std'] <= rounding[way]['largest_distance']


def test_both_tables_are_timed(done):
  assert [each['num_rows'] for each in done[1]['seconds']] == [_NUM_ROWS, 450]
  for each in done[1]['seconds']:
    assert all(each[policy] > 0 for policy in balance.POLICIES)
  assert done[0].splitlines()[-1].startswith('exact against hybrid: ')


def test_figures_are_drawn_of_every_policy(source, done):
  paths = sorted(source[0].with_name('figures').iterdir())
  assert [path.name for path in paths
         ] == sorted(f'class_counts_{name}.png' for name in balance.POLICIES)
  assert '\n'.join(map(str, paths)) in done[0]


@pytest.mark.parametrize('path,message', [
    ('', 'Is a directory'),
    ('file/x.json', 'a file or link of that name'),
])
def test_json_that_cannot_be_written_is_told_before_the_work(
    tmp_path, path, message):
  (tmp_path / 'file').touch()
  csv = fakes.write_source(tmp_path)[0]
  done = prestarted.run([
      _ROOT / 'tools' / 'benchmark.py', 'balance', f'--csv={csv}',
      f'--json={tmp_path / path}'
  ])
  assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
  assert message in done.stderr and not done.stdout


@pytest.mark.parametrize('flag', ['json', 'table'])
def test_files_of_the_users_are_not_replaced(tmp_path, flag):
  csv = fakes.write_source(tmp_path)[0]
  mine = tmp_path / 'mine'
  mine.write_text('{"machine": "mine"}')
  done = _run(f'--csv={csv}', f'--{flag}={mine}')
  assert (done.returncode, done.stdout) == (2, '')
  assert done.stderr.endswith(f'or choose another --{flag}.\n')
  assert done.stderr.count('\n') == 1
  assert mine.read_text() == '{"machine": "mine"}'


def test_json_is_not_put_in_place_of_a_pipe(tmp_path):
  os.mkfifo(tmp_path / 'pipe')
  done = _run(f'--csv={tmp_path}/none', f'--json={tmp_path}/pipe')
  assert done.returncode == 2 and 'of that name exists' in done.stderr
  assert (tmp_path / 'pipe').is_fifo()


def test_its_own_json_is_replaced(source, done):
  path = source[0].with_name('again.json')
  path.write_text(json.dumps(done[1], indent=2))
  made = _run(f'--csv={source[0]}', '--rows=0', '--seeds=1', '--repeats=1',
              f'--json={path}')
  assert made.returncode == 0, made.stderr
  assert len(json.loads(path.read_text())['folds']) == 1


def test_without_rows_the_second_timing_is_left_out(source):
  done = _run(f'--csv={source[0]}', '--rows=0', '--seeds=1', '--repeats=1')
  assert done.returncode == 0, done.stderr
  assert f'| {_NUM_ROWS} rows | × none |\n' in done.stdout


@pytest.mark.parametrize('words,received', [
    ([], 'pass --csv=PATH'),
    (['--csv=none.csv'], 'none.csv'),
    (['--csv={csv}', '--num_folds=1'], 'received 1'),
    (['--csv={csv}', '--balance_tolerance=2'], 'received 2.0'),
    (['--csv={csv}', '--seeds=0'], 'seeds=0'),
])
def test_wrong_use_ends_with_one_line(source, words, received):
  done = _run(*(word.format(csv=source[0]) for word in words))
  assert (done.returncode, done.stdout) == (2, '')
  assert received in done.stderr and done.stderr.count('\n') == 1


def test_invalid_rows_are_listed(tmp_path):
  (tmp_path / 'a.csv').write_text('Id,Target\na,1\na,2\nb,28\n')
  done = _run(f'--csv={tmp_path / "a.csv"}')
  assert (done.returncode, done.stdout) == (2, '')
  assert '2 issues:' in done.stderr and 'row 4: ' in done.stderr
