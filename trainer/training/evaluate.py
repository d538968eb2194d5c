"""Predictions, loss and metrics of a held-out fold."""

from typing import Any

import numpy as np

from hpa_records.reading import dataset
from hpa_records.reading import reader as reader_lib
from hpa_records.runtime.tensorflow import tf
from trainer import config as config_lib
from trainer.scoring import metrics
from trainer import strategy as strategy_lib
from trainer.training import step as step_lib


class Evaluator:
  """Predicts every record of one fold exactly once, in index order.

  Attributes:
    records: the dataset.
    ids: [N] str, of the fold's records.
    labels: [N, K] uint8 multi-hot.
  """

  def __init__(self, strategy: tf.distribute.Strategy,
               stepper: step_lib.Stepper, records: dataset.Records,
               reader: reader_lib.Reader, config: config_lib.Config):
    """Prepares the batches of the held-out fold.

    Args:
      strategy: of the model.
      stepper: of the model.
      records: the dataset.
      reader: of the dataset.
      config: of the run.
    """
    self._stepper, self._reader, self._config = stepper, reader, config
    self.records = records
    rows = records.rows(config.fold)
    batch_size = strategy_lib.cap_batch(strategy, config.eval_batch_size,
                                        len(rows))
    self._batches = strategy.distribute_datasets_from_function(
        lambda context: reader.evaluation(
            config.fold, strategy_lib.share(context, batch_size)))
    self.ids = records.index['id'].iloc[rows].to_numpy(dtype=str)
    self.labels = records.labels[rows]

  def predictions(self) -> tuple[np.ndarray, float]:
    """Returns the predictions [N, K] float32, 0..1, and the mean loss."""
    predictions, losses = zip(*map(self._stepper.evaluate, self._batches))
    count = len(self.ids)  # the rest is padding
    return (np.concatenate(predictions)[:count],
            float(np.concatenate(losses)[:count].mean()))

  def compute(self, epoch: int) -> tuple[np.ndarray, dict[str, Any]]:
    """Returns the predictions [N, K] float32, and the content of metrics.json.

    Args:
      epoch: number of the epochs that were trained.

    Raises:
      errors.DataError: a shard was changed or removed meanwhile.
      errors.StoppedEarly: the loss is not finite.
    """
    predictions, loss = self.predictions()
    self._reader.check_unchanged()
    step_lib.check_finite(loss, f'of the held-out fold after epoch {epoch}')
    found = metrics.compute(self.labels, predictions, self._config.threshold)
    return predictions, {'epoch': epoch, 'loss': loss, **found}
