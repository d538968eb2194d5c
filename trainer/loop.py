"""The outer loop: epochs, evaluation, plateau, checkpoints, resume, logs.

The one place that says how far training has come. A fold's whole state is in
its own folder WORKDIR/fold<k>. Everything random depends on (seed, epoch,
slot), so the place of a run is two integers, epoch and step: one that was cut
off goes on from its newest checkpoint with the batch that would have come.
"""

import dataclasses
import math
import os
import time
from typing import Any

import numpy as np
import pandas as pd

from hpa_records import dataset
from hpa_records import filesystem
from hpa_records import plan
from hpa_records import progress
from hpa_records import reader as reader_lib
from hpa_records import schema
from hpa_records import staging
from hpa_records.backend import keras, tf
from trainer import checkpoint
from trainer import config as config_lib
from trainer import device_cache
from trainer import evaluate
from trainer import gapnet
from trainer import metrics
from trainer import schedule
from trainer import step
from trainer import strategy as strategy_lib
from trainer import workdir

_LOGGED = ('loss', 'val_loss', 'f1_micro', 'f1_macro', 'auc_macro',
           'learning_rate')


@dataclasses.dataclass
class _State:
  """What a checkpoint holds beside the weights.

  Attributes:
    epoch: finished epochs.
    step: finished steps of the next epoch.
    total: sum of those steps' losses.
    plateau: the learning rate's state.
    best_epoch: finished epochs at the best monitored score.
    best: that epoch's summary.
    history: one row an epoch.
  """
  epoch: int
  plateau: schedule.Plateau
  step: int = 0
  total: float = 0.0
  best_epoch: int = 0
  best: dict[str, Any] = dataclasses.field(default_factory=dict)
  history: list[dict[str, Any]] = dataclasses.field(default_factory=list)

  def to_dict(self) -> dict[str, Any]:
    return {**dataclasses.asdict(self), 'plateau': self.plateau.to_dict()}

  @classmethod
  def from_dict(cls, values: dict[str, Any]) -> '_State':
    plateau = schedule.Plateau.from_dict(values['plateau'])
    return cls(**{**values, 'plateau': plateau})


def train(config: config_lib.Config) -> dict[str, Any]:
  """Trains one fold to the end, from its newest checkpoint if there is one.

  Args:
    config: the run.

  Returns:
    What scores.json says: the held-out fold's scores after the last epoch.

  Raises:
    schema.DataError: the dataset or the folder does not fit the configuration,
      or the dataset's address does not answer.
  """
  strategy = strategy_lib.make(config.distribute)
  strategy_lib.check_batch(strategy, config.batch_size, 'batch_size')
  strategy_lib.check_batch(strategy, config.eval_batch_size, 'eval_batch_size')
  where = config.records
  if config.stage_dir:
    where = staging.stage(where, config.stage_dir)
  records = dataset.load(where)
  repeats = _check_fold(config, records)
  reader = reader_lib.Reader(records, config.fold, config.reading)
  # Which one it is decides the order, so a run that goes on must have the same.
  config = dataclasses.replace(config, reader=reader.kind)
  directory = workdir.fold_directory(config.workdir, config.fold)
  _check_resumable(config, records, directory)
  if strategy_lib.is_chief(strategy):
    _write_config(config, records, directory)
    _write_samples(config, records, repeats, directory)
  with reader.told_errors():
    return _Run(config, strategy, records, reader, repeats, directory).run()


