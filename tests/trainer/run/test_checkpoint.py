"""checkpoint: what is saved comes back, and a damaged file is refused."""

import numpy as np
import pytest

from hpa_records.runtime import errors
from hpa_records.runtime.tensorflow import keras
from trainer import config as config_lib
from trainer.run import checkpoint
from trainer.training import optimizer as optimizer_lib

_OF = config_lib.Config('records', 'run').identity('abc')
_FIRST = {'epoch': 1, 'step': 0}


def _make(tmp_path, units=3, of=None):
  model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(units)])
  optimizer = optimizer_lib.make_optimizer(0.1, 0.9)
  optimizer.build(model.trainable_variables)
  return model, optimizer, checkpoint.Checkpoints(str(tmp_path / 'checkpoints'),
                                                  of or _OF, model, optimizer)


def test_restore_sets_weights_momentum_and_state(tmp_path):
  model, optimizer, checkpoints = _make(tmp_path)
  for _ in range(3):
    optimizer.apply([np.ones((2, 3), np.float32),
                     np.ones(3, np.float32)], model.trainable_variables)
  state = {'epoch': 3, 'step': 0, 'history': [1.5, None]}
  checkpoints.save((3, 0), 3, state)
  other, other_optimizer, fresh = _make(tmp_path)
  assert fresh.positions() == [(3, 0)]
  assert fresh.restore((3, 0)) == state
  for mine, theirs in zip([*model.variables, *optimizer.variables],
                          [*other.variables, *other_optimizer.variables]):
    np.testing.assert_array_equal(mine, theirs)


def test_the_newest_two_and_the_best_are_kept(tmp_path):
  _, _, checkpoints = _make(tmp_path)
  for epoch, best in ((1, 1), (2, 2), (3, 2), (4, 2), (5, 2)):
    checkpoints.save((epoch, 0), best, {})
  assert checkpoints.positions() == [(2, 0), (4, 0), (5, 0)]


def test_inside_an_epoch_the_newest_steps_are_kept(tmp_path):
  _, _, checkpoints = _make(tmp_path)
  kept = []
  for position in ((0, 5), (1, 0), (1, 5), (1, 10), (2, 0)):
    checkpoints.save(position, 1, {'at': position})
    kept.append(checkpoints.positions())
  assert kept == [[(0, 5)], [(0, 5), (1, 0)], [(1, 0), (1, 5)],
                  [(1, 0), (1, 5), (1, 10)], [(1, 0), (1, 10), (2, 0)]]


@pytest.mark.parametrize('value', [np.nan, np.inf])
def test_weights_that_are_no_number_are_not_saved(tmp_path, value):
  model, _, checkpoints = _make(tmp_path)
  checkpoints.save((1, 0), 1, {})
  model.variables[0].assign(np.full((2, 3), value))
  with pytest.raises(errors.StoppedEarly,
                     match='NaN or infinite: .*/kernel after epoch 1, step 7'):
    checkpoints.save((1, 7), 1, {})
  assert checkpoints.positions() == [(1, 0)]


def _stamp(path):
  return path.stat().st_ino, path.stat().st_mtime_ns


def test_a_newer_checkpoint_of_another_process_is_kept(tmp_path):
  _, _, slept = _make(tmp_path)
  _, _, finished = _make(tmp_path)
  slept.save((1, 0), 1, {})
  for epoch in (2, 3, 4):
    finished.save((epoch, 0), 1, {})
  slept.save((2, 0), 1, {})
  assert {(3, 0), (4, 0)} <= set(slept.positions())


def test_a_file_of_the_same_name_by_another_process_is_kept(tmp_path):
  _, _, one = _make(tmp_path)
  _, _, other = _make(tmp_path)
  one.save((1, 0), 9, {})
  other.save((1, 0), 9, {})  # in its place
  path = tmp_path / 'checkpoints' / 'epoch-00001.npz'
  stamp = _stamp(path)
  for epoch in (2, 3, 4):
    one.save((epoch, 0), 9, {})
  assert _stamp(path) == stamp


def test_names_that_no_training_writes_are_no_checkpoints(tmp_path):
  _, _, checkpoints = _make(tmp_path)
  for name in ('epoch-00001-step-0000000.npz', 'epoch-1.npz',
               'epoch-0000\u0661.npz', 'epoch-00001.npz.bak'):
    (tmp_path / 'checkpoints' / name).touch()
  assert not checkpoints.positions()


def test_a_cut_file_is_refused_with_its_path(tmp_path):
  _, _, checkpoints = _make(tmp_path)
  checkpoints.save((1, 0), 1, _FIRST)
  path = tmp_path / 'checkpoints' / 'epoch-00001.npz'
  path.write_bytes(path.read_bytes()[:-200])
  with pytest.raises(errors.DataError, match=str(path)):
    checkpoints.restore((1, 0))


def test_another_network_is_refused(tmp_path):
  _make(tmp_path)[2].save((1, 0), 1, _FIRST)
  with pytest.raises(errors.DataError, match=r'another network.*\(2, 4\)'):
    _make(tmp_path, units=4)[2].restore((1, 0))


@pytest.mark.parametrize('change,message', [
    ({
        'fold': 1
    }, 'fold 1, not 0'),
    ({
        'seed': 5
    }, 'seed 5, not 0'),
    ({
        'records': 'abd'
    }, 'records abd, not abc'),
    ({
        'l1': None
    }, 'l1 None, not 0.0'),
])
def test_one_of_another_run_is_refused(tmp_path, change, message):
  model, _, checkpoints = _make(tmp_path, of={**_OF, **change})
  checkpoints.save((1, 0), 1, _FIRST)
  with pytest.raises(errors.DataError, match=message):
    _make(tmp_path)[2].restore((1, 0))
  with pytest.raises(errors.DataError, match=message):
    checkpoint.load_weights(f'{tmp_path}/checkpoints', (1, 0), _OF, model)


def test_one_under_another_epochs_name_is_refused(tmp_path):
  model, _, checkpoints = _make(tmp_path)
  checkpoints.save((2, 0), 1, _FIRST)
  with pytest.raises(errors.DataError, match=r'\(it is of epoch 1, step 0\)'):
    checkpoint.load_weights(f'{tmp_path}/checkpoints', (2, 0), _OF, model)


@pytest.mark.parametrize('state', [{'x': [[]] * 1000}, {'x': 'y' * 50_000}])
def test_a_state_that_no_training_has_is_not_parsed(tmp_path, state):
  _, _, checkpoints = _make(tmp_path)
  checkpoints.save((1, 0), 1, state)
  with pytest.raises(errors.DataError, match='a state of .* letters'):
    checkpoints.restore((1, 0))
