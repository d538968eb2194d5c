"""The outer loop: epochs, evaluation, plateau, checkpoints, resume.

All files of a fold are in its own folder, WORKDIR/fold<k>. Everything random
depends on (seed, epoch, slot), so the position of a run is two integers, epoch
and step: an interrupted run resumes from its newest checkpoint with the next
batch.

The device does not wait for the host: a call of steps is checked after the next
one has started, and one other thread plans the next epoch, and computes and
writes what belongs to the last one, in order, its checkpoint last.
"""

from concurrent import futures
import contextlib
import os
from typing import Any

import numpy as np

from hpa_records.reading import dataset
from hpa_records.reading import reader as reader_lib
from hpa_records.runtime import errors
from hpa_records.runtime.tensorflow import tf
from hpa_records.sampling import epoch_plan
from hpa_records.sampling import tier
from trainer import config as config_lib
from trainer import memory
from trainer.run import checkpoint
from trainer.run import finished_fold
from trainer.run import fold_lock
from trainer.run import workdir
from trainer.start import description
from trainer.start import first_weights
from trainer import global_batch
from trainer import strategy as strategy_lib
from trainer.training import device_cache
from trainer.training import epoch
from trainer.training import evaluate
from trainer.training import interruption
from trainer.training import preparation
from trainer.training.optimization import class_weight
from trainer.training.optimization import optimizer
from trainer.training.recording import recorder
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
      or the folder is not writable; the newest checkpoint is kept. Or the
      configuration is deterministic, and TensorFlow is not.
    errors.StoppedEarly: a signal came, a worker is lost, or a loss or weight is
      not finite; the newest checkpoint is kept.
  """
  strategy = strategy or strategy_lib.make(config.distribute, config.tpu)
  preparation.check_deterministic(config)
  global_batch.check(strategy, config.batch_size, 'batch_size',
                     config.accumulate, config.mixes)
  global_batch.check(strategy, config.eval_batch_size, 'eval_batch_size')
  records = preparation.load_records(config)
  preparation.check_labels(config, records)
  repeats, inner = preparation.check_fold(config, records)
  how = memory.choose_cache(config, records, strategy,
                            preparation.find_reader(config))
  # The reader decides the order of samples, so a resumed run must use the same.
  kind = reader_lib.choose(records, how)
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
              'where the pixels fit (pass another --cache)':
                  how.cache,
              'the batch of evaluation that fits (pass --eval_batch_size)':
                  memory.choose_eval_batch(config, records.spec, strategy),
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
    memory.check_batch(config, records, strategy)
    reader = reader_lib.Reader(records, config.fold, how)
    with reader.translate_errors(), strategy_lib.translate_errors(strategy):
      return _Run(config, strategy, records, reader, repeats, inner,
                  how.cache).run()


class _Run:
  """The training of one fold."""

  def __init__(self, config: config_lib.Config,
               strategy: tf.distribute.Strategy, records: dataset.Records,
               reader: reader_lib.Reader, repeats: np.ndarray,
               inner: np.ndarray, cache: str):
    self._config, self._reader, self._strategy = config, reader, strategy
    self._records, self._repeats, self._cache = records, repeats, cache
    self._is_chief = strategy_lib.is_chief(strategy)
    self._recorder = recorder.Recorder(config, self._is_chief)
    with strategy.scope():
      self._model = first_weights.build_network(config, strategy, records)
      self._optimizer = optimizer.make_optimizer(config, self._model)
    self._start = first_weights.load(config, records, self._model, inner)
    most_steps = epoch_plan.num_steps(int(np.ceil(repeats).sum(dtype=float)),
                                      config.batch_size)
    pixels = cached = None
    if cache == 'device':
      pixels = device_cache.DeviceCache(strategy, reader, records)
      cached = device_cache.CachedBatches(pixels, config.batch_size, most_steps)
    labels = preparation.find_trained_labels(config, records, inner)
    kinds = tier.find_kinds(records.labels, labels) if config.rana_mix else None
    stepper = step.Stepper(
        strategy, self._model, self._optimizer, config, most_steps,
        class_weight.compute(config.class_weights, records.labels, repeats),
        labels)
    self._average = stepper.average
    self._interruption = interruption.Interruption(
        strategy_lib.make_sum(strategy))
    ranks = records.ranks()

    def plan(key):
      drawn = epoch_plan.shuffle(repeats, key, config.augment, ranks)
      return drawn if kinds is None else epoch_plan.pair(drawn, kinds, key)

    self._epochs = epoch.Epochs(config, strategy, plan, reader, stepper, cached,
                                self._interruption)

    def evaluator(rows):
      return evaluate.Evaluator(strategy, stepper, records, reader, config,
                                rows, pixels)

    self._evaluator = evaluator(records.rows(config.fold))
    self._inner = evaluator(inner) if inner.size else None
    with fold_lock.translate_write_errors(self._recorder.directory):
      self._checkpoints = checkpoint.Checkpoints(
          os.path.join(self._recorder.directory, workdir.CHECKPOINTS_NAME),
          config.identity(records.manifest.fingerprint,
                          reader.kind), self._model, self._optimizer,
          self._average.variables if self._average else ())
    self._beside = futures.ThreadPoolExecutor(1)
    self._upcoming: futures.Future[epoch.Epoch | None] | None = None
    self._recorded: futures.Future | None = None

  def run(self) -> dict[str, Any]:
    """Returns the content of metrics.json; see train."""
    config = self._config
    state = preparation.restore(config, self._checkpoints, self._recorder,
                                self._start)
    strategy_lib.check_alike(
        self._strategy, {
            'the checkpoint to resume from': (state.epoch, state.step),
            'the weights to start from': state.starting_weights
        })
    device = strategy_lib.describe(self._strategy)
    num_inner = len(self._inner.ids) if self._inner else 0
    self._recorder.begin(self._records,
                         self._reader.kind, self._repeats, num_inner, device,
                         self._is_done(state), state.starting_weights)
    for line in preparation.describe(
        config, len(self._evaluator.ids), num_inner, self._repeats, device,
        self._cache) + description.describe(state.starting_weights):
      self._recorder.say(line)
    predictions = None
    with self._interruption, self._beside:
      self._prepare(state.epoch, state.step)
      while not self._is_done(state):
        row = self._train_epoch(state)
        predictions, loss = self._evaluator.predict(state.epoch + 1)
        value, shown = evaluate.monitor(config, self._evaluator, self._inner,
                                        state.epoch + 1, predictions, loss)
        snapshot = state.finish_epoch(value)
        values = self._checkpoints.copy_values() if self._is_chief else []
        self._wait_recorded()
        self._recorded = self._beside.submit(self._record, snapshot,
                                             row | shown, predictions, loss,
                                             values)
        if not self._is_done(state):
          self._interruption.agree()
          self._stop_if_asked(state)
      summary = self._wait_recorded()
      self._interruption.agree()
    if predictions is None:
      self._recorder.say(f'Already trained, {state.epoch} epochs; evaluating.')
      self._recorder.write_history(state)
      predictions, loss = self._evaluator.predict(state.epoch)
      summary = self._evaluator.score(state.epoch, predictions, loss)
    if self._average:
      self._average.copy_to_model()
    self._recorder.finish(state, self._model, self._evaluator, predictions,
                          summary)
    # In the last epoch, or later to this worker alone; other folds may follow.
    asked = self._interruption.asked or self._interruption.signal
    if asked:
      raise errors.StoppedEarly(
          f'{asked.name}: fold {config.fold} is finished, at '
          f'{self._recorder.directory}; run the same command to continue.',
          128 + asked)
    return summary

  def _record(self, state: state_lib.State, row: dict[str, Any],
              predictions: np.ndarray, loss: float,
              values: list[np.ndarray]) -> dict[str, Any]:
    """Computes and writes what belongs to an epoch; returns its metrics.

    Killed in between, the run trains and writes the epoch again.

    Args:
      state: of State.finish_epoch.
      row: as of State.record.
      predictions: [N, K] float32, after it.
      loss: after it.
      values: of Checkpoints.copy_values after it.
    """
    found = self._evaluator.score(state.epoch, predictions, loss)
    state.record(row, found)
    self._recorder.finish_epoch(state, self._evaluator, predictions)
    self._save(state, values)
    self._recorder.print_epoch(state)  # last: stdout may be closed
    return found

  def _wait_recorded(self) -> dict[str, Any]:
    """Returns the metrics of the last epoch when it is recorded; {} if none."""
    return self._recorded.result() if self._recorded else {}

  def _is_done(self, state: state_lib.State) -> bool:
    return state.epoch >= self._config.epochs or state.is_stalled(
        self._config.stop_patience)

  def _prepare(self, number: int, first_step: int) -> None:
    """Has an epoch planned, and read from then on, by the other thread."""
    self._upcoming = self._beside.submit(self._epochs.begin, number, first_step)

  def _train_epoch(self, state: state_lib.State) -> dict[str, Any]:
    """Trains to the end of the epoch, and returns its row of the history."""

    def has_failed() -> bool:
      recorded = self._recorded
      return bool(recorded and recorded.done() and recorded.exception())

    def pause(is_due: bool) -> None:
      self._wait_recorded()  # raises if it has failed
      if is_due:
        self._save(state)
      self._stop_if_asked(state)

    return self._epochs.train(
        self._upcoming.result(),
        state,
        self._recorder,
        is_asked=lambda: self._interruption.asked or has_failed(),
        pause=pause,
        # Its buffers fill during the last steps and the evaluation.
        prepare_next=lambda: self._prepare(state.epoch + 1, 0))

  def _stop_if_asked(self, state: state_lib.State) -> None:
    """Saves a checkpoint and raises StoppedEarly if a signal came.

    Of several workers all raise, when the chief has saved.
    """
    asked = self._interruption.asked
    if not asked:
      return
    self._wait_recorded()
    if not self._reader.is_ordered:
      state.step = 0  # the checkpoint of the last epoch's end
    elif state.step:
      self._save(state)
    self._interruption.agree()
    done, where = 'saved', f'at {self._recorder.directory}'
    if not self._is_chief:
      done, where = 'stopped', 'with all workers'
    raise errors.StoppedEarly(
        f'{asked.name}: {done} {preparation.describe_position(state)} {where}; '
        'run the same command to continue.', 128 + asked)

  def _save(self,
            state: state_lib.State,
            values: list[np.ndarray] | None = None) -> None:
    """Saves a checkpoint, if this is the chief.

    Args:
      state: of the training.
      values: of Checkpoints.copy_values at that state; None takes them now.
    """
    if self._is_chief:
      with fold_lock.translate_write_errors(self._recorder.directory):
        self._checkpoints.save((state.epoch, state.step), state.best_epoch,
                               state.to_dict(), values)
