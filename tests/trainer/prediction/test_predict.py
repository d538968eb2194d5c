"""ensemble and predict: new images predicted by the models of real runs."""

import dataclasses
import json
import pathlib
import re
import shutil

import cv2
import numpy as np
import pandas as pd
import pytest

from hpa_records.conversion import convert
from hpa_records.conversion import shard_plan
from hpa_records.datasets import description
from hpa_records.format import spec as spec_lib
from hpa_records.ingest import input_tables
from hpa_records.ingest import issue
from hpa_records.ingest import sample_table
from hpa_records.reading import inference_source
from hpa_records.runtime import errors
from tests.support import fakes
from tests.support import prestarted
from trainer import config as config_lib
from trainer.model import views as views_lib
from trainer.prediction import ensemble
from trainer.prediction import predict
from trainer.run import arrays as arrays_lib
from trainer.scoring import thresholds
from trainer import strategy
from trainer.training import loop

_SIZE = 32
_SPEC = description.default().spec(_SIZE)
_NAMES = list(_SPEC.classes)
_ON_TWO_DEVICES = '''
import runpy, sys
from hpa_records.runtime.tensorflow import tf
cpu = tf.config.list_physical_devices('CPU')[0]
tf.config.set_logical_device_configuration(
    cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
sys.argv[0] = 'tools/predict.py'
runpy.run_path(sys.argv[0], run_name='__main__')
'''


def _convert(csv, images, output, **settings):
  convert.convert(csv, images, str(output),
                  shard_plan.Settings(image_size=_SIZE, **settings),
                  convert.How(workers=1))


@pytest.fixture(name='folder', scope='module')
def _folder(tmp_path_factory):
  """A run of both folds and one of the first, of 40 samples that are reduced
  to 32 px, and records of these without labels, raw and PNG."""
  folder = tmp_path_factory.mktemp('predict')
  csv, images = fakes.write_source(folder, 40, size_px=40)
  _convert(csv, images, folder / 'records', num_folds=2)
  for encoding in spec_lib.ENCODINGS:
    _convert('', images, folder / encoding, unlabelled=True, encoding=encoding)
  for activation, folds in (('prelu', (0, 1)), ('selu', (0,))):
    config = config_lib.Config(records=str(folder / 'records'),
                               workdir=str(folder / activation),
                               activation=activation,
                               distribute='cpu',
                               epochs=2,
                               batch_size=10)
    for fold in folds:
      loop.train(dataclasses.replace(config, fold=fold))
  return folder


@pytest.fixture(name='single', scope='module')
def _single(folder):
  """Runs of one fold each, as (activation, fold)."""
  runs = {('selu', 0): folder / 'selu'}
  for fold in (0, 1):
    run = runs['prelu', fold] = folder / f'prelu{fold}'
    shutil.copytree(folder / 'prelu' / f'fold{fold}', run / f'fold{fold}')
  return runs


def _open(images, on_error='stop', described=description.default()):
  loaded = sample_table.load(
      '', str(images),
      input_tables.How(described, unlabelled=True, on_error=on_error))
  return inference_source.Files(loaded, str(images), described.how(_SIZE),
                                on_error)


def _predict(runs, where, tta='none', weights='last', batch_size=16):
  """Scores by id, [N, K], of a folder of records or of images."""
  found = ensemble.load([str(run) for run in runs])
  models = predict.Models(found, strategy.make('cpu'), weights)
  if (where / 'manifest.json').exists():
    made = models.predict(inference_source.Records(str(where)), tta, batch_size)
  else:
    with _open(where) as files:
      made = models.predict(files, tta, batch_size)
  assert made.predictions.dtype == np.float32
  return pd.DataFrame(made.predictions, made.ids)


def _near(first, second):
  assert len(first) == len(second)
  np.testing.assert_allclose(first.loc[second.index], second, rtol=0, atol=1e-5)