class _Run:
  """One fold on its devices."""

  def __init__(self, config: config_lib.Config,
               strategy: tf.distribute.Strategy, records: dataset.Records,
               reader: reader_lib.Reader, repeats: np.ndarray, directory: str):
    self._config, self._reader = config, reader
    self._repeats, self._directory = repeats, directory
    self._ranks = records.ranks()
    self._strategy = strategy
    # Every worker knows the whole state; one writes it.
    self._is_chief = strategy_lib.is_chief(strategy)
    with self._strategy.scope():
      self._model = _build_model(config, records)
      self._optimizer = schedule.make_optimizer(config.learning_rate,
                                                config.momentum)
      self._optimizer.build(self._model.trainable_variables)
    cache = (device_cache.DeviceCache(self._strategy, reader, records,
                                      config.fold)
             if config.cache == 'device' else None)
    self._stepper = step.Stepper(self._strategy, self._model, self._optimizer,
                                 config, cache)
    self._evaluator = evaluate.Evaluator(self._strategy, self._stepper, records,
                                         reader, config)
    self._checkpoints = checkpoint.Checkpoints(
        os.path.join(directory, 'checkpoints'), self._model, self._optimizer)
    self._log = (tf.summary.create_file_writer(
        os.path.join(directory, 'tensorboard'))
                 if self._is_chief else tf.summary.create_noop_writer())

  def run(self) -> dict[str, Any]:
    state = self._restore()
    self._say(f'Fold {self._config.fold} held out: '
              f'{len(self._evaluator.ids)} images to score, '
              f'{self._repeats.sum():.0f} draws an epoch to train on, on '
              f'{strategy_lib.describe(self._strategy)}.')
    scores = None
    while state.epoch < self._config.epochs:
      row = self._train_epoch(state)
      scores, summary = self._evaluate(state.epoch + 1)
      self._finish_epoch(state, row, summary)
    if scores is None:
      self._say(f'Finished before, {state.epoch} epochs; scoring again.')
      scores, summary = self._evaluate(state.epoch)
    if self._is_chief:
      evaluate.write_json(
          os.path.join(self._directory, workdir.BEST_SCORES_NAME), {
              **state.best, 'note':
                  f'the epoch of the best {self._config.plateau_monitor}, '
                  'chosen on the fold that it scores'
          })
      self._evaluator.write(self._directory, scores, summary)
    return summary

  def _restore(self) -> _State:
    found = self._checkpoints.positions()
    if not found:
      return _State(0, _plateau(self._config))
    epoch, first = found[-1]
    if epoch + (first > 0) > self._config.epochs:
      raise schema.DataError(
          f'Expected at most --epochs={self._config.epochs}, received '
          f'{epoch + (first > 0)} finished or begun at {self._directory}; ask '
          'for at least as many, or choose another --workdir.')
    state = _State.from_dict(self._checkpoints.restore(found[-1]))
    inside = f', step {state.step} of the next' if state.step else ''
    self._say(
        f'Continuing {self._directory} after epoch {state.epoch}{inside}.')
    return state

  def _train_epoch(self, state: _State) -> dict[str, Any]:
    """Trains to the end of an epoch; returns its row of the history."""
    config = self._config
    key = plan.Key(config.seed, state.epoch, config.fold)
    epoch = plan.shuffle(self._repeats, key, config.augment, self._ranks)
    self._optimizer.learning_rate.assign(state.plateau.learning_rate)
    steps = plan.num_steps(len(epoch), config.batch_size)
    begun, start = state.step, time.perf_counter()
    batches = iter(
        self._strategy.
        distribute_datasets_from_function(lambda context: self._reader.training(
            epoch, key, strategy_lib.share(context, config.batch_size), begun)))
    title = f'epoch {state.epoch + 1}/{config.epochs}'
    to_train = len(epoch) - begun * config.batch_size
    with progress.Bar(title,
                      to_train,
                      'images',
                      leave=False,
                      hidden=not self._is_chief) as shown:
      while state.step < steps:
        count = min(config.steps_per_call, steps - state.step)
        state.total += float(
            self._stepper.train(batches, tf.constant(state.epoch),
                                tf.constant(state.step), tf.constant(count)))
        before, state.step = state.step, state.step + count
        drawn = min(state.step * config.batch_size, len(epoch))
        shown.advance(drawn - before * config.batch_size,
                      f'loss {state.total / state.step:.4f}')
        if self._is_time_to_save(before, state.step) and state.step < steps:
          self._save(state)
    seconds = time.perf_counter() - start
    return {
        'epoch': state.epoch + 1,
        'loss': state.total / steps,
        'learning_rate': state.plateau.learning_rate,
        'images': len(epoch),
        'images_per_s': to_train / seconds,
    }

  def _is_time_to_save(self, before: int, after: int) -> bool:
    """Whether a checkpoint is due between two steps of an epoch."""
    every = self._config.checkpoint_steps
    return bool(every) and before // every < after // every

  def _save(self, state: _State) -> None:
    if not self._is_chief:
      return
    self._checkpoints.save((state.epoch, state.step), state.best_epoch,
                           state.to_dict())

  def _evaluate(self, epoch: int) -> tuple[np.ndarray, dict[str, Any]]:
    scores, loss = self._evaluator.scores()
    found = metrics.score(self._evaluator.labels, scores,
                          self._config.threshold)
    return scores, {'epoch': epoch, 'loss': loss, **found}

  def _finish_epoch(self, state: _State, row: dict[str, Any],
                    summary: dict[str, Any]) -> None:
    """Moves the state on, saves it, and says how the epoch went."""
    value = summary[self._config.plateau_monitor]
    value = math.nan if value is None else value
    if state.plateau.improves(value) or not state.best:
      state.best_epoch, state.best = state.epoch + 1, summary
    state.epoch, state.step, state.total = state.epoch + 1, 0, 0.0
    state.plateau = state.plateau.update(value)
    row['val_loss'] = summary['loss']
    state.history.append({
        **row,
        **{
            k: v for k, v in summary.items() if k not in row
        }
    })
    self._save(state)
    if self._is_chief:
      filesystem.write_atomically(
          os.path.join(self._directory, workdir.HISTORY_NAME),
          pd.DataFrame(state.history).to_csv(index=False).encode())
    self._log_epoch(state.history[-1])

  def _say(self, line: str) -> None:
    if self._is_chief:
      print(line, flush=True)

  def _log_epoch(self, row: dict[str, Any]) -> None:
    numbers = {name: row[name] for name in _LOGGED if row[name] is not None}
    self._say(f'epoch {row["epoch"]}/{self._config.epochs}: ' + ', '.join(
        f'{name} {value:.4f}' for name, value in numbers.items()) +
              f', {row["images_per_s"]:.1f} images/s')
    with self._log.as_default():
      for name, value in row.items():
        if isinstance(value, float):
          tf.summary.scalar(name, value, step=row['epoch'])
    self._log.flush()


