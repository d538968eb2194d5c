"""evaluate: the same predictions whatever reads, in whatever batches."""

import dataclasses

import numpy as np
import pytest

from hpa_records.reading import dataset
from hpa_records.reading import how as how_lib
from hpa_records.reading import reader
from tests.support import fakes
from trainer import config as config_lib
from trainer.network import gapnet
from trainer.recipe import schedule
from trainer import strategy as strategy_lib
from trainer.training import device_cache
from trainer.training import evaluate
from trainer.training.optimization import loss as loss_lib
from trainer.training.optimization import optimizer as optimizer_lib
from trainer.training import step


@pytest.fixture(name='predict', scope='module')
def _predict(tmp_path_factory):
  """Predicts fold 1 of 90 samples with one network, however it is read."""
  folder = tmp_path_factory.mktemp('evaluate')
  records = dataset.load(fakes.write_records(folder, 90, 32))
  config = config_lib.Config(records='', workdir='', fold=1)
  strategy = strategy_lib.make('cpu')
  with strategy.scope():
    model = gapnet.build(records.spec,
                         'original',
                         'prelu',
                         mean=[100] * 4,
                         std=[50] * 4)
    optimizer = optimizer_lib.make_optimizer(config, model)
  stepper = step.Stepper(strategy, model, optimizer, config, 1)

  def predict(batch_size, how=how_lib.How(), rows=records.rows(1), loss='bce'):
    found = reader.Reader(records, 1, how)
    cache = (device_cache.DeviceCache(strategy, found, records)
             if how.cache == 'device' else None)
    evaluator = evaluate.Evaluator(
        strategy, stepper, records, found,
        dataclasses.replace(config, eval_batch_size=batch_size, loss=loss),
        rows, cache)
    return (*evaluator.predict(1), evaluator)

  return predict


def test_the_same_batch_size_gives_the_same_scores_bit_for_bit(predict):
  first, loss, evaluator = predict(16)
  assert len(first) == len(evaluator.ids) == len(evaluator.labels) == 18
  for how in (how_lib.How(), how_lib.How(reader='streaming'),
              how_lib.How(cache='host'), how_lib.How(cache='device')):
    again, same, _ = predict(16, how)
    np.testing.assert_array_equal(again, first)
    assert same == loss


@pytest.mark.parametrize('how', [
    how_lib.How(),
    how_lib.How(reader='streaming'),
    how_lib.How(reader='streaming', by_tensorflow=True),
    how_lib.How(cache='device')
])
def test_rows_of_several_folds_are_predicted_in_order(predict, how):
  rows = np.array([0, 3, 17, 18, 19, 50, 88])
  found, _, evaluator = predict(4, how, rows)
  whole, _, everything = predict(90, how, np.arange(90))
  np.testing.assert_array_equal(evaluator.ids, everything.ids[rows])
  np.testing.assert_array_equal(evaluator.labels, everything.labels[rows])
  np.testing.assert_allclose(found, whole[rows], rtol=0, atol=1e-5)
  assert np.ptp(found, axis=0).max() > 1e-4  # an order shows


@pytest.mark.parametrize('batch_size', [0, 1, 7, 18, 64, 10**9])
def test_any_other_gives_them_within_rounding(predict, batch_size):
  first, loss, _ = predict(16)
  other, near, _ = predict(batch_size)
  np.testing.assert_allclose(other, first, rtol=0, atol=1e-5)
  assert near == pytest.approx(loss, abs=1e-5)


def test_a_loss_of_the_batch_is_that_of_all_images(predict):
  (predictions, loss,
   evaluator), (_, near,
                _) = (predict(size, loss='lovasz_softmax') for size in (16, 7))
  want = loss_lib.compute_whole('lovasz_softmax', evaluator.labels, predictions)
  assert loss == want == pytest.approx(near, abs=1e-5)


@pytest.mark.parametrize('name', schedule.MONITORS)
def test_the_monitored_metric_is_the_one_of_metrics_json(predict, name):
  predictions, loss, evaluator = predict(16)
  predictions = np.random.default_rng(0).random(predictions.shape)
  evaluator._config = dataclasses.replace(  # pylint: disable=protected-access
      evaluator._config,  # pylint: disable=protected-access
      plateau_monitor=name)
  score = 'loss' if name == 'val_loss' else name
  found = evaluator.score(1, predictions, loss)[score]
  assert found is not None and evaluator.monitor(predictions, loss) == found
