"""The outer loop: epochs, evaluation, plateau, checkpoints, resume.

All files of a fold are in its own folder, WORKDIR/fold<k>. Everything random
depends on (seed, epoch, slot), so the position of a run is two integers, epoch
and step: an interrupted run resumes from its newest checkpoint with the next
batch.
"""

import contextlib
import dataclasses
import os
import time
from typing import Any

import numpy as np

from hpa_records.reading import dataset
from hpa_records.reading import reader as reader_lib
from hpa_records.runtime import errors
from hpa_records.runtime import progress
from hpa_records.runtime.tensorflow import tf
from hpa_records.sampling import epoch_plan
from trainer import config as config_lib
from trainer.network import build
from trainer.run import checkpoint
from trainer.run import finished_fold
from trainer.run import fold_lock
from trainer.run import workdir
from trainer import strategy as strategy_lib
from trainer.training import device_cache
from trainer.training import evaluate
from trainer.training import interruption
from trainer.training import optimizer
from trainer.training import preparation
from trainer.training import recorder
from trainer.training import state as state_lib
from trainer.training import step


def train(config: config_lib.Config,
          strategy: tf.distribute.Strategy | None = None) -> dict[str, Any]:
  """Trains one fold to its end, from its newest checkpoint if it has one.

  Args:
    config: of the run.
    strategy: to train with; by default the one of the configuration.

  Returns:
    The content of metrics.json: metrics of the held-out fold after the last
    epoch.

  Raises:
    errors.DataError: the dataset or the folder does not fit the configuration,
      the dataset cannot be accessed, another training is running in the folder,
      or the folder is not writable; the newest checkpoint is kept.
    errors.StoppedEarly: a signal came, a worker is lost, or a loss or weight is
      not finite; the newest checkpoint is kept.
  """
  strategy = strategy or strategy_lib.make(config.distribute, config.tpu)
  strategy_lib.check_batch(strategy, config.batch_size, 'batch_size')
  strategy_lib.check_batch(strategy, config.eval_batch_size, 'eval_batch_size')
  records = preparation.load_records(config)
  repeats = preparation.check_fold(config, records)
  # The reader decides the order of samples, so a resumed run must use the same.
  kind = reader_lib.choose(records, config.reading)
  directory = workdir.fold_directory(config.workdir, config.fold)
  is_chief = strategy_lib.is_chief(strategy)
  with fold_lock.hold(directory) if is_chief else contextlib.nullcontext():
    preparation.check_resumable(config, records, kind)
    finished, damage = finished_fold.find_metrics(config)
    with strategy_lib.translate_errors(strategy):
      strategy_lib.check_alike(
          strategy, {
              **config.common(kind), 'the records':
                  records.manifest.fingerprint,
              'whether the fold is finished':
                  bool(finished)
          })
    if is_chief and (finished or damage):
      print(
          f'Fold {config.fold} is finished, {finished["epoch"]} epochs; '
          'nothing to do.' if finished else f'Fold {config.fold} was finished, '
          f'but a file is invalid: {damage} The files are written again.',
          flush=True)
    if finished:
      return finished
    preparation.check_memory(config, records, strategy)
    reader = reader_lib.Reader(records, config.fold, config.reading)
    with reader.translate_errors(), strategy_lib.translate_errors(strategy):
      return _Run(config, strategy, records, reader, repeats).run()


@dataclasses.dataclass(frozen=True)
class _Epoch:
  """An epoch that is being read.

  Attributes:
    num_images: draws of the complete epoch.
    batches: an iterator over the remaining batches, distributed.
  """
  num_images: int
  batches: Any


