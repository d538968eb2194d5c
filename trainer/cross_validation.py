"""All folds of a run, one after another, in one process.

Each fold's state is in its own folder, so one that is finished is left alone,
one that was cut off goes on, and single folds may come from other machines.
"""

import dataclasses
import gc

from hpa_records.backend import keras, tf
from trainer import config as config_lib
from trainer import loop
from trainer import score_table
from trainer import strategy as strategy_lib
from trainer import workdir


def train(config: config_lib.Config) -> None:
  """Trains every fold to its end, and prints Table 2 of the paper.

  Args:
    config: of the run; its fold is not looked at.

  Raises:
    schema.DataError: the dataset or a folder does not fit the configuration.
    schema.BrokenOff: a signal came, a worker is gone, or a loss is no number;
      the same call goes on from there.
  """
  # Each fold's steps are traced, which is meant; TensorFlow warns of the fifth.
  tf.get_logger().addFilter(
      lambda record: 'tf.function retracing' not in record.getMessage())
  strategy = strategy_lib.make(config.distribute, config.tpu)
  for fold in range(loop.load_records(config).manifest.num_folds):
    loop.train(dataclasses.replace(config, fold=fold), strategy)
    # A fold's model, and what it keeps on the device, go before the next comes.
    keras.utils.clear_session(free_memory=False)
    gc.collect()
  if strategy_lib.is_chief(strategy):
    print(score_table.format_scores(workdir.load(config.workdir)))