@pytest.mark.parametrize('fold', [0, 1])
def test_held_out_samples_get_the_scores_of_the_training(folder, single, fold):
  found = _predict([single['prelu', fold]], folder / 'records')
  kept = arrays_lib.Predictions.load(
      str(folder / f'prelu/fold{fold}/predictions.npz'), 28)
  _near(found.loc[kept.ids], pd.DataFrame(kept.predictions, kept.ids))


def test_the_ensemble_is_the_mean_of_its_models(folder, single):
  parts = [
      _predict([run], folder / 'raw', 'dihedral') for run in single.values()
  ]
  assert min((parts[0] - other).abs().max().max() for other in parts[1:]) > 1e-3
  found = _predict([folder / 'prelu', folder / 'selu'], folder / 'raw',
                   'dihedral')
  _near(found, sum(parts) / 3)


def test_a_run_that_scales_each_image_gets_its_scores(folder, tmp_path):
  loop.train(
      config_lib.Config(records=str(folder / 'records'),
                        workdir=str(tmp_path / 'image'),
                        input_scaling='image',
                        distribute='cpu',
                        epochs=1,
                        batch_size=10))
  found = _predict([tmp_path / 'image'], folder / 'records')
  kept = arrays_lib.Predictions.load(
      str(tmp_path / 'image/fold0/predictions.npz'), 28)
  _near(found.loc[kept.ids], pd.DataFrame(kept.predictions, kept.ids))


def test_each_fold_gets_the_pixels_scaled_as_in_its_training(
    folder, single, tmp_path):
  both = shutil.copytree(folder / 'prelu', tmp_path / 'both')
  about = json.loads((both / 'fold1/about.json').read_text())['pixels']
  first = json.loads((both / 'fold0/about.json').read_text())['pixels']
  assert about != first  # each of its own training folds
  _edit(both / 'fold1/about.json', pixels={**about, 'mean': [50.0] * 4})
  parts = []
  for fold in (0, 1):
    shutil.copytree(both / f'fold{fold}', tmp_path / f'{fold}/fold{fold}')
    parts.append(_predict([tmp_path / f'{fold}'], folder / 'raw'))
  _near(_predict([both], folder / 'raw'), sum(parts) / 2)
  unchanged = _predict([single['prelu', 1]], folder / 'raw')
  assert (parts[1] - unchanged).abs().max().max() > 1e-3


def test_a_fold_that_does_not_say_its_scaling_is_refused(folder, tmp_path):
  both = shutil.copytree(folder / 'prelu', tmp_path / 'both')
  _edit(both / 'fold1/about.json', pixels={'mean': [1.0] * 4})
  with pytest.raises(errors.DataError, match=r'\(std: received'):
    ensemble.load([str(both)])


@pytest.fixture(name='views', scope='module')
def _views(folder):
  """Images of four samples, each in the eight symmetries, by NumPy: s<i>e<e>.
  """
  images = folder / 'views'
  images.mkdir()
  for i in range(4):
    for element in range(8):
      pixels = np.rot90(fakes.image(i, _SIZE), element % 4)
      pixels = np.fliplr(pixels) if element >= 4 else pixels
      for c, channel in enumerate(_SPEC.channel_names):
        path = str(images / f's{i}e{element}_{channel}.png')
        assert cv2.imwrite(path, pixels[..., c])
  return images


def test_dihedral_is_the_mean_or_maximum_over_transformed_images(single, views):
  run = single['prelu', 0]
  plain, averaged, largest = (_predict([run], views, tta)
                              for tta in ('none', 'dihedral', 'dihedral_max'))
  for i in range(4):
    eight = plain.loc[[f's{i}e{element}' for element in range(8)]]
    assert (eight.max() - eight.min()).max() > 1e-3
    for element in range(8):  # however the image is turned
      np.testing.assert_allclose(averaged.loc[f's{i}e{element}'],
                                 eight.mean(),
                                 rtol=0,
                                 atol=1e-5)
      np.testing.assert_allclose(largest.loc[f's{i}e{element}'],
                                 eight.max(),
                                 rtol=0,
                                 atol=1e-5)


