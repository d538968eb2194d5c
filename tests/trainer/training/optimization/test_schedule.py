"""Tests of trainer.training.optimization.schedule."""

import dataclasses
import json
import math

import numpy as np
import pytest

from trainer import config as config_lib
from trainer.training.optimization import schedule


def _configure(**values):
  return config_lib.Config('', '', **values)


@pytest.mark.parametrize('warmup,epoch,want', [
    (0, 0, [0.5, 0.5, 0.5, 0.5]),
    (2, 0, [0.0625, 0.125, 0.1875, 0.25]),
    (1.5, 1, [0.5 * 5 / 6, 0.5, 0.5, 0.5]),
])
def test_the_rate_of_a_plateau_rises_linearly(warmup, epoch, want):
  config = _configure(warmup_epochs=warmup, learning_rate=7.0)
  np.testing.assert_allclose(schedule.find_rates(config, 0.5, epoch, 4), want)


def _run(config, steps=10):
  """The rates of a run, whose plateau has fallen, by epoch."""
  return np.array([
      schedule.find_rates(config, 1e-9, epoch, steps)
      for epoch in range(config.epochs)
  ])


def _assert_smooth(rates, most):
  """Neither within an epoch nor from one to the next do rates jump."""
  assert np.abs(np.diff(rates.ravel())).max() <= most


def test_cosine_falls_by_step_from_the_rate_to_the_lowest():
  config = _configure(schedule='cosine',
                      epochs=8,
                      learning_rate=0.4,
                      min_learning_rate=0.1)
  rates = _run(config)
  assert rates[0, 0] == 0.4 and rates[4, 0] == pytest.approx(0.25)
  assert 0.1 < rates[-1, -1] < 0.1002 and (np.diff(rates.ravel()) < 0).all()
  _assert_smooth(rates, 0.3 * np.pi / 2 / 80)
  # A quarter of the way: (1 + cos(pi / 4)) / 2 of the distance is left.
  assert rates[2, 0] == pytest.approx(0.1 + 0.3 * (1 + 0.5**0.5) / 2)


def test_cosine_begins_after_a_linear_warm_up():
  config = _configure(schedule='cosine',
                      epochs=6,
                      learning_rate=0.4,
                      warmup_epochs=1.5)
  rates = _run(config).ravel()
  np.testing.assert_allclose(rates[:15], 0.4 * np.arange(1, 16) / 15)
  assert rates[15] == pytest.approx(0.4) and (np.diff(rates[15:]) < 0).all()
  assert 0 < rates[-1] < 1e-3
  _assert_smooth(rates, 0.4 / 15 + 1e-9)


@pytest.mark.parametrize('warmup,rise', [(0.0, 3.0), (2.0, 2.0)])
def test_one_cycle_rises_from_a_25th_and_falls_by_cosines(warmup, rise):
  config = _configure(schedule='one_cycle',
                      epochs=10,
                      learning_rate=0.5,
                      warmup_epochs=warmup,
                      min_learning_rate=1e-4)
  rates = _run(config).ravel()
  top = int(rise * 10) - 1
  assert rates[top] == rates.max() == pytest.approx(0.5)
  assert 0.02 < rates[0] < 0.025
  assert rates[(top - 1) // 2] == pytest.approx(0.26, abs=0.03)
  assert (np.diff(rates[:top]) > 0).all()
  assert (np.diff(rates[top + 1:]) < 0).all()
  assert 1e-4 < rates[-1] < 4e-4
  _assert_smooth(rates, 0.5 * np.pi / 2 / (rise * 10) + 1e-9)


def test_rates_do_not_depend_on_how_an_epoch_is_cut():
  config = _configure(schedule='cosine', epochs=3)
  few, many = _run(config, 2), _run(config, 6)
  np.testing.assert_allclose(few, many[:, ::3])


def _rates(plateau, values):
  rates = []
  for value in values:
    plateau = plateau.update(value)
    rates.append(plateau.learning_rate)
  return rates


def test_halves_after_patience_epochs_and_counts_anew():
  plateau = schedule.Plateau(0.8, patience=2)
  rates = _rates(plateau, [.5, .5, .4, .5, .5, .6, .6, .6])
  assert rates == [.8, .8, .4, .4, .2, .2, .2, .1]


def test_mode_min_wants_less():
  plateau = schedule.Plateau(0.8, patience=1, mode='min')
  assert _rates(plateau, [3.0, 2.0, 2.5, 1.0]) == [.8, .8, .4, .4]


def test_gain_must_exceed_the_threshold():
  plateau = schedule.Plateau(0.8, patience=9, threshold=0.25).update(0.5)
  assert not plateau.improves(0.75)
  assert plateau.improves(0.7500001)


@pytest.mark.parametrize('mode,enough,short', [
    ('max', 0.5051, 0.5049),
    ('min', 0.4949, 0.4951),
])
def test_a_gain_can_be_relative_to_the_best(mode, enough, short):
  plateau = schedule.Plateau(0.8, threshold=0.01, mode=mode,
                             relative=True).update(0.5)
  assert plateau.improves(enough) and not plateau.improves(short)
  difference = dataclasses.replace(plateau, relative=False)
  assert not difference.improves(enough)


def test_small_gains_do_not_move_the_best():
  plateau = schedule.Plateau(0.8, patience=9, threshold=0.25)
  for value in (0.5, 0.7, 0.8):
    plateau = plateau.update(value)
  assert plateau.best == 0.8


@pytest.mark.parametrize('value', [math.nan, math.inf, -math.inf, None])
@pytest.mark.parametrize('mode', schedule.MODES)
def test_what_is_no_number_is_no_improvement(mode, value):
  plateau = schedule.Plateau(0.8, patience=2, mode=mode).update(value)
  assert (plateau.best, plateau.bad_epochs) == (None, 1)
  assert plateau.update(0.3).update(value).best == 0.3


def test_rate_stops_at_the_floor():
  plateau = schedule.Plateau(0.4, patience=1, min_learning_rate=0.15)
  assert _rates(plateau, [1, 1, 1, 1]) == [.4, .2, .15, .15]


def test_rate_under_the_floor_is_not_raised():
  plateau = schedule.Plateau(0.1, patience=1, min_learning_rate=0.5)
  assert _rates(plateau, [1, 1]) == [.1, .1]


def test_json_round_trip_in_mid_run():
  plateau = schedule.Plateau(0.3, patience=3, threshold=1e-3,
                             relative=True).update(.1)
  plateau = plateau.update(0.05)
  text = json.dumps(plateau.to_dict(), allow_nan=False)
  assert schedule.Plateau.from_dict(json.loads(text)) == plateau


def test_update_leaves_the_old_state_alone():
  plateau = schedule.Plateau(0.3)
  plateau.update(1.0)
  assert plateau == schedule.Plateau(0.3)


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
    schedule.Plateau(**({'learning_rate': 0.1} | setting))
