"""Settings of epochs, learning rates, and the scores that decide."""

import dataclasses
import functools

from trainer import setting

VAL_LOSS, INNER = 'val_loss', 'inner'  # values that the training asks for
MONITORS = ('f1_macro', 'f1_micro', 'auc_macro', 'accuracy_argmax', VAL_LOSS)
VALIDATIONS = ('heldout', INNER)
PLATEAU, COSINE, ONE_CYCLE = SCHEDULES = ('plateau', 'cosine', 'one_cycle')

_define = functools.partial(setting.define, 'Schedule and metrics')


@dataclasses.dataclass(frozen=True, kw_only=True)
class Schedule:
  """How long a run trains, at which rates, and what it is judged by."""
  epochs: int = _define(
      'Epochs to train for; may change on resume with --schedule=plateau.',
      80,
      within=(1, 10**5),  # which the names of checkpoints hold
      is_free=True)
  schedule: str = _define(
      'Learning rate: lower after a plateau, or by step, in one cosine, or up '
      'and down once.',
      PLATEAU,
      choices=SCHEDULES)
  warmup_epochs: float = _define(
      'Epochs over which the rate rises, such as 0.5; 0: none, with one_cycle '
      '30 % of --epochs.', 0.0, **setting.FROM_0)
  validation: str = _define(
      'What lowers the rate and picks the best epoch: the held-out fold, or '
      'inner: a tenth of the training folds, which is not trained on.',
      'heldout',
      choices=VALIDATIONS)
  plateau_monitor: str = _define(
      'Score that decides; by default macro F1, with --loss=softmax accuracy.',
      '',
      choices=('', *MONITORS))
  plateau_patience: int = _define(
      'Epochs without improvement before the rate falls.',
      30,
      within=(1, setting.MOST))
  plateau_factor: float = _define('Factor on the learning rate at a plateau.',
                                  0.5,
                                  within=(1e-9, 1))
  plateau_threshold: float = _define(
      'Smallest change of the metric that counts.',
      0.0,
      within=(0, setting.LARGEST_FLOAT))
  plateau_relative: bool = _define(
      'Multiply --plateau_threshold by the best value.', False)
  min_learning_rate: float = _define('Lowest rate.',
                                     0.0,
                                     within=(0, setting.LARGEST_FLOAT))
  stop_patience: int = _define('Most epochs after the best; 0: no limit.',
                               0,
                               within=(0, setting.MOST))
  eval_batch_size: int = _define(
      'Largest batch of evaluation; 0: by the memory of the device.',
      0,
      within=(0, setting.MOST))
  threshold: float = _define('Classes with a higher probability are predicted.',
                             0.5,
                             within=(0, 1))


def describe_chosen(settings: Schedule) -> str:
  """Returns what the score of --plateau_monitor chooses, for sentences."""
  by_plateau = settings.schedule == PLATEAU
  return f'{"the rate and " if by_plateau else ""}the best epoch'