def test_over_models_maxima_of_symmetries_are_averaged(single, views):
  both = [single['prelu', 0], single['selu', 0]]
  found = _predict(both, views, 'dihedral_max')
  alone = [_predict([run], views, 'dihedral_max') for run in both]
  np.testing.assert_allclose(found, (alone[0] + alone[1]) / 2, atol=1e-6)
  with pytest.raises(errors.DataError, match='maxima do not; pass --tta=dihe'):
    views_lib.check('dihedral_max', True)


def test_images_give_the_scores_of_records_made_of_them(folder, single):
  run = single['prelu', 0]
  wanted = _predict([run], folder / 'records')
  for name, batch_size in (('raw', 7), ('png', 100), ('train', 7)):
    _near(_predict([run], folder / name, batch_size=batch_size), wanted)


def test_best_weights_are_those_after_the_best_epoch(folder, single, tmp_path):
  other = tmp_path / 'other'
  shutil.copytree(single['prelu', 0], other)
  for epoch in (1, 2):
    path = other / 'fold0' / 'best_metrics.json'
    path.write_text(json.dumps({'epoch': epoch}))
    best = _predict([other], folder / 'raw', weights='best')
    last = _predict([other], folder / 'raw')
    assert ((best - last).abs().max().max() > 1e-3) == (epoch == 1)


def _run_tool(folder, *flags, code=('tools/predict.py',)):
  """Runs the command with its output in the folder."""
  return prestarted.run(
      [*code, f'--output={folder / "out" / "new.csv"}', *flags])


def test_two_devices_write_the_labels_above_the_thresholds(
    folder, single, tmp_path):
  runs = [single['prelu', 0], single['selu', 0]]
  done = _run_tool(tmp_path,
                   f'--workdir={runs[0]}',
                   f'--workdir={runs[1]}',
                   f'--images={folder / "train"}',
                   '--threshold=f1',
                   '--distribute=mirrored',
                   '--batch_size=6',
                   code=('-c', _ON_TWO_DEVICES))
  assert done.returncode == 0, done.stderr
  out = tmp_path / 'out'
  assert done.stdout == (
      f'40 images, 0 skipped, mean of 2 models: {out}/new.csv'
      f', {out}/new_predictions.csv\n'
      '20 of these 40 images, by their ids, were trained on; use '
      'the out_of_fold files of the report for their predictions.\n')
  table = pd.read_csv(out / 'new.csv', keep_default_na=False, dtype=str)
  predictions = pd.read_csv(out / 'new_predictions.csv', index_col='Id')
  assert table.columns.tolist() == ['Id', 'Predicted']
  assert table['Id'].tolist() == sorted(f's{i}' for i in range(40))
  assert predictions.columns.tolist() == _NAMES
  _near(predictions.set_axis(range(28), axis=1),
        _predict(runs, folder / 'raw', 'dihedral'))
  first, second = (arrays_lib.Predictions.load(
      str(run / 'fold0' / 'predictions.npz'), 28) for run in runs)
  chosen = thresholds.choose('f1', first.labels,
                             (first.predictions + second.predictions) / 2)
  above = predictions.to_numpy() > chosen
  assert above.any()
  assert table['Predicted'].tolist() == [
      ' '.join(str(k) for k in range(28) if row[k]) for row in above
  ]


@pytest.fixture(name='copy')
def _copy(single, tmp_path):
  """A run of one fold, to damage."""
  return shutil.copytree(single['prelu', 0], tmp_path / 'copy')


def _edit(path, **changes):
  """Changes keys of a JSON file, or removes those that become None."""
  content = json.loads(path.read_text()) | changes
  path.write_text(
      json.dumps({
          key: each for key, each in content.items() if each is not None
      }))


