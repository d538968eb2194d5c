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
from trainer.network import depth
from trainer.run import workdir as workdir_lib
from trainer.start import description
from trainer.start import first_weights
from trainer.start import source
from trainer.start import transfer
from trainer.training import loop
from trainer.training import preparation

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
  line = 'Started from copy/fold0, epoch 1: 21 of 21 layers; 0 of the '
  assert line in capsys.readouterr().out
  assert (found['fresh'], found['unused'], found['seen']) == ([], 0, 0)
  shutil.rmtree(copy)  # a run that is continued needs no source
  about = tmp_path / 'new' / 'fold0' / workdir_lib.ABOUT_NAME
  about.unlink()  # the checkpoint has its entry, too
  loop.train(dataclasses.replace(config, epochs=2, init_from='elsewhere'))
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
                 validation='inner',
                 l2=0.1))
  said = ('was trained on 20 of the held-out images, so the scores of this '
          'fold are too good.')
  said_all = capsys.readouterr().out
  assert said in said_all and 'images of --validation=inner, so' not in said_all
  assert _about(tmp_path / 'new', 1)['seen'] == 20
  before, after = _weights(fold), _weights(tmp_path / 'new' / 'fold1')
  assert {
      name.split('/')[1]
      for name in before
      if (before[name] != after[name]).any()
  } == {'logits'}


def test_inner_images_that_a_model_has_seen_are_counted(made, tmp_path):
  config = _configure(made, tmp_path, init_from=str(made), validation='inner')
  records = preparation.load_records(config)
  inner = preparation.find_inner(config, records)
  model = build.build(config, records.spec, records.pixels(0), False)
  found = first_weights.load(config, records, model, inner)
  assert (found['seen'], found['seen_inner']) == (0, len(inner))
  assert (f'was trained on {len(inner)} of the images of --validation=inner, '
          'so what chooses') in description.describe(found)[-1]


def test_other_channels_and_classes_of_the_same_number_start_fresh(
    made, tmp_path):
  config = _configure(made, tmp_path, init_from=str(made))
  records = preparation.load_records(config)
  spec = dataclasses.replace(records.spec,
                             classes=records.spec.classes[::-1],
                             channels=records.spec.channels[::-1])
  model = build.build(config, records.spec, records.pixels(0), False)
  vars(records)['spec'] = spec  # as cached
  inner = np.zeros(0, np.int64)
  found = first_weights.load(config, records, model, inner)
  assert found['fresh'] == [
      'conv1 (other channels in the source)',
      'logits (other classes in the source)'
  ]
  assert found['unused'] == 2
  kaggle = dataclasses.replace(config, variant='kaggle')
  with pytest.raises(errors.DataError, match='variant=original, received kag'):
    first_weights.load(kaggle, records, model, inner)


def test_a_norm_before_the_first_convolution_belongs_to_the_channels(made):
  config = _configure(made, 'new', variant='kaggle')
  pixels = {'mean': [20] * 4, 'std': [30] * 4}
  model = build.build(config, specs.make(149, 4, 28), pixels, False)
  assert [each.name for each in depth.list_first(model)] == ['norm1', 'conv1']


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
  huge = {  # finite in float64 alone
      name: [np.full(each.shape, 1e308) for each in values]
      for name, values in found.values.items()
  }
  with pytest.raises(errors.DataError, match='not finite numbers, in conv2'):
    transfer.copy(model, huge, found.name)
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
        'activation': 'elu'
    }, 'run/fold0, epoch 1 was trained with --activation=prelu, received elu'),
    (lambda run: None, {
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
