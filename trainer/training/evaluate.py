"""Predictions, loss and metrics of images that are not trained on."""

import itertools
from typing import Any

import numpy as np

from hpa_records.reading import dataset
from hpa_records.reading import reader as reader_lib
from hpa_records.runtime.tensorflow import tf
from hpa_records.sampling import epoch_plan
from trainer import config as config_lib
from trainer import memory
from trainer.recipe import optimization
from trainer.recipe import schedule
from trainer.scoring import decision
from trainer.scoring import metrics
from trainer import global_batch
from trainer.training import device_cache
from trainer.training.optimization import loss as loss_lib
from trainer.training import step as step_lib

_SHORT = 8  # batches of a call, where its length is traced or it takes long


class Evaluator:
  """Predicts some records exactly once, in index order.

  Attributes:
    records: the dataset.
    ids: [N] str, of these records.
    labels: [N, K] uint8 multi-hot.
  """

  def __init__(self,
               strategy: tf.distribute.Strategy,
               stepper: step_lib.Stepper,
               records: dataset.Records,
               reader: reader_lib.Reader,
               config: config_lib.Config,
               rows: np.ndarray,
               cache: device_cache.DeviceCache | None = None):
    """Prepares the batches.

    Args:
      strategy: of the model.
      stepper: of the model.
      records: the dataset.
      reader: of the dataset.
      config: of the run.
      rows: [N] int64, of the index, ascending: of the held-out fold, or of
        preparation.find_inner.
      cache: its images on the device; None reads them.
    """
    self._stepper, self._reader, self._config = stepper, reader, config
    self.records = records
    self.ids = records.index['id'].iloc[rows].to_numpy(dtype=str)
    self.labels = records.labels[rows]
    batch_size = global_batch.cap(
        strategy, memory.choose_eval_batch(config, records.spec, strategy),
        len(rows))
    self._is_on_cpu = memory.find_device(strategy)[0] == 'CPU'
    self._steps = epoch_plan.num_steps(len(rows), batch_size)
    self._cached = self._batches = None
    if cache:
      self._cached = device_cache.CachedBatches(cache, batch_size, self._steps)
      self._cached.load(epoch_plan.once(rows))
    else:
      self._batches = global_batch.distribute(
          strategy, batch_size, lambda share: reader.evaluation(rows, share))

  def predict(self, epoch: int) -> tuple[np.ndarray, float]:
    """Returns the predictions [N, K] float32, 0..1, and the mean loss.

    Args:
      epoch: number of the epochs that were trained, for the message.

    Raises:
      errors.DataError: a shard was changed or removed meanwhile.
      errors.StoppedEarly: the loss is not finite.
    """
    batches = self._cached or iter(self._batches)
    # A signal is heeded between calls.
    is_short = self._is_on_cpu or self._stepper.unrolls(batches)
    a_call = _SHORT if is_short else self._steps
    self._stepper.begin_evaluation()
    calls = [
        self._stepper.evaluate(min(a_call, self._steps - first), batches)
        for first in range(0, self._steps, a_call)
    ]
    found = step_lib.fetch(*itertools.chain(*calls))
    predictions, losses = (
        np.concatenate([each.reshape(-1, *each.shape[2:])
                        for each in parts
                       ])[:len(self.ids)]  # the rest is padding
        for parts in (found[::2], found[1::2]))
    self._reader.check_unchanged()
    loss = float(losses.mean())
    if self._config.loss in optimization.OF_BATCH:  # of all images as a batch
      loss = loss_lib.compute_whole(self._config.loss, self.labels, predictions)
    loss_lib.check_finite(loss, f'in the evaluation after epoch {epoch}')
    return predictions, loss

  def monitor(self, predictions: np.ndarray, loss: float) -> float | None:
    """Returns the metric of --plateau_monitor, as in score."""
    name = self._config.plateau_monitor
    if name == schedule.VAL_LOSS:
      return loss
    return metrics.compute_one(name, self.labels, predictions,
                               decision.find_threshold(self._config))

  def score(self, epoch: int, predictions: np.ndarray,
            loss: float) -> dict[str, Any]:
    """Returns the content of metrics.json.

    Args:
      epoch: number of the epochs that were trained.
      predictions: [N, K] float32, of predict.
      loss: of predict.
    """
    found = metrics.compute(self.labels, predictions,
                            decision.find_threshold(self._config))
    return {'epoch': epoch, 'loss': loss, **found}


def monitor(config: config_lib.Config, held_out: Evaluator,
            inner: Evaluator | None, epoch: int, predictions: np.ndarray,
            loss: float) -> tuple[float | None, dict[str, Any]]:
  """Returns the monitored value of an epoch, and what the history says of it.

  Args:
    config: of the run.
    held_out: of the held-out fold, which decides where there is no inner.
    inner: of the rows of preparation.find_inner; None without them.
    epoch: as of Evaluator.predict.
    predictions: [N, K] float32, of held_out.predict.
    loss: of held_out.predict.

  Raises:
    errors.DataError, errors.StoppedEarly: as Evaluator.predict.
  """
  if inner is None:
    value = held_out.monitor(predictions, loss)
    return value, {schedule.VAL_LOSS: loss}
  found = inner.predict(epoch)
  value = inner.monitor(*found)
  return value, {
      schedule.VAL_LOSS: found[1],
      f'{schedule.INNER}_{config.plateau_monitor}': value,
      'heldout_loss': loss
  }
