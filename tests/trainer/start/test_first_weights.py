"""first_weights: a fold that starts from another run, and is continued."""

import dataclasses
import json
import shutil

import numpy as np
import pytest

from hpa_records.runtime import errors
from tests.support import runs
from tests.support import specs
from trainer import config as config_lib
from trainer.network import build
from trainer.run import workdir as workdir_lib
from trainer.start import source
from trainer.start import transfer
from trainer.training import loop

_STILL = 1e-30  # a rate that changes no weight


def _configure(made, directory, **values):
  return config_lib.Config(
      **{
          'records': str(made.parent / 'records'),
          'workdir': str(directory),
          'distribute': 'cpu',
          'epochs': 1,
          'batch_size': 16,
          **values
      })


def _weights(fold, epoch=1):
  found = runs.arrays(fold / 'checkpoints' / f'epoch-{epoch:05d}.npz')
  return {name: each for name, each in found.items() if name[:5] == 'model'}


def _about(directory, fold=0):
  path = directory / f'fold{fold}' / workdir_lib.ABOUT_NAME
  return json.loads(path.read_text())['starting_weights']


def test_a_run_starts_once_from_the_fold_of_the_same_number(
    made, tmp_path, capsys):
  copy = shutil.copytree(made, tmp_path / 'copy')
  config = _configure(made,
                      tmp_path / 'new',
                      init_from=str(copy),
                      learning_rate=_STILL)
  loop.train(config)
  for name, value in _weights(made / 'fold0').items():
    np.testing.assert_array_equal(
        _weights(tmp_path / 'new' / 'fold0')[name], value)
  found = _about(tmp_path / 'new')
  line = f'Started from {copy}/fold0, epoch 1: 21 of 21 layers; 0 of the '
  assert line in capsys.readouterr().out
  assert (found['fresh'], found['unused'], found['seen']) == ([], 0, 0)
  shutil.rmtree(copy)  # a run that is continued needs no source
  loop.train(dataclasses.replace(config, epochs=2))
  assert _about(tmp_path / 'new') == found


def test_a_model_that_has_seen_the_held_out_images_is_named(
    made, tmp_path, capsys):
  fold = made / 'fold0'
  loop.train(
      _configure(made,
                 tmp_path / 'new',
                 init_from=str(fold),
                 fold=1,
                 freeze='all_but_head',
                 l2=0.1))
  said = ('was trained on 20 of the held-out images, so the scores of this '
          'fold are too good.')
  assert said in capsys.readouterr().out
  assert _about(tmp_path / 'new', 1)['seen'] == 20
  before, after = _weights(fold), _weights(tmp_path / 'new' / 'fold1')
  assert {
      name.split('/')[1]
      for name in before
      if (before[name] != after[name]).any()
  } == {'logits'}


def test_layers_of_other_shapes_and_names_start_fresh(made):
  config = _configure(made, 'new', activation='selu')
  spec = specs.make(32, 5, 12)
  pixels = {'mean': [20] * 5, 'std': [30] * 5}
  model = build.build(config, spec, pixels, False)
  fresh = [np.array(each) for each in model.get_layer('conv1').weights]
  found = source.read(str(made), 0)
  said = transfer.copy(model, found.values, found.name)
  assert said['fresh'] == [
      'conv1 (kernel (3, 3, 4, 32), not (3, 3, 5, 32))',
      'logits (kernel (256, 28), not (256, 12))'
  ]
  assert said['taken'] == 9 and said['unused'] == 2 + 8 + 2
  for before, each in zip(fresh, model.get_layer('conv1').weights):
    np.testing.assert_array_equal(before, each)
  np.testing.assert_array_equal(
      model.get_layer('hidden2').kernel, found.values['hidden2'][0])
  assert len(found.trained) == 20


@pytest.mark.parametrize('damage, changes, message', [
    (lambda run: None, {
        'fold': 1
    }, 'init_from=.* has no fold 1, only 0; .*pass the folder of one'),
    (lambda run: (run / 'fold0' / 'metrics.json').unlink(), {},
     'fold0 is no finished fold, metrics.json is missing'),
    (lambda run:
     (run / 'fold0' / 'checkpoints' / 'epoch-00001.npz').write_bytes(b'x'), {},
     'epoch-00001.npz is missing or damaged'),
    (shutil.rmtree, {}, 'is no folder of a run or fold'),
    (lambda run: None, {
        'activation': 'selu',
        'model': 'resnet50',
        'learning_rate': 0.01
    }, 'No layer of .* has the name and shape of one of resnet50'),
    (lambda run: None, {
        'activation': 'elu',
        'variant': 'original',
        'freeze': 'stem',
        'input_scaling': 'image',
        'seed': 1,
        'records': 'other'
    }, '--freeze=stem would keep random weights, .*: conv1 .kernel'),
])
def test_sources_that_do_not_fit_are_refused_in_one_line(
    run, made, other_run, tmp_path, damage, changes, message):
  damage(run)
  if 'records' in changes:
    changes = {**changes, 'records': str(other_run.parent / 'records')}
  config = _configure(made, tmp_path / 'new', init_from=str(run), **changes)
  with pytest.raises(errors.DataError, match=message) as caught:
    loop.train(config)
  assert '\n' not in str(caught.value)
  assert not workdir_lib.list_files(str(tmp_path / 'new' / 'fold0'))
