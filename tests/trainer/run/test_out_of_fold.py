"""out_of_fold and tables: out-of-fold predictions, and their tables."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from hpa_records.runtime import errors
from hpa_records.sampling import balance
from tests.support import specs
from trainer import config as config_lib
from trainer.report import tables
from trainer.run import arrays as arrays_lib
from trainer.run import finished_run
from trainer.run import out_of_fold
from trainer.scoring import metrics

_SPEC = specs.make(32, num_classes=12)


@pytest.fixture(name='found')
def _found():
  """Synthetic predictions in two folds; class 5 occurs in fold 1 only."""
  rng = np.random.default_rng(0)
  labels = (rng.random((60, 12)) < 0.3).astype(np.uint8)
  folds = np.repeat([0, 1], [25, 35])
  labels[folds == 0, 5] = 0
  labels[:, 9] = 0
  predictions = (0.5 * labels + 0.5 * rng.random(labels.shape)).astype(
      np.float32)
  ids = np.array([f's{i}' for i in range(60)])
  return out_of_fold.OutOfFold(ids, labels, predictions, folds,
                               np.zeros(0, str))


def test_what_is_saved_can_be_loaded_by_a_user(found, tmp_path):
  (tmp_path / 'predictions.csv').write_bytes(found.to_csv(_SPEC.classes))
  (tmp_path / 'predictions.npz').write_bytes(found.to_npz())
  table = pd.read_csv(tmp_path / 'predictions.csv', dtype={'Target': str})
  assert table.columns.tolist() == ['Id', 'fold', 'Target', *_SPEC.classes]
  target = [int(number) for number in table['Target'][3].split()]
  assert target == np.flatnonzero(found.labels[3]).tolist()
  np.testing.assert_array_equal(table[list(_SPEC.classes)].to_numpy(np.float32),
                                found.predictions)
  with np.load(tmp_path / 'predictions.npz') as arrays:
    assert sorted(arrays) == ['folds', 'groups', 'ids', 'labels', 'predictions']
    np.testing.assert_array_equal(arrays['predictions'], found.predictions)


def test_classes_are_means_over_the_folds_that_have_them(found):
  table = tables.tabulate_classes(found, _SPEC.classes, 0.5)
  parts = [
      metrics.per_class(found.labels[found.folds == fold],
                        found.predictions[found.folds == fold], _SPEC.classes)
      for fold in (0, 1)
  ]
  both = [part['f1'][2] for part in parts]
  assert table.loc[2, ['f1', 'f1_std']].tolist() == pytest.approx(
      [np.mean(both), np.std(both)])
  assert table.loc[5, ['folds', 'f1', 'f1_std']].tolist() == pytest.approx(
      [1, parts[1]['f1'][5], 0])
  assert table.loc[9, 'folds'] == 0 and table.loc[9].isna().sum() == 10


def test_counts_add_up_to_every_decision(found):
  table = tables.tabulate_counts(found, _SPEC.classes, 0.5)
  predicted = found.predictions > 0.5
  wrong = (predicted & ~found.labels.astype(bool)).sum(axis=0)
  assert table['false_positive'].tolist() == [*wrong, wrong.sum()]
  assert table.loc['total'].to_list()[1:] == pytest.approx(table.iloc[:-1,
                                                                      1:].sum())
  assert sum(table.loc['total'].to_list()[1:]) == found.labels.size


def test_a_run_of_one_class_a_sample_has_no_sample_of_two(found, tmp_path):
  labels = np.eye(12, dtype=np.uint8)[np.arange(60) % 12]
  samples = arrays_lib.Samples(found.ids, labels, found.folds,
                               np.ones(60, np.float32), 0, balance.Balance())
  config = config_lib.Config('', '', loss='softmax')
  run = finished_run.Run(str(tmp_path), config, '',
                         (finished_run.Fold(1, {}, samples, {}, _SPEC),))
  assert run.threshold is None
  (tmp_path / 'fold1').mkdir()
  path = str(tmp_path / 'fold1' / 'predictions.npz')
  arrays_lib.Predictions(found.ids[25:], labels[25:],
                         found.predictions[25:]).save(path)
  assert len(out_of_fold.collect(run).ids) == 35
  labels[30, 11] = 1
  arrays_lib.Predictions(found.ids[25:], labels[25:],
                         found.predictions[25:]).save(path)
  with pytest.raises(errors.DataError,
                     match='one class a sample, received 2 of'):
    out_of_fold.collect(run)


def test_like_stands_beside_like_in_the_table_of_other_works():
  predictions = pd.DataFrame({
      'f1_paper': [.3, .5],
      'f1_macro': [.1, .2]
  }, ['fold 0', 'mean'])
  table = tables.tabulate_others({'ours': predictions})
  assert table.loc['this paper, PReLU',
                   ['published', 'ours']].tolist() == [.541, .5]
  assert table.loc['Mitra', ['published', 'kind', 'ours']].tolist() == [
      .465, 'f1_macro', .2
  ]


def test_thresholds_of_a_fold_come_from_the_others(found):
  table, thresholds = tables.tabulate_thresholds(found, 0.5)
  assert table.index.tolist() == ['0.5 for all', *thresholds]
  plain = [
      metrics.compute(found.labels[found.folds == fold],
                      found.predictions[found.folds == fold])['f1_macro']
      for fold in (0, 1)
  ]
  assert table.loc['0.5 for all', 'f1_macro'] == pytest.approx(np.mean(plain))
  chosen = thresholds['f1']['fold 0'].to_numpy()
  rows = found.folds == 1
  best = [
      metrics.compute(found.labels[rows], found.predictions[rows],
                      each)['f1_macro'] for each in (chosen, 0.5)
  ]
  assert best[0] >= best[1]


@pytest.mark.parametrize('name,wrong', [
    ('labels', lambda each: 1 - each),
    ('ids', lambda each: each[::-1]),
])
def test_scores_of_other_samples_are_refused(found, tmp_path, name, wrong):
  samples = arrays_lib.Samples(found.ids, found.labels, found.folds,
                               np.ones(60, np.float32), 0, balance.Balance())
  run = finished_run.Run(
      str(tmp_path), config_lib.Config('', ''), '',
      tuple(
          finished_run.Fold(number, {}, samples, {}, _SPEC)
          for number in (0, 1)))
  for number in (0, 1):
    rows = found.folds == number
    (tmp_path / f'fold{number}').mkdir()
    kept = arrays_lib.Predictions(found.ids[rows], found.labels[rows],
                                  found.predictions[rows])
    kept.save(str(tmp_path / f'fold{number}' / 'predictions.npz'))
  np.testing.assert_array_equal(
      out_of_fold.collect(run).predictions, found.predictions)
  kept = dataclasses.replace(kept, **{name: wrong(getattr(kept, name))})
  kept.save(str(tmp_path / 'fold1' / 'predictions.npz'))
  with pytest.raises(errors.DataError,
                     match=f'has other {name} than .*the 35 .*fold 1'):
    out_of_fold.collect(run)
