"""The calls of compiled steps that an epoch is trained with.

One call is checked after the next one has started, so that the device has work
meanwhile. Its results are copied by another thread from its own start on: a
copy that the host asks for later would also wait for the next call.
"""

import collections
from concurrent import futures
import dataclasses
import math
import time

import numpy as np

from hpa_records.runtime.tensorflow import tf
from hpa_records.sampling import epoch_plan
from trainer import config as config_lib
from trainer import strategy as strategy_lib
from trainer.training import interruption as interruption_lib
from trainer.training.optimization import loss as loss_lib
from trainer.training import state as state_lib
from trainer.training import step as step_lib

_CALL_S = 1.0  # of a call whose steps are chosen
_UNROLLED = 32  # steps of a call, where each length is traced
_FIXED = 10  # where several workers must have the same, and of a first call


@dataclasses.dataclass(frozen=True)
class _Call:
  """A call that was started.

  Attributes:
    count: its steps.
    found: the losses of its steps [count] float32, the seconds for which they
      waited for batches, and what Interruption.ask gave.
  """
  count: int
  found: futures.Future[list[np.ndarray]]


class Calls:
  """Starts and reads the calls of one epoch after another.

  Attributes:
    number: of the calls that were started.
    started: steps of the epoch in them.
  """

  def __init__(self, stepper: step_lib.Stepper, config: config_lib.Config,
               strategy: tf.distribute.Strategy,
               interruption: interruption_lib.Interruption):
    """Prepares the calls of a run.

    Args:
      stepper: runs them.
      config: of the run.
      strategy: of the run.
      interruption: of the run; each call tells the other workers of a signal.
    """
    self._stepper, self._config = stepper, config
    self._interruption = interruption
    self._is_shared = isinstance(strategy,
                                 tf.distribute.MultiWorkerMirroredStrategy)
    self._first = _FIXED if strategy_lib.compiles(strategy, config.xla) else 1
    self._copying = futures.ThreadPoolExecutor(1)
    self.number = self.started = 0
    self._steps, self._draws, self._batches = 0, 0, None
    self._running: collections.deque[_Call] = collections.deque()
    self._pace, self._since = 0.0, 0.0  # steps a second; the last reading

  def begin(self, batches: step_lib.Batches, first: int, draws: int) -> None:
    """Begins an epoch.

    Args:
      batches: of the epoch from its step `first` on.
      first: steps that are done.
      draws: images of the whole epoch, without padding.
    """
    self._batches, self.started, self._draws = batches, first, draws
    self._steps = epoch_plan.num_steps(draws, self._config.batch_size)

  @property
  def left(self) -> int:
    """Steps of the epoch that were not started."""
    return self._steps - self.started

  @property
  def is_due(self) -> bool:
    """Whether a checkpoint is due after the steps that were started."""
    every = self._config.checkpoint_steps
    return bool(every) and self.started % every == 0 and self.left > 0

  @property
  def num_running(self) -> int:
    """Calls that were started and not read."""
    return len(self._running)

  def start(self) -> None:
    """Starts the next call; does not wait for it."""
    if not self._running:
      self._since = time.perf_counter()
    count = self._choose()
    found = self._stepper.train(count, self._batches)
    self._running.append(
        _Call(
            count,
            self._copying.submit(step_lib.fetch, *found,
                                 *self._interruption.ask())))
    self.number, self.started = self.number + 1, self.started + count

  def read(self, state: state_lib.State) -> float:
    """Waits for the oldest call, and adds it to the state.

    Args:
      state: of the training, after the call before.

    Returns:
      The seconds that the call waited for input.

    Raises:
      errors.StoppedEarly: a loss is not finite; names its step.
    """
    call = self._running.popleft()
    losses, waited, *sums = call.found.result()
    for loss in losses:
      loss_lib.check_finite(
          loss, f'in epoch {state.epoch + 1}, step {state.step + 1}')
      # One by one: the sum does not depend on how the steps are cut into calls.
      drawn = state.step * self._config.batch_size
      state.loss_sum += float(loss) * min(self._config.batch_size,
                                          self._draws - drawn)
      state.step += 1
    self._interruption.hear(sums)
    now = time.perf_counter()
    self._pace, self._since = call.count / (now - self._since), now
    return float(waited)

  def _choose(self) -> int:
    """Returns the number of steps of the next call."""
    every = self._config.checkpoint_steps
    most = min(self.left, every - self.started % every if every else self.left)
    if self._config.steps_per_call:
      return min(self._config.steps_per_call, most)
    if self._stepper.unrolls(self._batches):
      return 2**int(math.log2(min(_UNROLLED, most)))  # few lengths to trace
    if self._is_shared:
      return min(_FIXED, most)
    # Of the first call, which compiles, the pace says nothing.
    wanted = self._pace * _CALL_S if self.number > 2 else self._first
    return min(max(int(wanted), 1), most)
