"""checkpoint: what is saved comes back, and a damaged file is refused."""

import re

import numpy as np
import pytest

from hpa_records.runtime import errors
from hpa_records.runtime.tensorflow import keras
from tests.support import networks
from tests.support import specs
from trainer import config as config_lib
from trainer.network import applications
from trainer.recipe import optimization
from trainer.run import checkpoint
from trainer.training.optimization import optimizer as optimizer_lib

_OF = config_lib.Config('records', 'run').identity('abc')
_FIRST = {'epoch': 1, 'step': 0}


def _make(tmp_path, of=None, layers=(('logits', 3),)):
  first = last = keras.Input((2,))
  for name, size in layers:
    last = keras.layers.Dense(size, name=name)(last)
  model = keras.Model(first, last)
  optimizer = optimizer_lib.make_optimizer(
      optimization.Optimization(learning_rate=0.1), model)
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
    _make(tmp_path, layers=[('logits', 4)])[2].restore((1, 0))


def test_variables_are_stored_by_their_names(tmp_path):
  _make(tmp_path)  # numbers of Keras go on
  _make(tmp_path)[2].save((1, 0), 1, _FIRST)
  assert set(_load(tmp_path)) == {
      'model/logits/kernel', 'model/logits/bias', 'optimizer/iteration',
      'optimizer/learning_rate', 'optimizer/logits_kernel_momentum',
      'optimizer/logits_bias_momentum', 'state'
  }


def test_variables_in_another_order_get_their_own_values(tmp_path):
  model, _, checkpoints = _make(tmp_path, layers=[('a', 2), ('b', 2)])
  model.get_layer('a').kernel.assign(np.full((2, 2), 7))
  checkpoints.save((1, 0), 1, _FIRST)
  other, _, turned = _make(tmp_path, layers=[('b', 2), ('a', 2)])
  turned.restore((1, 0))
  assert (other.get_layer('a').kernel.numpy() == 7).all()
  found = checkpoint.load_weights(f'{tmp_path}/checkpoints', (1, 0), _OF, other)
  np.testing.assert_array_equal(found[2], np.full((2, 2), 7))


def _load(tmp_path):
  with np.load(tmp_path / 'checkpoints' / 'epoch-00001.npz') as file:
    return dict(file)


@pytest.mark.parametrize('name', [
    'model/logits/bias', 'optimizer/iteration',
    'optimizer/logits_kernel_momentum'
])
def test_a_variable_that_is_missing_is_named(tmp_path, name):
  model, _, checkpoints = _make(tmp_path)
  checkpoints.save((1, 0), 1, _FIRST)
  arrays = _load(tmp_path)
  del arrays[name]
  np.savez(tmp_path / 'checkpoints' / 'epoch-00001.npz', **arrays)
  with pytest.raises(errors.DataError, match=rf'\({name} is missing\)'):
    checkpoints.check((1, 0))
  if name.startswith('model/'):
    with pytest.raises(errors.DataError, match=rf'\({name} is missing\)'):
      checkpoint.load_weights(f'{tmp_path}/checkpoints', (1, 0), _OF, model)


@pytest.mark.parametrize('name', ['model/a\x1b[2J', '../a', 'model', '1'])
def test_a_variable_of_another_network_is_named(tmp_path, name):
  model, _, checkpoints = _make(tmp_path)
  checkpoints.save((1, 0), 1, _FIRST)
  np.savez(tmp_path / 'checkpoints' / 'epoch-00001.npz', **_load(tmp_path),
           **{name: np.zeros(3)})
  said = rf'\({re.escape(repr(name))} is no variable of the network'
  with pytest.raises(errors.DataError, match=said):
    checkpoints.restore((1, 0))
  with pytest.raises(errors.DataError, match=said):
    checkpoint.load_weights(f'{tmp_path}/checkpoints', (1, 0), _OF, model)


def test_one_of_an_earlier_version_is_refused(tmp_path):
  model, _, checkpoints = _make(tmp_path)
  checkpoints.save((1, 0), 1, _FIRST)
  path = tmp_path / 'checkpoints' / 'epoch-00001.npz'
  *arrays, state = _load(tmp_path).values()
  np.savez(path, **{str(i): each for i, each in enumerate(arrays)}, state=state)
  for read in (checkpoints.restore, checkpoints.check,
               lambda position: checkpoint.load_weights(
                   f'{tmp_path}/checkpoints', position, _OF, model)):
    with pytest.raises(errors.UnreadError) as told:
      read((1, 0))
    assert str(told.value).startswith(
        f'{path} was written by an earlier version, without')


class _Twins(keras.layers.Layer):
  """A layer with two variables of one name."""

  def build(self, _):
    self.pair = [self.add_weight((1,), name='twin') for _ in range(2)]

  def call(self, inputs):
    return inputs


def test_variables_of_one_name_are_refused():
  model = keras.Sequential([keras.Input((1,)), _Twins(name='a')])
  with pytest.raises(ValueError, match="2 variables, received 1: .*a/twin'"):
    checkpoint.name_variables(model)


def test_names_do_not_depend_on_earlier_networks():
  """Xception has layers that Keras names by their number in the process."""
  first, second = (checkpoint.name_variables(
      applications.build('xception', specs.make(71), **networks.CONSTANTS))
                   for _ in range(2))
  assert [*first] == [*second] and len(first) > 200


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


@pytest.mark.parametrize('state', [{'x': [[]] * 1000}, {'x': 'y' * 200_000}])
def test_a_state_that_no_training_has_is_not_parsed(tmp_path, state):
  _, _, checkpoints = _make(tmp_path)
  checkpoints.save((1, 0), 1, state)
  with pytest.raises(errors.DataError, match='a state of .* letters'):
    checkpoints.restore((1, 0))
