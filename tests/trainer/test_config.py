"""config: checks, JSON, what may change when a run goes on."""

import dataclasses
import re

import pytest

from hpa_records.runtime import errors
from trainer import config

_CONFIG = config.Config(records='r', workdir='w')


def test_defaults_are_table_1_of_the_paper():
  values = dataclasses.asdict(_CONFIG)
  paper = {
      'epochs': 80,
      'batch_size': 80,
      'learning_rate': 0.1,
      'momentum': 0.9,
      'plateau_factor': 0.5
  }
  assert {name: values[name] for name in paper} == paper


@pytest.mark.parametrize('name,value', [
    ('activation', 'tanh'),
    ('variant', 'other'),
    ('augment', 'some'),
    ('dropout_mask', 'epoch'),
    ('fold', -1),
    ('epochs', 0),
    ('batch_size', 0),
    ('learning_rate', -1.0),
    ('learning_rate', float('nan')),
    ('momentum', 1.0),
    ('ema', 1.0),
    ('label_smoothing', 1.0),
    ('accumulate', 0),
    ('optimizer', 'adam'),
    ('schedule', 'step'),
    ('class_weights', 'balanced'),
    ('clip_norm', -1.0),
    ('plateau_factor', 1.0),
    ('plateau_patience', 0),
    ('seed', 2**63),
    *((name, 1e308)
      for name in ('learning_rate', 'clip_norm', 'l1', 'l2',
                   'plateau_threshold', 'min_learning_rate', 'warmup_epochs')),
])
def test_values_out_of_range_are_refused(name, value):
  with pytest.raises(errors.DataError,
                     match=f'Expected --{name} .*{re.escape(str(value))}'):
    dataclasses.replace(_CONFIG, **{name: value})


@pytest.mark.parametrize('name,value', [
    ('epochs', 2.0),
    ('epochs', True),
    ('epochs', None),
    ('learning_rate', '0.1'),
    ('learning_rate', 10**400),
    ('profile', 1),
    ('workdir', 7),
    ('records', ['r']),
])
def test_values_of_another_type_are_refused(name, value):
  with pytest.raises(errors.DataError, match=f'Expected --{name} as '):
    dataclasses.replace(_CONFIG, **{name: value})


def test_loss_is_better_when_it_is_less():
  assert _CONFIG.monitor_mode == 'max'
  assert dataclasses.replace(_CONFIG,
                             plateau_monitor='val_loss').monitor_mode == 'min'


@pytest.mark.parametrize('loss,monitor', [
    ('bce', 'f1_macro'),
    ('focal_lovasz', 'f1_macro'),
    ('softmax', 'accuracy_argmax'),
])
def test_the_monitored_metric_follows_the_loss(loss, monitor):
  found = config.Config('r', 'w', loss=loss)
  assert found.plateau_monitor == monitor
  assert found.is_single_label == (loss == 'softmax')
  chosen = config.Config('r', 'w', loss=loss, plateau_monitor='auc_macro')
  assert chosen.plateau_monitor == 'auc_macro'


@pytest.mark.parametrize('model,activation', [
    ('gapnet_pl', 'prelu'),
    ('densenet121', 'relu'),
    ('resnet50', 'relu'),
    ('xception', 'relu'),
    ('efficientnetv2_s', 'swish'),
    ('convnext_tiny', 'gelu'),
    ('deeploc_gapnet', 'selu'),
    ('alexnet', 'relu'),
])
def test_each_network_has_its_own_activation_unless_one_is_chosen(
    model, activation):
  assert config.Config('r', 'w', model=model).activation == activation
  chosen = config.Config('r', 'w', model=model, activation='selu')
  assert chosen.activation == 'selu'