class _Run:
  """The training of one fold."""

  def __init__(self, config: config_lib.Config,
               strategy: tf.distribute.Strategy, records: dataset.Records,
               reader: reader_lib.Reader, repeats: np.ndarray):
    self._config, self._reader, self._strategy = config, reader, strategy
    self._records, self._repeats, self._ranks = records, repeats, records.ranks(
    )
    self._is_chief = strategy_lib.is_chief(strategy)
    self._recorder = recorder.Recorder(config, self._is_chief)
    with strategy.scope():
      self._model = build.build(config, records.manifest.image_size,
                                records.manifest.pixels,
                                strategy_lib.compiles(strategy, config.xla))
      self._optimizer = optimizer.make_optimizer(config.learning_rate,
                                                 config.momentum)
      self._optimizer.build(self._model.trainable_variables)
    cache = (device_cache.DeviceCache(strategy, reader, records, config.fold)
             if config.cache == 'device' else None)
    self._stepper = step.Stepper(strategy, self._model, self._optimizer, config,
                                 cache)
    self._evaluator = evaluate.Evaluator(strategy, self._stepper, records,
                                         reader, config)
    with fold_lock.translate_write_errors(self._recorder.directory):
      self._checkpoints = checkpoint.Checkpoints(
          os.path.join(self._recorder.directory, workdir.CHECKPOINTS_NAME),
          config.identity(records.manifest.fingerprint, reader.kind),
          self._model, self._optimizer)
    self._interruption = interruption.Interruption()
    self._upcoming: _Epoch | None = None
    self._calls = 0

  def run(self) -> dict[str, Any]:
    config = self._config
    state = preparation.restore(config, self._checkpoints, self._recorder)
    strategy_lib.check_alike(
        self._strategy,
        {'the checkpoint to resume from': (state.epoch, state.step)})
    device = strategy_lib.describe(self._strategy)
    self._recorder.begin(self._records, self._reader.kind, self._repeats,
                         device, self._is_done(state))
    self._recorder.say(f'Fold {config.fold} held out: '
                       f'{len(self._evaluator.ids)} images to evaluate, '
                       f'{self._repeats.sum():.0f} draws an epoch to train on, '
                       f'on {device}.')
    if not step.has_clock():
      self._recorder.say('The wait for input is not measured, and shown as 0: '
                         'TensorFlow has no clock in deterministic mode.')
    predictions = None
    self._upcoming = self._begin(state.epoch, state.step)
    with self._interruption:
      while not self._is_done(state):
        row = self._train_epoch(state)
        predictions, summary = self._evaluator.compute(state.epoch + 1)
        state.finish_epoch(row, summary, config.plateau_monitor)
        # Killed in between, it trains and writes the epoch again.
        self._recorder.finish_epoch(state, self._evaluator, predictions)
        self._save(state)
        self._recorder.print_epoch(state)  # last: stdout may be closed
        if not self._is_done(state):
          self._stop_if_asked(state)
    if predictions is None:
      self._recorder.say(f'Already trained, {state.epoch} epochs; evaluating.')
      self._recorder.write_history(state)
      predictions, summary = self._evaluator.compute(state.epoch)
    self._recorder.finish(state, self._model, self._evaluator, predictions,
                          summary)
    asked = self._interruption.signal
    if asked:  # in the last epoch; other folds may follow
      raise errors.StoppedEarly(
          f'{asked.name}: fold {config.fold} is finished, at '
          f'{self._recorder.directory}; run the same command to continue.',
          128 + asked)
    return summary

  def _is_done(self, state: state_lib.State) -> bool:
    return state.epoch >= self._config.epochs or state.is_stalled(
        self._config.stop_patience)

  def _begin(self, number: int, first_step: int) -> _Epoch | None:
    """Plans an epoch and starts to read it; None after the last epoch."""
    config = self._config
    if number >= config.epochs:
      return None
    key = epoch_plan.Key(config.seed, number, config.fold)
    epoch = epoch_plan.shuffle(self._repeats, key, config.augment, self._ranks)
    steps = epoch_plan.num_steps(len(epoch), config.batch_size)
    if first_step >= steps:
      raise errors.DataError(
          f'The newest checkpoint in {self._recorder.directory} is of step '
          f'{first_step} of epoch {number + 1}, which has {steps} steps; '
          'remove it to continue from the one before it.')
    batches = iter(
        self._strategy.distribute_datasets_from_function(
            lambda context: self._reader.training(
                epoch, key, strategy_lib.share(context, config.batch_size),
                first_step), self._stepper.input_options))
    return _Epoch(len(epoch), batches)

  def _train_epoch(self, state: state_lib.State) -> dict[str, Any]:
    """Trains to the end of the epoch, and returns its row of the history."""
    config, epoch = self._config, self._upcoming
    steps = epoch_plan.num_steps(epoch.num_images, config.batch_size)
    rates = optimizer.warm_up(state.plateau.learning_rate, state.epoch, steps,
                              config.warmup_epochs)
    start, waited = time.perf_counter(), 0.0
    to_train = epoch.num_images - state.step * config.batch_size
    with progress.Bar(f'epoch {state.epoch + 1}/{config.epochs}',
                      to_train,
                      'images',
                      leave=False,
                      hidden=not self._is_chief) as shown:
      while state.step < steps:
        before, count = state.step, min(config.steps_per_call,
                                        steps - state.step)
        if before + count == steps:
          # Its buffers fill during this epoch's last steps and evaluation.
          self._upcoming = self._begin(state.epoch + 1, 0)
        # The second call, because the first one compiles.
        with self._recorder.profile(config.profile and self._calls == 1):
          waited += self._train_steps(state, epoch.batches,
                                      rates[before:before + count])
        drawn = min(state.step * config.batch_size, epoch.num_images)
        share = waited / (time.perf_counter() - start)
        shown.advance(
            drawn - before * config.batch_size,
            f'step {state.step}/{steps}, loss {state.total / state.step:.4f}, '
            f'rate {rates[state.step - 1]:.2g}, input {share:.0%}')
        if state.step < steps:
          if self._is_time_to_save(before, state.step):
            self._save(state)
          self._stop_if_asked(state)
    seconds = time.perf_counter() - start
    return {
        'epoch': state.epoch + 1,
        'loss': state.total / steps,
        'learning_rate': state.plateau.learning_rate,
        'images': epoch.num_images,
        'images_per_s': to_train / seconds,
        'input_wait': waited / seconds,
    }

  def _train_steps(self, state: state_lib.State, batches,
                   rates: np.ndarray) -> float:
    """Runs one call of the compiled function, and updates the state.

    Args:
      state: of the training; updated.
      batches: an iterator, distributed.
      rates: [n] float32, the learning rate of each step.

    Returns:
      The seconds that it waited for input.
    """
    losses, waits = (
        found.numpy()
        for found in self._stepper.train(batches, tf.constant(
            state.epoch), tf.constant(state.step), tf.constant(rates)))
    for i, loss in enumerate(losses):
      step.check_finite(
          loss, f'in epoch {state.epoch + 1}, step '
          f'{state.step + i + 1}')
    state.total += float(losses.sum(dtype=np.float64))
    state.step += len(losses)
    self._calls += 1
    return float(waits.sum(dtype=np.float64))

  def _is_time_to_save(self, before: int, after: int) -> bool:
    """Returns whether a checkpoint is due between two steps of an epoch."""
    every = self._config.checkpoint_steps
    return bool(every) and before // every < after // every

  def _stop_if_asked(self, state: state_lib.State) -> None:
    """Saves a checkpoint and raises StoppedEarly if a signal came."""
    asked = self._interruption.signal
    if asked and not self._is_chief:
      raise errors.StoppedEarly(
          f'{asked.name}: this worker stopped, and the others stop too; run '
          'the same command on all to continue from the newest checkpoint.',
          128 + asked)
    if asked:
      if self._reader.is_ordered:
        self._save(state)
      else:
        state.step = 0  # the checkpoint of the last epoch's end
      raise errors.StoppedEarly(
          f'{asked.name}: saved {preparation.describe_position(state)} at '
          f'{self._recorder.directory}; run the same command to continue.',
          128 + asked)

  def _save(self, state: state_lib.State) -> None:
    if self._is_chief:
      with fold_lock.translate_write_errors(self._recorder.directory):
        self._checkpoints.save((state.epoch, state.step), state.best_epoch,
                               state.to_dict())