def test_xla_gives_the_same_scores(folder, single, copy):
  _edit(copy / 'fold0' / 'config.json', xla='on')
  _near(_predict([copy], folder / 'raw', 'dihedral'),
        _predict([single['prelu', 0]], folder / 'raw', 'dihedral'))


@pytest.mark.parametrize('changes,message', [
    ({
        'pixels': None
    }, r'of an earlier version \(pixels: received None\)'),
    ({
        'classes': ['Nucleoplasm']
    }, r'samples.npz is .*labels: expected \[40, 1\]'),
    ({
        'records': {}
    }, r'about.json of .*copy is damaged, .* \(image_size: '),
    ({
        'pixels': {
            'mean': [1.0] * 4
        }
    }, r'\(std: received'),
])
def test_runs_that_do_not_say_what_they_are_are_refused(copy, changes, message):
  _edit(copy / 'fold0' / 'about.json', **changes)
  with pytest.raises(errors.DataError, match=message):
    ensemble.load([str(copy)])


@pytest.mark.parametrize('group,name,value', [
    ('records', 'image_size', 10**9),
    ('records', 'image_size', 8192),
    ('records', 'image_size', 0),
    ('records', 'resize', 'other'),
    ('records', 'white_level', -1),
    ('pixels', 'mean', [1.0]),
    ('pixels', 'std', [-1.0, 1.0, 1.0, 1.0]),
])
def test_images_that_no_network_takes_are_refused(copy, group, name, value):
  path = copy / 'fold0' / 'about.json'
  content = json.loads(path.read_text())
  content[group][name] = value
  path.write_text(json.dumps(content))
  said = name.replace('_', '.')
  with pytest.raises(errors.DataError, match=f'{said}.*received'):
    ensemble.load([str(copy)])


@pytest.mark.parametrize('changes', [{'image_size': 64}, {'resize': 'area'}])
def test_runs_and_records_of_other_images_are_refused(folder, single, copy,
                                                      changes):
  about = json.loads((copy / 'fold0' / 'about.json').read_text())
  (copy / 'fold0' / 'network.json').unlink()  # which has the size, too
  _edit(copy / 'fold0' / 'about.json', records=about['records'] | changes)
  (name, value), = changes.items()
  with pytest.raises(errors.DataError, match=f'differ in.*{name}.*{value}'):
    ensemble.load([str(single['selu', 0]), str(copy)])
  found = ensemble.load([str(copy)])
  with pytest.raises(errors.DataError, match=f'differ in.*{name} {value!r}'):
    records = inference_source.Records(str(folder / 'raw'))
    found.check_records(records.spec, records.settings, 'raw')


def test_runs_of_other_levels_are_refused(single, copy):
  _edit(copy / 'fold0' / 'about.json', levels=[[0, 100]] * 4)
  with pytest.raises(errors.DataError, match='differ in levels'):
    ensemble.load([str(single['selu', 0]), str(copy)])


def test_thresholds_are_a_number_a_rule_or_the_trainings(folder, single, copy):
  found = ensemble.load([str(copy)])
  assert found.choose_thresholds('') == 0.5
  assert found.choose_thresholds('0.25') == 0.25
  assert found.choose_thresholds('prevalence').shape == (28,)
  for wrong in ('1', '-0.1', 'nan', 'best'):
    with pytest.raises(errors.DataError,
                       match='from 0 to below 1, or one of f1'):
      found.choose_thresholds(wrong)
  for name in ('config.json', 'metrics.json'):
    _edit(copy / 'fold0' / name, threshold=0.3)
  other = ensemble.load([str(copy), str(single['selu', 0])])
  assert other.choose_thresholds('0.25') == 0.25
  with pytest.raises(errors.DataError,
                     match=r'thresholds: \[0.3, 0.5\]; pass --thr'):
    other.choose_thresholds('')
  with pytest.raises(errors.DataError, match='--weights=last with --threshold'):
    found.choose_thresholds('f1', 'best')
  assert found.choose_thresholds('0.25', 'best') == 0.25
  uneven = ensemble.load([str(folder / 'prelu'), str(single['selu', 0])])
  with pytest.raises(errors.DataError, match='held out different samples'):
    uneven.choose_thresholds('f1')


