"""embed: features by the model that did not see an image, in each file."""

import dataclasses
import errno
import hashlib
import json
import os
import shutil
import sys
import warnings

import anndata
import numpy as np
import pandas as pd
from pyarrow import parquet
import pytest

from hpa_records.conversion import convert
from hpa_records.conversion import shard_plan
from hpa_records.datasets import description
from hpa_records.reading import inference_source
from hpa_records.runtime import errors
from tests.support import fakes
from tests.support import runs
from trainer import config as config_lib
from trainer.export import export
from trainer.model import training_samples
from trainer.prediction import assignment as assignment_lib
from trainer.prediction import embed
from trainer.prediction import ensemble as ensemble_lib
from trainer.prediction import feature_table
from trainer.run import arrays
from trainer import strategy
from trainer.training import loop

_LENGTHS = {'average1': 32, 'average2': 64, 'average3': 128, 'hidden2': 256}


@pytest.fixture(name='folder', scope='module')
def _folder(tmp_path_factory):
  """A run of folds 1 and 2 of three, on records with metadata, and records of
  images 0 to 59 without labels, of which the run knows the first 48; and with
  labels and groups of four."""
  folder = tmp_path_factory.mktemp('embed')
  csv, images = fakes.write_source(folder, 60, size_px=32)
  table = pd.read_csv(csv, dtype=str).head(48)
  table['batch'] = [f'b{i % 3}' for i in range(48)]
  table['model'] = '=1'  # the name of a column of the features, too
  table.to_csv(folder / 'known.csv', index=False)
  described = description.default()
  described = dataclasses.replace(described,
                                  table=dataclasses.replace(described.table,
                                                            metadata=('batch',
                                                                      'model')))
  groups = str(folder / 'groups.csv')
  pd.DataFrame({
      'Id': [f's{i}' for i in range(60)],
      'group': [f'g{i // 4}' for i in range(60)]
  }).to_csv(groups, index=False)
  for name, table, grouped, settings in (
      ('records', str(folder / 'known.csv'), '', {
          'num_folds': 3,
          'description': described
      }),
      ('new', '', '', {
          'unlabelled': True,
          'description': described
      }),
      ('grouped', csv, groups, {
          'num_folds': 2
      }),
  ):
    convert.convert(table,
                    images,
                    str(folder / name),
                    shard_plan.Settings(image_size=32, **settings),
                    convert.How(workers=1),
                    groups=grouped)
  for fold in (1, 2):
    loop.train(
        config_lib.Config(records=str(folder / 'records'),
                          workdir=str(folder / 'run'),
                          distribute='cpu',
                          epochs=1,
                          batch_size=16,
                          fold=fold))
  return folder


def _embed(workdir, records, csv='', model_fold=None, batch_size=7):
  return _embed_by(ensemble_lib.load([str(workdir)]), records, csv, model_fold,
                   batch_size)


def _embed_by(found, records, csv='', model_fold=None, batch_size=7):
  source = inference_source.Records(str(records), csv)
  assigned = assignment_lib.assign(found, source.ids, model_fold)
  embedder = embed.Embedder(found, strategy.make('cpu'), 'last')
  return embedder.embed(source, assigned, batch_size, None)


@pytest.fixture(name='table', scope='module')
def _table(folder):
  return _embed(folder / 'run', folder / 'records')


@pytest.fixture(name='new', scope='module')
def _new(folder):
  return _embed(folder / 'run', folder / 'new')


def _held_out(folder, fold):
  return arrays.Predictions.load(
      str(folder / f'run/fold{fold}/predictions.npz'), 28)


