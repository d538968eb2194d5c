"""Scores of a held-out fold."""

import numpy as np

from hpa_records.reading import dataset
from hpa_records.reading import reader as reader_lib
from hpa_records.runtime.tensorflow import tf
from trainer import config as config_lib
from trainer import strategy as strategy_lib
from trainer.training import step as step_lib


class Evaluator:
  """Scores one fold, every record of it exactly once, in index order."""

  def __init__(self, strategy: tf.distribute.Strategy,
               stepper: step_lib.Stepper, records: dataset.Records,
               reader: reader_lib.Reader, config: config_lib.Config):
    """Args: strategy and steps of the model; dataset; its reader; the
    configuration."""
    self._stepper = stepper
    self.records = records
    rows = records.rows(config.fold)
    batch_size = strategy_lib.cap_batch(strategy, config.eval_batch_size,
                                        len(rows))
    self._batches = strategy.distribute_datasets_from_function(
        lambda context: reader.evaluation(
            config.fold, strategy_lib.share(context, batch_size)))
    self.ids = records.index['id'].iloc[rows].to_numpy(dtype=str)
    self.labels = records.labels[rows]

  def scores(self) -> tuple[np.ndarray, float]:
    """Returns the scores [N, K] float32 in 0..1 and the mean loss."""
    scores, losses = zip(*map(self._stepper.score, self._batches))
    count = len(self.ids)  # what comes after are blanks
    return (np.concatenate(scores)[:count],
            float(np.concatenate(losses)[:count].mean()))