@pytest.mark.parametrize('damage', [
    pathlib.Path.unlink,
    lambda path: path.write_bytes(path.read_bytes()[:-500]),
    lambda path: shutil.copy(path.parents[3] / 'selu.npz', path),
    lambda path: shutil.copy(path.parents[3] / 'fold1.npz', path),
    lambda path: shutil.copy(path.with_stem('epoch-00001'), path),
])
def test_another_damaged_or_no_checkpoint_is_named(folder, copy, tmp_path,
                                                   damage):
  name = 'fold0/checkpoints/epoch-00002.npz'
  shutil.copy(folder / 'selu' / name, tmp_path / 'selu.npz')
  shutil.copy(folder / 'prelu' / name.replace('fold0', 'fold1'),
              tmp_path / 'fold1.npz')
  damage(copy / name)
  with pytest.raises(errors.DataError, match=f'{name} is missing or damaged'):
    _predict([copy], folder / 'raw')


def test_scores_that_are_no_numbers_are_refused(folder, copy):
  path = copy / 'fold0/checkpoints/epoch-00002.npz'
  with np.load(path) as file:
    arrays = dict(file)
  for name, array in arrays.items():
    if array.dtype == np.float32:
      arrays[name] = np.full_like(array, 3e38)
  np.savez(path, **arrays)
  with pytest.raises(errors.DataError, match='Predictions are NaN or infinite'):
    _predict([copy], folder / 'raw')


def test_a_run_that_is_there_twice_is_refused(single, tmp_path):
  run = single['prelu', 0]
  (tmp_path / 'again').symlink_to(run)
  with pytest.raises(errors.DataError, match=f'--workdir={run}/ twice'):
    ensemble.load([f'{run}/', str(tmp_path / 'again')])


def test_invalid_images_are_all_told_or_left_out(folder, single, tmp_path):
  images = shutil.copytree(folder / 'train', tmp_path / 'images')
  for name in ('s3_green.png', 's7_blue.png'):
    data = bytearray((images / name).read_bytes())
    data[len(data) // 2] ^= 0x40
    (images / name).write_bytes(data)
  found = ensemble.load([str(single['prelu', 0])])
  models = predict.Models(found, strategy.make('cpu'), 'last')
  with _open(images) as files, pytest.raises(errors.DataError) as error:
    models.predict(files, 'none', 4)
  assert '2 issues' in str(error.value) and 's7_blue.png' in str(error.value)
  for name in ('s5_red.png', 's5_blue.png'):
    (images / name).unlink()
  with _open(images, 'skip') as files:
    made = models.predict(files, 'none', 4)
  wanted = _predict([single['prelu', 0]], folder / 'train')
  _near(pd.DataFrame(made.predictions, made.ids),
        wanted.drop(['s3', 's5', 's7']))
  made.save(str(tmp_path / 'new.csv'), 0.5)
  skipped = pd.read_csv(tmp_path / 'new_skipped.csv')
  assert skipped['id'].tolist() == ['s3', 's5', 's5', 's7']
  assert made.num_skipped == 3
  assert len(pd.read_csv(tmp_path / 'new.csv')) == 37


@pytest.mark.parametrize('flags,message', [
    ([], 'pass --workdir=PATH'),
    (['--workdir=none'], 'pass one'),
    (['--workdir=none', '--images=a', '--distribute=tpu', '--tpu=node'
     ], '--tpu=node cannot use --images=a: '),
    (['--workdir=none', '--images=a', '--records=b'], 'received both'),
    (['--workdir=none', '--records=b', '--pattern=c'
     ], '--pattern with --images'),
    (['--workdir=none', '--images=a', '--stage_dir=c'
     ], '--stage_dir with --records'),
    (['--workdir=none', '--records=b'], 'No finished fold'),
    (['--workdir=none', '--records=b', '--tta=mean'], '--tta'),
])
def test_wrong_flags_are_one_line(tmp_path, flags, message):
  done = _run_tool(tmp_path, *flags)
  assert done.returncode == 2 and message in done.stderr
  assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    'name', ['new', '.csv', 'folder.csv', 'file/new.csv', 'a.csv', 'b.csv'])