def _build_model(config: config_lib.Config,
                 records: dataset.Records) -> keras.Model:
  pixels = records.manifest.pixels
  try:
    return gapnet.build(records.manifest.image_size,
                        config.variant,
                        config.activation,
                        mean=pixels['mean'],
                        std=pixels['std'],
                        input_scaling=config.input_scaling,
                        precision=config.precision,
                        seed=config.seed)
  except ValueError as error:
    raise schema.DataError(str(error)) from error


def _plateau(config: config_lib.Config) -> schedule.Plateau:
  return schedule.Plateau(config.learning_rate, config.plateau_factor,
                          config.plateau_patience, config.plateau_threshold,
                          config.min_learning_rate, config.monitor_mode)


def _check_fold(config: config_lib.Config,
                records: dataset.Records) -> np.ndarray:
  """Returns the repeats [N] of training with the fold held out."""
  folds = records.manifest.num_folds
  if config.fold >= folds:
    raise schema.DataError(f'Expected --fold from 0 to {folds - 1}, received '
                           f'{config.fold}; {config.records} has {folds}.')
  repeats = records.repeats(config.fold, config.rebalance)
  if not repeats.any():
    raise schema.DataError(
        f'Expected records to train on with fold {config.fold} held out, '
        f'received none with repeats above 0 at {config.records}; pass '
        'another --balance.')
  return repeats


def _check_resumable(config: config_lib.Config, records: dataset.Records,
                     directory: str) -> None:
  """Compares the settings with those of the run that is there, if any."""
  path = os.path.join(directory, workdir.CONFIG_NAME)
  if os.path.exists(path):
    found, made_from = workdir.load_config(path)
    differ = found.differences(config)
    if made_from != records.manifest.fingerprint:
      differ.append(f'records {made_from[:12]}, not '
                    f'{records.manifest.fingerprint[:12]}')
    if differ:
      raise schema.DataError(
          f'Expected the settings of the run at {directory}, received others: '
          f'{"; ".join(differ)}. Choose another --workdir.')


def _write_config(config: config_lib.Config, records: dataset.Records,
                  directory: str) -> None:
  os.makedirs(directory, exist_ok=True)
  filesystem.write_atomically(
      os.path.join(directory, workdir.CONFIG_NAME),
      config.to_json(records.manifest.fingerprint).encode())


def _write_samples(config: config_lib.Config, records: dataset.Records,
                   repeats: np.ndarray, directory: str) -> None:
  """Writes what the fold is trained on, for the report."""
  index = records.index
  samples = workdir.Samples(index['id'].to_numpy(str), records.labels,
                            index['fold'].to_numpy(np.int64), repeats,
                            records.manifest.settings['seed'],
                            config.rebalance or records.stored_balance())
  samples.save(os.path.join(directory, workdir.SAMPLES_NAME))