def test_each_image_has_the_features_of_the_model_that_did_not_see_it(
    folder, table):
  assert table.features == list(_LENGTHS)
  assert table.lengths == {**_LENGTHS, 'probabilities': 28}
  assert len(table.ids) == 48
  held_out = np.isin(table.folds, (1, 2))
  assert (table.models == np.where(held_out, table.folds, 1)).all()
  assert (table.trained_on == ~held_out).all() and table.trained_on.any()
  for fold in (1, 2):
    kept = _held_out(folder, fold)
    rows = [table.ids.tolist().index(each) for each in kept.ids]
    np.testing.assert_allclose(table.part('probabilities', rows),
                               kept.predictions,
                               rtol=0,
                               atol=1e-5)


def test_features_are_those_of_the_layers(folder, table):
  """The averages are means over space, hidden2 gives the logits."""
  with np.load(folder / 'run/fold1/checkpoints/epoch-00001.npz') as file:
    kernel, bias = (file[f'model/logits/{name}'] for name in ('kernel', 'bias'))
  rows = np.flatnonzero(table.models == 1)
  logits = table.part('hidden2', rows) @ kernel + bias
  np.testing.assert_allclose(1 / (1 + np.exp(-logits)),
                             table.part('probabilities', rows),
                             rtol=0,
                             atol=1e-5)
  assert table.part('average1').std(axis=0).max() > 0
  assert table.values.dtype == np.float32


def test_new_images_have_the_features_of_one_stated_fold(folder, table, new):
  is_new = new.folds == assignment_lib.NO_FOLD
  assert sorted(new.ids[is_new]) == sorted(f's{i}' for i in range(48, 60))
  assert (new.models[is_new] == 1).all()
  assert not new.trained_on[is_new].any() and not new.labelled[is_new].any()
  assert not new.labels[is_new].any()
  other = _embed(folder / 'run', folder / 'new', model_fold=2)
  assert (other.models[is_new] == 2).all()
  # Those that the run holds out are not changed by the choice.
  for each in (new, other):
    rows = [each.ids.tolist().index(name) for name in table.ids]
    kept = np.isin(table.folds, (1, 2))
    np.testing.assert_allclose(each.part('hidden2', rows)[kept],
                               table.part('hidden2')[kept],
                               rtol=0,
                               atol=1e-4)
    assert (each.labels[rows] == table.labels).all()
  apart = np.abs(new.part('hidden2')[is_new] - other.part('hidden2')[is_new])
  assert apart.max() > 1e-3


def test_a_fold_that_is_not_finished_is_no_choice(folder):
  found = ensemble_lib.load([str(folder / 'run')])
  with pytest.raises(errors.DataError, match='one of 1, 2, received 0'):
    assignment_lib.assign(found, np.array(['s1']), 0)


@pytest.fixture(name='exported', scope='module')
def _exported(folder):
  export.write(str(folder / 'run'), str(folder / 'model'), export.Choice())
  return folder / 'model'


def test_an_exported_folder_gives_the_features_of_its_run(
    folder, table, new, exported):
  """By its own copy of the folds; labels are those of the records alone."""
  found = ensemble_lib.load_exported(str(exported))
  for wanted, records in ((table, 'records'), (new, 'new')):
    made = _embed_by(found, folder / records)
    for name in ('ids', 'folds', 'models', 'trained_on'):
      np.testing.assert_array_equal(getattr(made, name), getattr(wanted, name))
    np.testing.assert_allclose(made.values, wanted.values, rtol=0, atol=1e-4)
    if records == 'records':
      np.testing.assert_array_equal(made.labels, wanted.labels)
    else:
      assert not made.labelled.any() and not made.labels.any()
  assert found.count_trained(new.ids) == 48
  # Ids may name patients.
  stored = runs.arrays(exported / 'samples.npz')
  assert set(stored) == {'ids', 'folds'} and len(stored['ids']) == 48
  assert not set(stored['ids']) & set(table.ids)