def test_what_cannot_be_written_is_refused_before_the_work(tmp_path, name):
  for folder in ('folder.csv', 'a_predictions.csv', 'b_skipped.csv'):
    (tmp_path / folder).mkdir()
  (tmp_path / 'file').touch()
  before = sorted(tmp_path.iterdir())
  with pytest.raises(errors.DataError, match='--output'):
    predict.prepare(str(tmp_path / name), _NAMES)
  assert sorted(tmp_path.iterdir()) == before


def test_what_an_earlier_prediction_wrote_stays_until_the_next(tmp_path):
  path = tmp_path / 'new.csv'
  made = predict.Prediction(np.array(['old']), np.zeros((1, 28), np.float32),
                            (), _SPEC.classes)
  made.save(str(path), 0.5)
  predict.prepare(str(path), _NAMES)
  assert {each.name for each in tmp_path.iterdir()
         } == {'new.csv', 'new_predictions.csv'}
  assert path.read_text() == 'Id,Predicted\nold,\n'


def test_kaggles_table_of_the_same_columns_is_not_replaced(tmp_path):
  path = tmp_path / 'sample_submission.csv'
  path.write_text('Id,Predicted\na,0\n')
  with pytest.raises(errors.DataError, match=f'{path} exists, and no'):
    predict.prepare(str(path), _NAMES)
  assert path.read_text() == 'Id,Predicted\na,0\n'


@pytest.mark.parametrize('name',
                         ['new.csv', 'new_predictions.csv', 'new_skipped.csv'])
def test_tables_of_the_users_are_not_replaced(tmp_path, name):
  (tmp_path / name).write_text('mine')
  with pytest.raises(errors.DataError, match=f'{name} exists, and no'):
    predict.prepare(str(tmp_path / 'new.csv'), _NAMES)
  assert (tmp_path / name).read_text() == 'mine'


def test_tables_of_an_earlier_prediction_are_replaced(tmp_path):
  skipped = (issue.Issue(2, 'a', 'a_red.png', 'expected an image'),)
  made = predict.Prediction(np.array(['b']), np.zeros((1, 28), np.float32),
                            skipped, _SPEC.classes)
  path = str(tmp_path / 'new.csv')
  for each in (made, dataclasses.replace(made, skipped=())):
    predict.prepare(path, _NAMES)
    each.save(path, 0.5)
  assert {each.name for each in tmp_path.iterdir()
         } == {'new.csv', 'new_predictions.csv'}


def test_records_are_staged_and_progress_and_rate_are_shown(
    folder, single, tmp_path):
  done = _run_tool(tmp_path, f'--workdir={single["prelu", 0]}',
                   f'--records={folder / "raw"}', '--tta=none',
                   f'--stage_dir={tmp_path / "stage"}')
  assert done.returncode == 0, done.stderr
  copy, = (each for each in (tmp_path / 'stage').iterdir() if each.is_dir())
  assert {each.name for each in copy.iterdir()
         } >= {'manifest.json', 'index.parquet'}
  assert re.search(r'predict: 40/40 images, [0-9.]+/s, 0 s left', done.stderr)
  found = pd.read_csv(tmp_path / 'out/new_predictions.csv', index_col='Id')
  wanted = _predict([single['prelu', 0]], folder / 'raw')
  _near(found.set_axis(range(28), axis=1), wanted)


