"""The learning rate of each step: by plateaus, in a cosine, in one cycle.

All rise over a warm-up at first. The rates of an epoch depend on the settings,
its number and its steps alone, and of plateaus on a value that checkpoints
hold; so a resumed run has the rates of an undisturbed one.

The paper says only "the rate is halved when performance plateaus". The plateau
is a value, not a callback: settings and state in one frozen dataclass that is
saved in the checkpoint's JSON, so that a resumed run halves in the same epoch.
keras.callbacks.ReduceLROnPlateau keeps its state in attributes that no
checkpoint saves, and needs fit().
"""

import dataclasses
import math
from typing import Any

import numpy as np

from trainer import config as config_lib
from trainer.recipe import schedule

MODES = ('max', 'min')
# Of one cycle: the part of the epochs that its rise takes, and the highest rate
# over the first one. Source: pct_start and div_factor of PyTorch's OneCycleLR,
# whose defaults are fastai's.
_RISE, _RISE_FACTOR = 0.3, 25


def find_rates(config: config_lib.Config, plateau_rate: float, epoch: int,
               steps: int) -> np.ndarray:
  """Returns the learning rate of each step of an epoch, [steps] float64.

  plateau: that of the plateau. cosine: from --learning_rate after the warm-up
  to --min_learning_rate at the end of the run, by half a cosine. Both rise
  linearly in the warm-up, from 0 before the first step. one_cycle: from 1/25 of
  --learning_rate up to it, and down to --min_learning_rate, each by half a
  cosine; the rise is the warm-up, or 30 % of the epochs without one. The
  momentum stays as it is.

  Args:
    config: of the run.
    plateau_rate: of the epoch, for --schedule=plateau.
    epoch: finished epochs.
    steps: of the epoch.

  Source: Loshchilov and Hutter, "SGDR", 2017, equation 5, without restarts;
  Smith and Topin, "Super-Convergence", 2018, section 3, in the two phases of
  PyTorch's OneCycleLR.
  """
  done = epoch + np.arange(1, steps + 1) / steps
  is_plateau = config.schedule == schedule.PLATEAU
  rate = plateau_rate if is_plateau else config.learning_rate
  rise = config.warmup_epochs
  if config.schedule == schedule.ONE_CYCLE:
    rise = rise or _RISE * config.epochs
    low = rate / _RISE_FACTOR
    rising = low + (rate - low) * _ease(done / rise)
  else:
    rising = rate * (np.minimum(1, done / rise) if rise else np.ones(steps))
  if is_plateau:
    return rising
  begun = done - 1 / steps
  fallen = _ease((begun - rise) / (config.epochs - rise))
  falling = rate + (config.min_learning_rate - rate) * fallen
  return np.where(done < rise, rising, falling)


def _ease(part: np.ndarray) -> np.ndarray:
  """Returns 0..1 along half a cosine, for parts of the way, clipped to 0..1."""
  return (1 - np.cos(np.pi * np.clip(part, 0, 1))) / 2


@dataclasses.dataclass(frozen=True)
class Plateau:
  """A learning rate that is cut when a metric has not improved for a while.

  A value improves when it is above best + least gain (mode 'max') or below
  best - least gain (mode 'min'). The first finite value always improves; None
  and values that are not finite never do. After patience epochs in a row
  without improvement the rate is multiplied by factor, but not below
  min_learning_rate, and the count starts again at 0; best is kept.

  Attributes:
    learning_rate: the rate to train the next epoch with.
    factor: what a plateau multiplies the rate by, 0 < factor <= 1.
    patience: epochs in a row without improvement before a cut, >= 1.
    threshold: the least gain, which a gain must exceed, >= 0.
    min_learning_rate: floor of the rate, >= 0.
    mode: 'max' if higher values are better, 'min' if lower ones are.
    relative: whether the least gain is threshold * |best|.
    best: best value so far, None before the first.
    bad_epochs: epochs in a row without improvement since the last cut.
  """
  learning_rate: float
  factor: float = 0.5
  patience: int = 30
  threshold: float = 0.0
  min_learning_rate: float = 0.0
  mode: str = 'max'
  relative: bool = False
  best: float | None = None
  bad_epochs: int = 0

  def __post_init__(self):
    checks = (
        ('mode', f'one of {", ".join(MODES)}', self.mode in MODES),
        ('factor', 'above 0 and at most 1', 0 < self.factor <= 1),
        ('patience', 'at least 1', self.patience >= 1),
        ('threshold', 'at least 0', self.threshold >= 0),
        ('min_learning_rate', 'at least 0', self.min_learning_rate >= 0),
        ('learning_rate', 'above 0', self.learning_rate > 0),
    )
    for name, expected, holds in checks:
      if not holds:
        raise ValueError(f'Expected {name} to be {expected}, received '
                         f'{getattr(self, name)!r}.')

  def improves(self, value: float | None) -> bool:
    """Returns whether the value beats the best by more than the least gain."""
    if value is None or not math.isfinite(value):
      return False
    if self.best is None:
      return True
    gain = value - self.best if self.mode == 'max' else self.best - value
    return gain > self.threshold * (abs(self.best) if self.relative else 1)

  def update(self, value: float | None) -> 'Plateau':
    """Returns the plateau after an epoch with this value of the metric."""
    if self.improves(value):
      return dataclasses.replace(self, best=float(value), bad_epochs=0)
    if self.bad_epochs + 1 < self.patience:
      return dataclasses.replace(self, bad_epochs=self.bad_epochs + 1)
    # A rate that starts below the floor is not raised.
    floor = min(self.learning_rate, self.min_learning_rate)
    rate = max(self.learning_rate * self.factor, floor)
    return dataclasses.replace(self, learning_rate=rate, bad_epochs=0)

  def to_dict(self) -> dict[str, Any]:
    """Returns settings and state as JSON types."""
    return dataclasses.asdict(self)

  @classmethod
  def from_dict(cls, values: dict[str, Any]) -> 'Plateau':
    """Returns the plateau that to_dict() wrote.

    Raises:
      TypeError: a key is unknown.
      ValueError: a setting is out of range.
    """
    return cls(**values)
