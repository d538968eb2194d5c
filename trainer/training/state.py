"""What a checkpoint holds beside the weights: where a run stands."""

import dataclasses
import math
from typing import Any

from hpa_records.runtime import json_text
from trainer import config as config_lib
from trainer.training import optimizer

_COUNTS = ('epoch', 'step', 'best_epoch')
_NUMBER = (int, float)
# As json_text.check_form takes it.
_FORM = {
    **dict.fromkeys(_COUNTS, int),
    'total': _NUMBER,
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
        'best': (int, float, type(None)),
        'bad_epochs': int,
    },
}


@dataclasses.dataclass
class State:
  """Where a fold's training stands.

  Attributes:
    plateau: the learning rate's state.
    epoch: finished epochs.
    step: finished steps of the next epoch.
    total: sum of those steps' losses.
    best_epoch: finished epochs at the best monitored score; 0 before any.
    best: that epoch's scores.
    history: one row an epoch.
  """
  plateau: optimizer.Plateau
  epoch: int = 0
  step: int = 0
  total: float = 0.0
  best_epoch: int = 0
  best: dict[str, Any] = dataclasses.field(default_factory=dict)
  history: list[dict[str, Any]] = dataclasses.field(default_factory=list)

  @classmethod
  def start(cls, config: config_lib.Config) -> 'State':
    """Returns where a run begins."""
    return cls(
        optimizer.Plateau(config.learning_rate, config.plateau_factor,
                          config.plateau_patience, config.plateau_threshold,
                          config.min_learning_rate, config.monitor_mode))

  @property
  def begun_epochs(self) -> int:
    """Epochs that are finished or begun."""
    return self.epoch + (self.step > 0)

  def finish_epoch(self, row: dict[str, Any], scores: dict[str, Any],
                   monitor: str) -> None:
    """Moves on to the next epoch.

    Args:
      row: what the epoch's training gave.
      scores: what the held-out fold's evaluation after it gave.
      monitor: the score that moves the plateau and picks the best epoch.
    """
    value = scores[monitor]
    value = math.nan if value is None else value
    if self.plateau.improves(value) or not self.best:
      self.best_epoch, self.best = self.epoch + 1, scores
    self.epoch, self.step, self.total = self.epoch + 1, 0, 0.0
    self.plateau = self.plateau.update(value)
    self.history.append({**scores, **row, 'val_loss': scores['loss']})

  def is_stalled(self, patience: int) -> bool:
    """Returns whether the best epoch is that many epochs back; 0 is never."""
    return bool(patience) and self.epoch - self.best_epoch >= patience

  def to_dict(self) -> dict[str, Any]:
    """Returns the state as JSON types."""
    return {**dataclasses.asdict(self), 'plateau': self.plateau.to_dict()}

  @classmethod
  def from_dict(cls, values: dict[str, Any]) -> 'State':
    """Returns the state that to_dict() wrote.

    Raises:
      TypeError: a key is unknown or missing.
      ValueError: a setting is out of range, or the history is of other epochs.
    """
    json_text.check_form(values, _FORM, 'state')
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
    plateau = optimizer.Plateau.from_dict(values['plateau'])
    return cls(**{**values, 'plateau': plateau})


def _check_numbers(values: dict[str, Any]) -> None:
  """Refuses numbers, or names of them, that no file of a fold can hold."""
  for name, value in values.items():
    is_number = isinstance(value, _NUMBER)
    if not name.isprintable() or (is_number and
                                  not abs(value) <= config_lib.LARGEST_FLOAT):
      raise ValueError(f'{name!r:.40}: received {value!r:.40}')