def test_a_stage_dir_among_the_records_is_refused(folder, single, tmp_path):
  done = _run_tool(tmp_path, f'--workdir={single["prelu", 0]}',
                   f'--records={folder / "raw"}',
                   f'--stage_dir={folder / "raw" / "copy"}')
  assert done.returncode == 2 and 'inside the input folder' in done.stderr
  assert not (folder / 'raw' / 'copy').exists()


def test_an_output_that_is_an_input_is_refused(folder, single, tmp_path):
  csv = tmp_path / 'out' / 'new.csv'
  csv.parent.mkdir()
  csv.write_text('Id\ns1\n')
  done = _run_tool(tmp_path, f'--workdir={single["prelu", 0]}',
                   f'--records={folder / "raw"}', f'--csv={csv}')
  assert done.returncode == 2 and 'are the same path' in done.stderr
  assert csv.read_text() == 'Id\ns1\n'


def test_images_that_were_trained_on_are_counted(folder, single):
  found = ensemble.load([str(single['prelu', 0])])
  held_out = arrays_lib.Predictions.load(
      str(folder / 'prelu/fold0/predictions.npz'), 28).ids
  ids = np.array([f's{i}' for i in range(40)] + ['new'])
  assert found.count_trained(ids) == 40 - len(held_out)
  assert found.count_trained(held_out) == 0
  assert ensemble.load([str(folder / 'prelu')]).count_trained(ids) == 40


def test_missing_images_are_one_line_and_nothing_is_written(single, tmp_path):
  (tmp_path / 'images').mkdir()
  done = _run_tool(tmp_path, f'--workdir={single["prelu", 0]}',
                   f'--images={tmp_path / "images"}')
  assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
  assert 'No samples found in' in done.stderr
  assert not (tmp_path / 'out').exists()


def test_a_run_of_other_channels_predicts_one_of_its_classes(
    other_run, tmp_path):
  found = ensemble.load([str(other_run)])
  assert found.choose_thresholds('') is None
  with pytest.raises(errors.DataError, match="no --threshold.*'0.3'; leave it"):
    found.choose_thresholds('0.3')
  models = predict.Models(found, strategy.make('cpu'), 'last')
  records = inference_source.Records(str(other_run.parent / 'records'))
  found.check_records(records.spec, records.settings, 'records')
  made = models.predict(records, 'none', 16)
  described = description.of_settings(found.settings, found.classes)
  with _open(other_run.parent / 'train', described=described) as files:
    of_files = models.predict(files, 'none', 16)
  _near(pd.DataFrame(made.predictions, made.ids),
        pd.DataFrame(of_files.predictions, of_files.ids))
  np.testing.assert_allclose(made.predictions.sum(axis=1), 1, rtol=1e-5)
  path = tmp_path / 'new.csv'
  predict.prepare(str(path), found.classes)
  made.save(str(path), None)
  predict.prepare(str(path), found.classes)  # its own
  table = pd.read_csv(path)
  assert table['Predicted'].tolist() == made.predictions.argmax(axis=1).tolist()
  header, *_ = (tmp_path / 'new_predictions.csv').read_text().splitlines()
  assert header.split(',') == ['Id', *(f'class {k}' for k in range(12))]


def test_one_class_of_one_channel_is_predicted(smallest_run, tmp_path):
  found = ensemble.load([str(smallest_run)])
  models = predict.Models(found, strategy.make('cpu'), 'last')
  records = inference_source.Records(str(smallest_run.parent / 'records'))
  made = models.predict(records, 'dihedral', 16)
  assert made.predictions.shape == (20, 1)
  made.save(str(tmp_path / 'new.csv'), 0.0)
  predict.prepare(str(tmp_path / 'new.csv'), found.classes)
  assert (pd.read_csv(tmp_path / 'new.csv')['Predicted'] == 0).all()