@pytest.mark.parametrize('changes,message', [
    ({
        'pretrained': 'imagenet'
    }, 'no weights of imagenet for --model=gapnet_pl'),
    ({
        'pretrained': 'imagenet',
        'model': 'resnet18'
    }, 'for --model=resnet18; pass one of densenet121, .*, convnext_tiny, or'),
    ({
        'pretrained': 'imagenet',
        'init_from': 'run',
        'model': 'resnet50'
    }, 'Expected one of --pretrained and --init_from, .*=run'),
    ({
        'pretrained': 'imagenet',
        'model': 'resnet50',
        'activation': 'selu'
    }, 'for --model=resnet50 are for --activation=relu, received selu'),
    ({
        'weights_file': 'x.h5'
    }, 'Expected --pretrained=imagenet with --weights_file=x.h5'),
    ({
        'freeze': 'stem'
    }, '--freeze=stem would keep random weights'),
])
def test_starting_weights_that_do_not_fit_each_other_are_refused(
    changes, message):
  with pytest.raises(errors.DataError, match=message):
    config.Config('r', 'w', **changes)


@pytest.mark.parametrize('name,message', [
    ('clip_norm', 'of 0, or at least 1e-30'),
    ('warmup_epochs', 'of 0, or at least 1e-30'),
    ('learning_rate', 'of 0, or at least 1e-30'),
])
def test_numbers_that_devices_take_for_0_are_refused(name, message):
  with pytest.raises(errors.DataError, match=f'--{name} {message}'):
    dataclasses.replace(_CONFIG, **{name: 1e-40})


_REMOTE = {'records': 'gs://b/r', 'distribute': 'tpu', 'tpu': 'node-1'}


@pytest.mark.parametrize('name,value', [
    ('records', 'r'),
    ('records', 's3://b/r'),
    ('stage_dir', 'copy'),
    ('data_service', 'grpc://host:5050'),
    ('reader', 'indexed'),
    ('cache', 'host'),
    ('cache', 'device'),
])
def test_input_that_a_remote_tpu_cannot_read_is_refused(name, value):
  with pytest.raises(errors.DataError,
                     match=f'--tpu=node-1 cannot use --{name}={value}: '):
    dataclasses.replace(_CONFIG, **{**_REMOTE, name: value})
  dataclasses.replace(_CONFIG, **{**_REMOTE, name: value, 'tpu': 'local'})


@pytest.mark.parametrize('reader', ['auto', 'streaming'])
def test_a_remote_tpu_streams_records_at_gs(reader):
  found = dataclasses.replace(_CONFIG, **_REMOTE, reader=reader)
  assert found.tpu == 'node-1'


@pytest.mark.parametrize('flags', [{'cache': 'disk'}, {'cache_dir': 'cache'}])
def test_a_disk_cache_and_its_folder_come_together(flags):
  with pytest.raises(errors.DataError,
                     match='--cache=disk and --cache_dir tog'):
    config.Config('', '', **flags)


@pytest.mark.parametrize('optimizer,rate', [
    ('sgd', 0.1),
    ('adamw', 1e-3),
    ('lion', 1e-4),
])
def test_each_optimizer_has_its_own_rate_unless_one_is_chosen(optimizer, rate):
  assert config.Config('r', 'w', optimizer=optimizer).learning_rate == rate
  chosen = config.Config('r', 'w', optimizer=optimizer, learning_rate=0.5)
  assert chosen.learning_rate == 0.5


@pytest.mark.parametrize('values,message', [
    ({
        'loss': 'lovasz_softmax',
        'accumulate': 2
    }, '--accumulate=1 with --loss=lovasz_softmax.* received 2'),
    ({
        'loss': 'focal_lovasz',
        'class_weights': 'inverse'
    }, '--class_weights=none with --loss=focal_lovasz.* received inverse'),
    ({
        'schedule': 'cosine',
        'epochs': 4,
        'warmup_epochs': 4
    }, '--warmup_epochs below --epochs=4 with --schedule=cosine, received 4'),
    ({
        'schedule': 'one_cycle',
        'min_learning_rate': 0.5
    }, '--schedule=one_cycle falls .* expected at most 0.1, received 0.5'),
])
def test_settings_of_the_recipe_that_exclude_each_other(values, message):
  with pytest.raises(errors.DataError, match=message):
    config.Config('r', 'w', **values)


def test_epochs_belong_to_a_run_whose_rates_they_decide():
  assert 'epochs' not in _CONFIG.identity('abc')
  for schedule in ('cosine', 'one_cycle'):
    found = config.Config('r', 'w', schedule=schedule, epochs=7)
    assert found.identity('abc')['epochs'] == 7
