"""The epochs of a run: planned, read, and trained in calls of several steps.

The state is that of the calls that were read; one more is running meanwhile.
"""

import dataclasses
import time
from typing import Any, Callable

from hpa_records.reading import reader as reader_lib
from hpa_records.runtime import errors
from hpa_records.runtime import progress
from hpa_records.runtime.tensorflow import tf
from hpa_records.sampling import epoch_plan
from trainer import config as config_lib
from trainer.run import workdir
from trainer import global_batch
from trainer.training import calls
from trainer.training import device_cache
from trainer.training import interruption as interruption_lib
from trainer.training.optimization import schedule
from trainer.training.recording import recorder as recorder_lib
from trainer.training import state as state_lib
from trainer.training import step as step_lib


@dataclasses.dataclass(frozen=True)
class Epoch:
  """An epoch that is planned and, if its batches are read, being read.

  Attributes:
    plan: the complete epoch.
    batches: an iterator over the remaining batches, distributed; None if they
      are made on the device.
  """
  plan: epoch_plan.Epoch
  batches: Any


class Epochs:
  """Plans and trains the epochs of a run."""

  def __init__(self, config: config_lib.Config,
               strategy: tf.distribute.Strategy,
               plan: Callable[[epoch_plan.Key], epoch_plan.Epoch],
               reader: reader_lib.Reader, stepper: step_lib.Stepper,
               cached: device_cache.CachedBatches | None,
               interruption: interruption_lib.Interruption):
    """Prepares the epochs.

    Args:
      config: of the run.
      strategy: of the run.
      plan: returns the copies of an epoch, in the order of training.
      reader: of the dataset.
      stepper: runs the steps.
      cached: the batches on the device; None reads them.
      interruption: as of calls.Calls.
    """
    self._config, self._strategy, self._reader = config, strategy, reader
    self._plan = plan
    self._stepper, self._cached = stepper, cached
    self._calls = calls.Calls(stepper, config, strategy, interruption)

  def begin(self, number: int, first_step: int) -> Epoch | None:
    """Plans an epoch and starts to read it; None after the last epoch.

    Args:
      number: of the epoch, from 0.
      first_step: the step to start at.

    Raises:
      errors.DataError: the epoch has no such step.
    """
    config = self._config
    if number >= config.epochs:
      return None
    key = epoch_plan.Key(config.seed, number, config.fold)
    plan = self._plan(key)
    steps = epoch_plan.num_steps(len(plan), config.batch_size)
    if first_step >= steps:
      raise errors.DataError(
          'The newest checkpoint in '
          f'{workdir.fold_directory(config.workdir, config.fold)} is of step '
          f'{first_step} of epoch {number + 1}, which has {steps} steps; '
          'remove it to continue from the one before it.')
    batches = None
    if self._cached is None:
      batches = iter(
          global_batch.distribute(
              self._strategy,
              config.batch_size, lambda share: self._reader.training(
                  plan, key, share, first_step)))
    return Epoch(plan, batches)

  def train(self, epoch: Epoch, state: state_lib.State,
            recorder: recorder_lib.Recorder, is_asked: Callable[[], bool],
            pause: Callable[[bool], None],
            prepare_next: Callable[[], None]) -> dict[str, Any]:
    """Trains to the end of an epoch, and returns its row of the history.

    Args:
      epoch: from the step of the state on.
      state: of the training; updated.
      recorder: of the fold.
      is_asked: says whether to pause before the next call.
      pause: is called with the state complete, before the next call; its
        argument says whether a checkpoint is due. It may raise.
      prepare_next: is called when the last steps were started.
    """
    config, running, count = self._config, self._calls, len(epoch.plan)
    steps = epoch_plan.num_steps(count, config.batch_size)
    rates = schedule.find_rates(config, state.plateau.learning_rate,
                                state.epoch, steps)
    if self._cached:
      self._cached.load(epoch.plan)
    self._stepper.begin(state.epoch, state.step, rates)
    running.begin(epoch.batches or self._cached, state.step, count)
    start, waited = time.perf_counter(), 0.0
    to_train = count - state.step * config.batch_size
    with progress.Bar(f'epoch {state.epoch + 1}/{config.epochs}',
                      to_train,
                      'images',
                      leave=False,
                      hidden=recorder.is_silent) as shown:

      def read(most_left: int) -> None:
        """Reads calls until most_left are running."""
        nonlocal waited
        while running.num_running > most_left:
          before = state.step
          waited += running.read(state)
          drawn = min(state.step * config.batch_size, count)
          share = waited / (time.perf_counter() - start)
          shown.advance(
              drawn - before * config.batch_size,
              f'step {state.step}/{steps}, loss {state.loss_sum / drawn:.4f},'
              f' rate {rates[state.step - 1]:.2g}, input {share:.0%}')

      while running.left:
        # The second call, because the first one compiles.
        is_profiled = config.profile and running.number == 1
        if is_profiled:
          read(0)
        with recorder.profile(is_profiled):
          running.start()
          if is_profiled:
            read(0)
        if not running.left:
          prepare_next()
          read(0)
        elif running.is_due or is_asked():
          read(0)
          pause(running.is_due)
        else:
          read(1)
    seconds = time.perf_counter() - start
    return {
        'epoch': state.epoch + 1,
        'loss': state.loss_sum / count,
        'learning_rate': float(rates[-1]),
        'images': count,
        'images_per_s': to_train / seconds,
        'input_wait': waited / seconds,
    }
