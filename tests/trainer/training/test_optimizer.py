"""Tests of trainer.training.optimizer."""

import dataclasses
import json
import math

import numpy as np
import pytest

from hpa_records.runtime.tensorflow import tf
from trainer.training import optimizer as optimizer_lib


def _rates(plateau, values):
  rates = []
  for value in values:
    plateau = plateau.update(value)
    rates.append(plateau.learning_rate)
  return rates


def test_sgd_with_momentum_by_hand():
  optimizer = optimizer_lib.make_optimizer(0.1, 0.9)
  weight = tf.Variable(1.0)
  optimizer.apply([tf.constant(2.0)], [weight])
  assert weight.numpy() == pytest.approx(0.8)  # velocity -0.2
  optimizer.apply([tf.constant(2.0)], [weight])
  assert weight.numpy() == pytest.approx(0.42)  # 0.9 * -0.2 - 0.2


def test_rate_of_the_optimizer_can_be_assigned():
  optimizer = optimizer_lib.make_optimizer(0.1, 0.9)
  optimizer.learning_rate.assign(0.05)
  np.testing.assert_allclose(optimizer.learning_rate.numpy(), 0.05)


def test_halves_after_patience_epochs_and_counts_anew():
  plateau = optimizer_lib.Plateau(0.8, patience=2)
  rates = _rates(plateau, [.5, .5, .4, .5, .5, .6, .6, .6])
  assert rates == [.8, .8, .4, .4, .2, .2, .2, .1]


def test_mode_min_wants_less():
  plateau = optimizer_lib.Plateau(0.8, patience=1, mode='min')
  assert _rates(plateau, [3.0, 2.0, 2.5, 1.0]) == [.8, .8, .4, .4]


def test_gain_must_exceed_the_threshold():
  plateau = optimizer_lib.Plateau(0.8, patience=9, threshold=0.25).update(0.5)
  assert not plateau.improves(0.75)
  assert plateau.improves(0.7500001)


@pytest.mark.parametrize('mode,enough,short', [
    ('max', 0.5051, 0.5049),
    ('min', 0.4949, 0.4951),
])
def test_a_gain_can_be_relative_to_the_best(mode, enough, short):
  plateau = optimizer_lib.Plateau(0.8, threshold=0.01, mode=mode,
                                  relative=True).update(0.5)
  assert plateau.improves(enough) and not plateau.improves(short)
  difference = dataclasses.replace(plateau, relative=False)
  assert not difference.improves(enough)


def test_small_gains_do_not_move_the_best():
  plateau = optimizer_lib.Plateau(0.8, patience=9, threshold=0.25)
  for value in (0.5, 0.7, 0.8):
    plateau = plateau.update(value)
  assert plateau.best == 0.8


@pytest.mark.parametrize('value', [math.nan, math.inf, -math.inf, None])
@pytest.mark.parametrize('mode', optimizer_lib.MODES)
def test_what_is_no_number_is_no_improvement(mode, value):
  plateau = optimizer_lib.Plateau(0.8, patience=2, mode=mode).update(value)
  assert (plateau.best, plateau.bad_epochs) == (None, 1)
  assert plateau.update(0.3).update(value).best == 0.3


def test_rate_stops_at_the_floor():
  plateau = optimizer_lib.Plateau(0.4, patience=1, min_learning_rate=0.15)
  assert _rates(plateau, [1, 1, 1, 1]) == [.4, .2, .15, .15]


def test_rate_under_the_floor_is_not_raised():
  plateau = optimizer_lib.Plateau(0.1, patience=1, min_learning_rate=0.5)
  assert _rates(plateau, [1, 1]) == [.1, .1]


def test_json_round_trip_in_mid_run():
  plateau = optimizer_lib.Plateau(0.3,
                                  patience=3,
                                  threshold=1e-3,
                                  relative=True).update(.1)
  plateau = plateau.update(0.05)
  text = json.dumps(plateau.to_dict(), allow_nan=False)
  assert optimizer_lib.Plateau.from_dict(json.loads(text)) == plateau


def test_update_leaves_the_old_state_alone():
  plateau = optimizer_lib.Plateau(0.3)
  plateau.update(1.0)
  assert plateau == optimizer_lib.Plateau(0.3)


@pytest.mark.parametrize('setting', [
    {
        'mode': 'up'
    },
    {
        'factor': 0.0
    },
    {
        'factor': 1.1
    },
    {
        'patience': 0
    },
    {
        'threshold': -1.0
    },
    {
        'min_learning_rate': -1.0
    },
    {
        'learning_rate': 0.0
    },
])
def test_wrong_setting_is_named(setting):
  name, value = next(iter(setting.items()))
  with pytest.raises(ValueError, match=f'Expected {name} .*{value!r}'):
    optimizer_lib.Plateau(**({'learning_rate': 0.1} | setting))