def test_an_id_is_known_in_each_unicode_form(folder, tmp_path):
  run = shutil.copytree(folder / 'run', tmp_path / 'run')
  first = arrays.Samples.load(str(run / 'fold1/samples.npz'), 28)
  ids = first.ids.astype('<U9')
  ids[[3, 9]] = 'caf\u00e9', 'e\u0301t\u00e9'
  for fold in (1, 2):
    path = str(run / f'fold{fold}/samples.npz')
    dataclasses.replace(arrays.Samples.load(path, 28), ids=ids).save(path)
  asked = np.array(['cafe\u0301', '\u00e9te\u0301', 'cafe'])
  found = ensemble_lib.load([str(run)])
  assigned = assignment_lib.assign(found, asked, None)
  assert assigned.folds.tolist() == [*first.folds[[3, 9]], -1]
  assert found.count_trained(asked) == 2
  np.testing.assert_array_equal(training_samples.digest(asked[:2]),
                                training_samples.digest(ids[[3, 9]]))


def test_a_full_disk_is_one_line_before_the_first_image(monkeypatch, folder):
  """A page of a mapped file that the disk cannot hold would be a signal."""

  def fill(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

  monkeypatch.setattr(os, 'posix_fallocate', fill)
  with pytest.raises(errors.DataError, match='(?s)full|No space') as error:
    _embed(folder / 'run', folder / 'records')
  assert '\n' not in str(error.value)


@pytest.mark.parametrize(
    'name', ['features_map.png', 'features_map.svg', 'features_scores.csv'])
def test_figures_replace_no_file_of_the_user_s(folder, tmp_path, name):
  (tmp_path / name).write_text('mine')
  done = _run_tool(f'--workdir={folder / "run"}',
                   f'--records={folder / "records"}',
                   f'--output={tmp_path / "a.npz"}', f'--figures={tmp_path}')
  assert done.returncode == 2 and f'{name} exists and was not' in done.stderr
  assert [each.name for each in tmp_path.iterdir()] == [name]
  done = _run_tool(f'--workdir={folder / "run"}',
                   f'--records={folder / "records"}',
                   f'--csv={tmp_path / name}', f'--output={tmp_path / "a.npz"}',
                   f'--figures={tmp_path}')
  assert done.returncode == 2 and 'are the same path' in done.stderr
  assert (tmp_path / name).read_text() == 'mine'


@pytest.mark.parametrize('arrays_', [
    {
        'ids': np.array(['s1'])
    },
    {
        'ids': np.array(['0' * 16]),
        'folds': np.zeros(2, np.uint16)
    },
    {
        'ids': np.zeros(0, '<U16'),
        'folds': np.zeros(0, np.uint16)
    },
])
def test_forged_samples_of_an_exported_folder_are_one_line(
    exported, tmp_path, arrays_):
  shutil.copytree(exported, tmp_path / 'model')
  path = tmp_path / 'model/samples.npz'
  np.savez_compressed(path, **arrays_)
  with pytest.raises(errors.DataError, match='missing or was changed'):
    ensemble_lib.load_exported(str(tmp_path / 'model'))
  about = tmp_path / 'model/model.json'
  content = json.loads(about.read_text())
  data = path.read_bytes()
  content['files']['samples.npz'] = [
      len(data), hashlib.sha256(data).hexdigest()
  ]
  about.write_text(json.dumps(content))
  with pytest.raises(errors.DataError, match='samples.npz is damaged') as error:
    ensemble_lib.load_exported(str(tmp_path / 'model'))
  assert '\n' not in str(error.value)


def test_the_command_embeds_by_an_exported_folder(folder, exported, tmp_path):
  done = runs.call('tools/embed.py', f'--model={exported}',
                   f'--records={folder / "records"}',
                   f'--output={tmp_path / "features.npz"}')
  assert done.returncode == 0, done.stderr
  assert '48 images, 0 skipped' in done.stdout
  done = runs.call('tools/embed.py', f'--model={exported}', '--weights=best',
                   f'--records={folder / "records"}', '--output=a.npz')
  assert done.returncode == 2 and 'no --weights with --model' in done.stderr


def test_groups_and_labels_of_records_are_known_of_new_images_and_by_an_export(
    folder, exported):
  for found in (ensemble_lib.load([str(folder / 'run')]),
                ensemble_lib.load_exported(str(exported))):
    made = _embed_by(found, folder / 'grouped', batch_size=60)
    assert (made.folds < 0).sum() == 12 and made.labelled.all()
    assert made.columns()['group'].tolist() == [
        f'g{int(each[1:]) // 4}' for each in made.ids
    ]


def test_rows_are_in_the_order_of_the_csv(folder, tmp_path):
  csv = tmp_path / 'some.csv'
  csv.write_text('Id\ns9\ns50\ns3\n')
  found = _embed(folder / 'run', folder / 'new', str(csv))
  assert found.ids.tolist() == ['s9', 's50', 's3']
  assert found.folds.tolist()[1] == -1
  assert found.part('hidden2').shape == (3, 256)


def _check_columns(found, table):
  assert found['id'].tolist() == table.ids.tolist()
  assert found['fold'].tolist() == table.folds.tolist()
  assert found['model'].tolist() == table.models.tolist()
  assert found['trained_on'].tolist() == table.trained_on.tolist()
  numbers = [int(each[1:]) for each in table.ids]
  assert list(found['batch']) == [f'b{i % 3}' for i in numbers]
  assert set(found['metadata_model']) == {'=1'}


def test_parquet_has_all_columns_and_floats_of_32_bits(table, tmp_path):
  path = str(tmp_path / 'features.parquet')
  feature_table.write(path, table)
  stored = parquet.read_table(path)
  about = json.loads(stored.schema.metadata[b'hpa_features'])
  assert about['classes'] == list(table.classes)
  found = stored.to_pandas()
  _check_columns(found, table)
  for name, length in table.lengths.items():
    assert str(stored.schema.field(name).type) == (
        f'fixed_size_list<element: float>[{length}]')
    np.testing.assert_array_equal(np.stack(found[name]), table.part(name))
  for labels, row in zip(found['labels'], table.labels):
    assert labels.tolist() == np.flatnonzero(row).tolist()


def test_parquet_has_no_labels_where_none_are_known_and_groups_of_rows(
    new, tmp_path, monkeypatch):
  monkeypatch.setattr(feature_table, '_GROUP_ROWS', 16)
  path = str(tmp_path / 'features.parquet')
  feature_table.write(path, new)
  assert parquet.ParquetFile(path).num_row_groups == 4
  found = parquet.read_table(path).to_pandas()
  assert found['labels'].isna().tolist() == (~new.labelled).tolist()
  np.testing.assert_array_equal(np.stack(found['hidden2']), new.part('hidden2'))


def test_npz_has_the_same(table, tmp_path):
  path = tmp_path / 'features.npz'
  feature_table.write(str(path), table)
  found = runs.arrays(path)
  _check_columns(found, table)
  for name in table.lengths:
    np.testing.assert_array_equal(found[name], table.part(name))
  assert found['classes'].tolist() == list(table.classes)
  np.testing.assert_array_equal(found['labels'], table.labels)


def test_anndata_opens_h5ad(table, tmp_path):
  path = tmp_path / 'features.h5ad'
  table = dataclasses.replace(table,
                              metadata={
                                  **table.metadata, 'a/b': table.ids
                              })
  feature_table.write(str(path), table)
  with warnings.catch_warnings():
    warnings.simplefilter('ignore')
    found = anndata.read_h5ad(path)
  _check_columns(found.obs.assign(id=found.obs_names), table)
  np.testing.assert_array_equal(found.X, table.part('hidden2'))
  assert found.X.dtype == np.float32 and found.var_names[3] == 'hidden2_3'
  assert found.obs['a_b'].tolist() == table.ids.tolist()
  for name in ('average1', 'average2', 'average3', 'probabilities'):
    np.testing.assert_array_equal(found.obsm[name], table.part(name))
  np.testing.assert_array_equal(found.obsm['labels'], table.labels)
  assert found.uns['classes'].tolist() == list(table.classes)


@pytest.mark.parametrize('ending', ['.parquet', '.npz', '.h5ad'])
def test_a_table_is_the_same_each_time_and_replaces_only_its_own(
    table, tmp_path, ending):
  path = tmp_path / f'features{ending}'
  feature_table.prepare(str(path))
  feature_table.write(str(path), table)
  first = path.read_bytes()
  feature_table.prepare(str(path))
  feature_table.write(str(path), table)
  if ending != '.h5ad':  # HDF5 has addresses of memory in padding
    assert path.read_bytes() == first
  assert [each.name for each in tmp_path.iterdir()] == [path.name]
  path.write_bytes(b'mine')
  with pytest.raises(errors.DataError, match='is no table of features'):
    feature_table.prepare(str(path))
  assert path.read_bytes() == b'mine'


@pytest.mark.parametrize('ending', ['.parquet', '.npz', '.h5ad'])
def test_a_table_that_could_not_be_written_leaves_nothing(
    table, tmp_path, ending):
  broken = dataclasses.replace(table, values=table.values[:10])
  with pytest.raises(IndexError):
    feature_table.write(str(tmp_path / f'features{ending}'), broken)
  assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('path,message', [
    ('features.csv', 'with the ending .parquet, .npz, .h5ad, received'),
    ('folder.npz', 'Is a directory'),
])
def test_what_cannot_be_written_is_one_line(tmp_path, path, message):
  (tmp_path / 'folder.npz').mkdir()
  with pytest.raises(errors.DataError, match=message):
    feature_table.prepare(str(tmp_path / path))


def test_a_missing_package_is_one_line_with_the_extra(monkeypatch, tmp_path):
  monkeypatch.setitem(sys.modules, 'anndata', None)
  with pytest.raises(
      errors.DataError,
      match=r'^anndata, which .*install "hpa-records\[embed\]"') as error:
    feature_table.prepare(str(tmp_path / 'features.h5ad'))
  assert '\n' not in str(error.value)


def _run_tool(*words):
  return runs.call('tools/embed.py', *words)


@pytest.mark.parametrize('words,message', [
    ([], 'pass --workdir=PATH'),
    (['--workdir=none'], 'pass one'),
    (['--workdir=none', '--records=a'], 'pass --output=PATH'),
    (['--workdir=none', '--records=a', '--output=b.npz'], 'No finished fold'),
])
def test_wrong_flags_are_one_line(words, message):
  done = _run_tool(*words)
  assert done.returncode == 2 and message in done.stderr
  assert len(done.stderr.splitlines()) == 1


def test_the_command_writes_features_of_image_files(folder, tmp_path, new):
  images = shutil.copytree(folder / 'train', tmp_path / 'images')
  data = (images / 's50_green.png').read_bytes()
  (images / 's50_green.png').write_bytes(data[:-200])
  words = (f'--workdir={folder / "run"}', f'--images={images}',
           f'--output={tmp_path / "out" / "features.npz"}')
  done = _run_tool(*words)
  assert done.returncode == 2 and 's50_green.png' in done.stderr
  assert not (tmp_path / 'out').exists()
  done = _run_tool(*words, '--on_error=skip')
  assert done.returncode == 0, done.stderr
  trained = int(new.trained_on.sum())
  assert done.stdout == (
      '59 images, 1 skipped, average1 32, average2 64, average3 128, hidden2 '
      f'256: {tmp_path}/out/features.npz\n'
      '11 of these 59 images are new to the run; they have the features of the '
      'model of fold 1.\n'
      f'{trained} of these 59 images were trained on by the model whose '
      'features they have, since their fold is not finished; the column '
      'trained_on says which.\n')
  assert 'embed: 59/59 images' in done.stderr
  found = runs.arrays(tmp_path / 'out/features.npz')
  order = [new.ids.tolist().index(each) for each in found['id']]
  np.testing.assert_allclose(found['hidden2'],
                             new.part('hidden2')[order],
                             rtol=0,
                             atol=1e-4)
