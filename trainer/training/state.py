"""The state of a training that a checkpoint holds beside the weights."""

import dataclasses
import math
from typing import Any

from hpa_records.runtime import json_text
from trainer import config as config_lib
from trainer import setting
from trainer.run import fold_form
from trainer.training.optimization import schedule

_COUNTS = ('epoch', 'step', 'best_epoch')
_NUMBER = (int, float)
# The form for json_text.check_form.
_FORM = {
    **dict.fromkeys(_COUNTS, int),
    'loss_sum': _NUMBER,
    'best_value': (*_NUMBER, type(None)),
    'best': {},
    'history': [{
        'epoch': int
    }],
    'plateau': {
        'learning_rate': _NUMBER,
        'factor': _NUMBER,
        'patience': int,
        'threshold': _NUMBER,
        'min_learning_rate': _NUMBER,
        'mode': str,
        'relative': bool,
        'best': (int, float, type(None)),
        'bad_epochs': int,
    },
}


@dataclasses.dataclass
class State:
  """The state of a fold's training.

  Attributes:
    plateau: the learning rate of --schedule=plateau and its state.
    epoch: finished epochs.
    step: finished steps of the next epoch.
    loss_sum: of the images that those steps drew.
    best_epoch: number of the epoch with the best finite monitored value, the
      first of equal ones, from 1; 0 before the first epoch.
    best_value: that epoch's monitored value; None if no value was finite.
    best: that epoch's metrics.
    history: one row an epoch.
    starting_weights: of start.first_weights.load; {} for fresh weights.
  """
  plateau: schedule.Plateau
  epoch: int = 0
  step: int = 0
  loss_sum: float = 0.0
  best_epoch: int = 0
  best_value: float | None = None
  best: dict[str, Any] = dataclasses.field(default_factory=dict)
  history: list[dict[str, Any]] = dataclasses.field(default_factory=list)
  starting_weights: dict[str, Any] = dataclasses.field(default_factory=dict)

  @classmethod
  def start(cls,
            config: config_lib.Config,
            starting_weights: dict[str, Any] | None = None) -> 'State':
    """Returns the state before the first epoch.

    Args:
      config: of the run.
      starting_weights: as of the attribute.
    """
    return cls(schedule.Plateau(config.learning_rate, config.plateau_factor,
                                config.plateau_patience,
                                config.plateau_threshold,
                                config.min_learning_rate, config.monitor_mode,
                                config.plateau_relative),
               starting_weights=starting_weights or {})

  @property
  def begun_epochs(self) -> int:
    """Number of epochs that are finished or started."""
    return self.epoch + (self.step > 0)

  def finish_epoch(self, value: float | None) -> 'State':
    """Updates all but history and best at the end of an epoch.

    Args:
      value: of the metric for the plateau and the best epoch.

    Returns:
      A copy to complete with record, which later epochs do not change.
    """
    value = math.nan if value is None else value
    self.epoch, self.step, self.loss_sum = self.epoch + 1, 0, 0.0
    if self._is_best(value):
      self.best_epoch, self.best_value = self.epoch, float(value)
    elif not self.best_epoch:
      self.best_epoch = self.epoch
    self.plateau = self.plateau.update(value)
    return dataclasses.replace(self)

  def _is_best(self, value: float) -> bool:
    """Returns whether a monitored value is better than all before it.

    The plateau does not tell: it passes over gains below its threshold.
    """
    if self.best_value is None or not math.isfinite(value):
      return math.isfinite(value)
    if self.plateau.mode == 'max':
      return value > self.best_value
    return value < self.best_value

  def record(self, row: dict[str, Any], metrics: dict[str, Any]) -> None:
    """Adds the last epoch to the history, and to best if it is the best.

    Copies of the state share both.

    Args:
      row: numbers of the epoch's training, and of the images that choose.
      metrics: of the held-out fold after it.
    """
    if self.best_epoch == self.epoch:
      self.best.clear()
      self.best.update(metrics)
    self.history.append({**metrics, **row})

  def is_stalled(self, patience: int) -> bool:
    """Returns whether the best epoch is at least patience epochs back.

    Args:
      patience: epochs; 0 for never.
    """
    return bool(patience) and self.epoch - self.best_epoch >= patience

  def to_dict(self) -> dict[str, Any]:
    """Returns the state as JSON types."""
    return {**dataclasses.asdict(self), 'plateau': self.plateau.to_dict()}

  @classmethod
  def from_dict(cls, values: dict[str, Any]) -> 'State':
    """Returns the state that to_dict() wrote.

    Raises:
      TypeError: a key is unknown or missing.
      ValueError: a setting is out of range, or the history does not match.
    """
    json_text.check_form(values, _FORM, 'state')
    fold_form.check_start(values.get('starting_weights', {}))
    if not 0 <= values['best_epoch'] <= values['epoch'] or values['step'] < 0:
      raise ValueError('epochs and steps: received ' +
                       str([values[name] for name in _COUNTS]))
    for row in (values['best'], *values['history']):
      json_text.check_form(list(row.values()), [(*_NUMBER, type(None))], 'row')
    for each in (values, values['plateau'], values['best'], *values['history']):
      _check_numbers(each)
    epochs = [row['epoch'] for row in values['history']]
    best = values['best'].get('epoch', 0)
    counted = list(range(1, len(epochs) + 1))
    if epochs != counted or (len(epochs), best) != (values['epoch'],
                                                    values['best_epoch']):
      raise ValueError(
          f'history: received {len(epochs)} rows and the best epoch {best}, '
          f'after epoch {values["epoch"]} with the best {values["best_epoch"]}')
    plateau = schedule.Plateau.from_dict(values['plateau'])
    return cls(**{**values, 'plateau': plateau})


def _check_numbers(values: dict[str, Any]) -> None:
  """Refuses numbers and names that the files of a fold cannot hold."""
  for name, value in values.items():
    is_number = isinstance(value, _NUMBER)
    if not name.isprintable() or (is_number and
                                  not abs(value) <= setting.LARGEST_FLOAT):
      raise ValueError(f'{name!r:.40}: received {value!r:.40}')