def test_runs_and_records_of_other_classes_are_refused_by_name(
    folder, other_run, smallest_run):
  with pytest.raises(errors.DataError,
                     match="differ in classes: missing 'class 1'.*channels: "
                     "missing 'channel1'.*separately"):
    ensemble.load([str(other_run), str(smallest_run)])
  found = ensemble.load([str(other_run)])
  records = inference_source.Records(str(folder / 'records'))
  with pytest.raises(errors.DataError,
                     match="unknown 'Nucleoplasm'.*unknown 'red'"):
    found.check_records(records.spec, records.settings, 'records')
  # Unlabelled records have no classes of their own.
  unlabelled = dataclasses.replace(found.spec, classes=('any',))
  found.check_records(unlabelled, {**found.settings, 'unlabelled': True}, 'new')


def test_a_table_of_classes_with_commas_is_known_again(tmp_path):
  names = ('a, b', '"c"', 'Zellkörper')
  path = str(tmp_path / 'new.csv')
  made = predict.Prediction(np.array(['b']), np.zeros((1, 3), np.float32), (),
                            names)
  made.save(path, 0.5)
  predict.prepare(path, names)
  with pytest.raises(errors.DataError, match='no prediction wrote it'):
    predict.prepare(path, ('other',))
  table = pd.read_csv(tmp_path / 'new_predictions.csv', index_col='Id')
  assert tuple(table) == names


_OF = """
channels = [{{name = "x", file = "1"}}, {{name = "y", file = "2"}}]
classes = ["a", "b"]
[table]
labels = "Target"
plate = "Target"
[images]
pattern = "{{id}}_{{channel}}.tif"
[intensity]
rule = "percentiles"
of = "{scope}"
"""


def _train_on_levels(folder, scope):
  """A run on 16-bit images, whose levels are of the dataset or of plates."""
  images = folder / 'images'
  images.mkdir()
  rows = ['Id,Target']
  for number in range(12):
    rows.append(f's{number},{number % 2}')
    rng = np.random.default_rng(number)
    for channel in '12':
      pixels = rng.integers(0, 900 + 100 * number, (40, 40))
      assert cv2.imwrite(str(images / f's{number}_{channel}.tif'),
                         pixels.astype(np.uint16))
  (folder / 'table.csv').write_text('\n'.join(rows) + '\n')
  (folder / 'mine.toml').write_text(_OF.format(scope=scope))
  _convert(str(folder / 'table.csv'),
           str(images),
           folder / 'records',
           num_folds=2,
           description=description.load(str(folder / 'mine.toml')))
  loop.train(
      config_lib.Config(records=str(folder / 'records'),
                        workdir=str(folder / 'run'),
                        distribute='cpu',
                        epochs=1,
                        batch_size=6))


def test_images_get_the_intensity_of_the_training_records(tmp_path):
  _train_on_levels(tmp_path, 'dataset')
  found = ensemble.load([str(tmp_path / 'run')])
  models = predict.Models(found, strategy.make('cpu'), 'last')
  described = description.of_settings(found.settings, found.classes)
  images = str(tmp_path / 'images')
  loaded = sample_table.load('', images,
                             input_tables.How(described, unlabelled=True))
  records = inference_source.Records(str(tmp_path / 'records'))
  found.check_records(records.spec, records.settings, 'old', records.levels)
  found.check_records(records.spec, records.settings, 'new',
                      {'plate': [[0, 1.5]] * 2})
  with pytest.raises(errors.DataError, match='their own images; pass --images'):
    found.check_records(records.spec, records.settings, 'new',
                        {'': [[0, 1.5]] * 2})
  of_records = models.predict(records, 'none', 6)
  with inference_source.Files(loaded, images, found.load_how(described),
                              'stop') as files:
    of_images = models.predict(files, 'none', 6)
  _near(pd.DataFrame(of_images.predictions, of_images.ids),
        pd.DataFrame(of_records.predictions, of_records.ids))


def test_images_have_no_plates(tmp_path):
  _train_on_levels(tmp_path, 'plate')
  found = ensemble.load([str(tmp_path / 'run')])
  described = description.of_settings(found.settings, found.classes)
  with pytest.raises(errors.DataError, match='is that of each plate'):
    found.load_how(described)
