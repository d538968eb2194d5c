"""preparation: which images train, and which of them choose."""

import dataclasses

import numpy as np
import pytest

from hpa_records.reading import dataset
from hpa_records.runtime import errors
from hpa_records.sampling import decoupling
from tests.support import fakes
from trainer import config as config_lib
from trainer.training import preparation

_CONFIG = config_lib.Config('', '', validation='inner')


@pytest.fixture(name='records', scope='module')
def _records(tmp_path_factory):
  folder = tmp_path_factory.mktemp('preparation')
  return dataset.load(fakes.write_records(folder, 300, 8))


@pytest.mark.parametrize('fold', [0, 3])
def test_inner_rows_are_a_stratified_tenth_that_is_not_trained_on(
    records, fold):
  config = dataclasses.replace(_CONFIG, fold=fold)
  repeats, inner = preparation.check_fold(config, records)
  training = records.index['fold'].to_numpy() != fold
  assert training[inner].all() and (np.diff(inner) > 0).all()
  tenths = records.labels[training].sum(axis=0, dtype=int) / 10
  assert tenths.max() > 4
  counts = records.labels[inner].sum(axis=0, dtype=int)
  assert (np.abs(counts - tenths) <= 1).all()
  whole = records.repeats(fold)
  assert whole[inner].any() and not repeats[inner].any()
  others = np.setdiff1d(np.arange(len(repeats)), inner)
  np.testing.assert_array_equal(repeats[others], whole[others])


def test_inner_rows_are_a_function_of_seed_and_fold(records):
  first, again, fold, seed = (preparation.check_fold(
      dataclasses.replace(_CONFIG, **changes), records)[1].tolist()
                              for changes in ({}, {}, {
                                  'fold': 1
                              }, {
                                  'seed': 1
                              }))
  assert first == again
  assert first not in (fold, seed)


def test_groups_are_inner_as_a_whole(records):
  folds = records.index['fold']
  place = folds.groupby(folds).cumcount() // 3
  groups = folds.astype(str) + '-' + place.astype(str)
  grouped = dataclasses.replace(records,
                                index=records.index.assign(group=groups))
  _, inner = preparation.check_fold(_CONFIG, grouped)
  chosen = groups.iloc[inner]
  assert 5 <= chosen.nunique() <= 12
  assert len(inner) == groups.isin(chosen).sum()


def test_the_held_out_fold_chooses_by_default(records):
  repeats, inner = preparation.check_fold(config_lib.Config('', ''), records)
  assert inner.size == 0
  np.testing.assert_array_equal(repeats, records.repeats(0))


def test_too_few_samples_for_an_inner_tenth_are_refused(tmp_path):
  records = dataset.load(fakes.write_records(tmp_path, 11, 8))
  with pytest.raises(errors.DataError,
                     match=r'at least 10 samples, .* received [89]; leave'):
    preparation.check_fold(_CONFIG, records)


@pytest.mark.parametrize('balance', ['none', 'hybrid'])
def test_an_epoch_has_as_many_draws_a_class_as_asked(records, balance):
  """Whatever the policy: each image keeps its share of the draws."""
  config = dataclasses.replace(_CONFIG, balance=balance)
  plain, _ = preparation.check_fold(config, records)
  repeats, inner = preparation.check_fold(
      dataclasses.replace(config, class_draws=350), records)
  classes = records.labels[plain > 0].any(axis=0).sum()
  assert 5 < classes < 28
  assert repeats.sum(dtype=float) == pytest.approx(350 * classes)
  np.testing.assert_allclose(repeats / repeats.sum(), plain / plain.sum(), 1e-5)
  assert not repeats[inner].any() and repeats.dtype == np.float32


@pytest.mark.parametrize('balance', ['none', 'exact'])
def test_remedial_doubles_the_draws_of_the_images_that_it_splits(
    records, balance):
  config = dataclasses.replace(_CONFIG, balance=balance)
  plain, inner = preparation.check_fold(config, records)
  repeats, _ = preparation.check_fold(
      dataclasses.replace(config, remedial=True), records)
  trained = preparation.find_trained_labels(config, records, inner)
  is_split = decoupling.make_rule(trained).choose(records.labels)
  has_two = records.labels.sum(axis=1) == 2  # of frequent and rare classes
  np.testing.assert_array_equal(is_split, has_two)
  assert plain[has_two].any()
  np.testing.assert_array_equal(repeats, plain * np.where(is_split, 2, 1))


def test_more_draws_than_memory_holds_are_refused(records):
  config = dataclasses.replace(_CONFIG, class_draws=10**6)
  with pytest.raises(errors.DataError,
                     match='--class_draws=1000000 would have'):
    preparation.check_fold(config, records)
