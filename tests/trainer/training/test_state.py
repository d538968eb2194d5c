"""state: what a checkpoint says of a run, and what moves its rate."""

import dataclasses
import json

import pytest

from trainer import config as config_lib
from trainer.training import state as state_lib

_CONFIG = config_lib.Config('r',
                            'w',
                            learning_rate=0.8,
                            plateau_monitor='val_loss',
                            plateau_patience=2,
                            plateau_factor=0.25,
                            plateau_threshold=0.5,
                            min_learning_rate=0.1)


def _train(config, values):
  """A state after epochs whose monitored score is as given."""
  state = state_lib.State.start(config)
  for epoch, value in enumerate(values, 1):
    row = {'learning_rate': state.plateau.learning_rate, 'loss': 0.3}
    finished = state.finish_epoch(value)
    finished.record(row, {
        config.plateau_monitor: value,
        'epoch': epoch,
        'loss': value
    })
  return state


def test_the_defaults_halve_the_rate_after_30_epochs():
  plateau = state_lib.State.start(config_lib.Config('r', 'w')).plateau
  assert (plateau.learning_rate, plateau.factor, plateau.patience,
          plateau.threshold, plateau.min_learning_rate,
          plateau.mode) == (0.1, 0.5, 30, 0.0, 0.0, 'max')


def test_the_flags_decide_when_and_how_far_the_rate_falls():
  # Less by 0.5 and a little counts, 0.4 does not.
  state = _train(_CONFIG, [3.0, 2.4, 2.1, 2.0, 2.0, 2.0, 2.0])
  rates = [row['learning_rate'] for row in state.history]
  assert rates == [0.8, 0.8, 0.8, 0.8, 0.2, 0.2, 0.1]


def test_the_best_epoch_is_that_of_the_monitored_score():
  for monitor, best in (('val_loss', 2), ('f1_macro', 3)):
    config = dataclasses.replace(_CONFIG, plateau_monitor=monitor)
    state = _train(config, [2.0, 1.0, 3.0, None])
    assert state.best_epoch == best
    assert state.best[monitor] == [2.0, 1.0, 3.0][best - 1]


@pytest.mark.parametrize('mode,values,best', [
    ('val_loss', [3.0, 2.8, 2.9], 2),
    ('f1_macro', [0.1, 0.3, 0.2], 2),
    ('f1_macro', [0.1, 0.3, 0.3], 2),
    ('f1_macro', [None, 0.1, float('nan'), 0.2,
                  float('inf')], 4),
    ('val_loss', [float('-inf'), None, 1.0], 3),
    ('f1_macro', [None, None], 1),
])
def test_the_best_epoch_is_the_best_below_the_plateau_s_threshold(
    mode, values, best):
  # A threshold of 0.5, which no gain reaches.
  state = _train(dataclasses.replace(_CONFIG, plateau_monitor=mode), values)
  assert state.best_epoch == best
  assert state.best_value == values[best - 1]
  assert state.plateau.learning_rate == 0.2  # it fell once


def test_an_epoch_is_recorded_while_the_next_one_is_trained():
  state = state_lib.State.start(_CONFIG)
  first = state.finish_epoch(2.0)
  state.step, state.loss_sum = 5, 1.5
  first.record({'loss': 0.3}, {'epoch': 1, 'loss': 2.0})
  assert (first.epoch, first.step, first.loss_sum) == (1, 0, 0.0)
  assert state.history == first.history and state.best == first.best
  second = state.finish_epoch(1.0)
  assert second.best['epoch'] == 1
  second.record({'loss': 0.2}, {'epoch': 2, 'loss': 1.0})
  assert second.best['epoch'] == 2 and second.best_epoch == 2


def test_training_stalls_so_many_epochs_after_the_best():
  state = _train(_CONFIG, [2.0, 1.0, 1.0, 1.0])
  assert [state.is_stalled(patience) for patience in (0, 1, 2, 3)
         ] == [False, True, True, False]


def test_it_comes_back_from_json_in_the_middle_of_an_epoch():
  state = _train(_CONFIG, [2.0, 1.0])
  state.step, state.loss_sum = 3, 1.25
  text = json.dumps(state.to_dict(), allow_nan=False)
  assert state_lib.State.from_dict(json.loads(text)) == state
  assert state.begun_epochs == 3


def test_it_keeps_what_a_fold_started_from():
  start = {
      'source': 'run/fold0, epoch 1',
      'taken': 1,
      'fresh': [],
      'unused': 0,
      'sha256': 'abc',
      'seen': 8,
      'seen_inner': None
  }
  values = state_lib.State.start(_CONFIG, start).to_dict()
  assert state_lib.State.from_dict(values).starting_weights == start
  with pytest.raises(ValueError, match='seen'):
    state_lib.State.from_dict({
        **values, 'starting_weights': {
            **start, 'seen': 'all'
        }
    })
  del values['starting_weights']  # as an earlier version had it
  assert not state_lib.State.from_dict(values).starting_weights


def test_a_state_whose_loss_is_summed_over_steps_is_refused():
  # As an earlier version had it, and no best value.
  values = state_lib.State.start(_CONFIG).to_dict()
  values['total'] = values.pop('loss_sum')
  with pytest.raises(ValueError, match='loss_sum: received None'):
    state_lib.State.from_dict(values)


def test_the_least_gain_can_be_relative():
  # A quarter of 2.0 is 0.5, of 1.4 it is 0.35, of 1.0 it is 0.25.
  config = dataclasses.replace(_CONFIG,
                               plateau_threshold=0.25,
                               plateau_relative=True)
  state = _train(config, [2.0, 1.6, 1.4, 1.1, 1.0, 0.8, 0.76, 0.9])
  assert state.best_epoch == 7
  rates = [row['learning_rate'] for row in state.history]
  assert rates == [0.8] * 7 + [0.2]


def test_an_unknown_key_is_refused():
  with pytest.raises(TypeError):
    state_lib.State.from_dict({
        **state_lib.State.start(_CONFIG).to_dict(), 'new': 1
    })


@pytest.mark.parametrize('row', [{
    'loss': 10**400
}, {
    'loss': float('inf')
}, {
    'loss': 1e308
}, {
    '\ud800': 1.0
}, {
    'loss': 'low'
}, {
    'loss': [1.0]
}])
def test_a_row_that_cannot_be_written_is_refused(row):
  state = _train(_CONFIG, [2.0])
  for name in ('best', 'history'):
    row = {'epoch': 1, **row}
    values = {**state.to_dict(), name: row if name == 'best' else [row]}
    with pytest.raises(ValueError, match='received'):
      state_lib.State.from_dict(values)


@pytest.mark.parametrize('changes', [{
    'epoch': 3
}, {
    'history': [{
        'epoch': 1
    }]
}, {
    'history': [{
        'epoch': 2
    }, {
        'epoch': 1
    }]
}, {
    'best': {
        'epoch': 1
    }
}])
def test_a_history_of_other_epochs_is_refused(changes):
  values = {**_train(_CONFIG, [2.0, 1.0]).to_dict(), **changes}
  with pytest.raises(ValueError, match='history: received . rows'):
    state_lib.State.from_dict(values)
