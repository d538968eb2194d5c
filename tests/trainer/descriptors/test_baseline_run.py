"""A fold of a classifier of descriptors: its files, and who reads them."""

import dataclasses
import json
import os
import pathlib

import numpy as np
import pytest

from hpa_records.reading import dataset
from hpa_records.runtime import errors
from tests.support import fakes
from tests.support import runs
from trainer.descriptors import baseline_run
from trainer.export import export
from trainer.model import trained
from trainer.prediction import ensemble
from trainer.recipe import baseline
from trainer.report import page
from trainer.run import arrays
from trainer.run import finished_run
from trainer.run import fold_file
from trainer.run import out_of_fold
from trainer.start import source
from trainer.training import loop


@pytest.fixture(name='records', scope='module')
def _records(tmp_path_factory):
  """40 records of two folds and 12 classes, some with a repeat of 0."""
  folder = tmp_path_factory.mktemp('baseline')
  return dataset.load(
      fakes.write_records(folder,
                          40,
                          16,
                          num_folds=2,
                          description=fakes.describe(1)))


@pytest.fixture(name='values', scope='module')
def _values(records):
  """[40, 6] float32, which say the first classes."""
  rng = np.random.default_rng(0)
  noise = rng.normal(size=(40, 6)).astype(np.float32)
  return noise + 3 * records.labels[:, :6]


def _configure(records, directory, **values):
  return baseline.Baseline(
      **{
          'records': records.directory,
          'workdir': str(directory),
          'classifier': 'logistic_regression',
          **values
      })


@pytest.fixture(name='fitted', scope='module')
def _fitted(tmp_path_factory, records, values):
  """Folder of a run of both folds."""
  folder = tmp_path_factory.mktemp('made') / 'logistic_regression'
  for fold in (0, 1):
    assert baseline_run.train(_configure(records, folder, fold=fold), records,
                              values, 1)
  return folder


def _content(folder):
  return {
      str(path.relative_to(folder)): path.read_bytes()
      for path in folder.rglob('*')
      if path.is_file()
  }


def test_the_files_are_those_of_a_fold_without_a_network(fitted):
  assert set(os.listdir(fitted / 'fold1')) == {
      'config.json', 'about.json', 'samples.npz', 'predictions.npz',
      'per_class.csv', 'metrics.json'
  }


def test_it_is_read_as_any_run(fitted, records):
  run = finished_run.load(str(fitted))
  assert not run.has_network and run.threshold == .5
  assert run.config.classifier == 'logistic_regression'
  assert [fold.number for fold in run.folds] == [0, 1]
  assert 'epoch' not in run.folds[0].metrics
  assert run.folds[0].metrics['num_samples'] == len(records.rows(0))
  found = out_of_fold.collect(run)
  assert sorted(found.ids) == sorted(records.index['id'])
  samples = run.folds[1].samples
  np.testing.assert_array_equal(samples.repeats, records.repeats(1))


def test_a_held_out_image_is_in_no_fit_and_no_scaling(fitted, records, values,
                                                      tmp_path):
  held_out = records.rows(1)
  changed = values.copy()
  changed[held_out[0]] = 1e6
  settings = _configure(records, tmp_path / 'other', fold=1)
  baseline_run.train(settings, records, changed, 1)
  found, other = (arrays.Predictions.load(
      str(folder / 'fold1' / 'predictions.npz'), 12).predictions
                  for folder in (fitted, tmp_path / 'other'))
  np.testing.assert_array_equal(found[1:], other[1:])
  assert (found[0] != other[0]).any()


def test_again_nothing_is_fitted(fitted, records, values):
  before = _content(fitted)
  assert not baseline_run.train(_configure(records, fitted), records, values, 1)
  assert _content(fitted) == before


@pytest.mark.parametrize('name', ['metrics.json', 'predictions.npz'])
@pytest.mark.parametrize('content', [None, b'half'])
def test_an_unfinished_or_damaged_fold_is_made_again(fitted, records, values,
                                                     tmp_path, name, content):
  settings = _configure(records, tmp_path / 'run')
  baseline_run.train(settings, records, values, 1)
  path = tmp_path / 'run' / 'fold0' / name
  whole = path.read_bytes()
  path.unlink()
  if content:
    path.write_bytes(content)
  assert baseline_run.train(settings, records, values, 1)
  assert path.read_bytes() == whole
  assert _content(fitted)[f'fold0/{name}'] == whole


@pytest.mark.parametrize('changes,message', [
    ({
        'seed': 1
    }, 'seed 0, not 1'),
    ({
        'classifier': 'random_forest'
    }, "classifier 'logistic_regression', not 'random_forest'"),
    ({
        'descriptors': 'version 2'
    }, 'descriptors'),
])
def test_a_folder_of_other_settings_is_refused(fitted, records, values, changes,
                                               message):
  before = _content(fitted)
  settings = dataclasses.replace(_configure(records, fitted), **changes)
  with pytest.raises(errors.DataError, match=message):
    baseline_run.train(settings, records, values, 1)
  assert _content(fitted) == before


def test_another_dataset_is_refused(fitted, tmp_path):
  other = dataset.load(
      fakes.write_records(tmp_path,
                          20,
                          16,
                          num_folds=2,
                          description=fakes.describe(1)))
  with pytest.raises(errors.DataError, match='other settings: records '):
    baseline_run.train(_configure(other, fitted), other, np.zeros((20, 2)), 1)


def test_several_labels_are_refused_where_one_is_expected(
    records, values, tmp_path):
  settings = _configure(records, tmp_path / 'run', single_label=True)
  with pytest.raises(errors.DataError, match='exactly one label .* leave'):
    baseline_run.train(settings, records, values, 1)
  assert not (tmp_path / 'run').exists()


@pytest.mark.parametrize('read', [
    trained.load,
    lambda folder: ensemble.load([folder]),
    lambda folder: export.write(folder, f'{folder}-out', export.Choice()),
])
def test_what_needs_a_network_says_that_there_is_none(fitted, read):
  with pytest.raises(errors.DataError,
                     match=r'descriptors \(logistic_regression\), which has no '
                     'network: it cannot predict, embed or export'):
    read(str(fitted))


def test_training_starts_from_or_goes_on_with_no_such_run(fitted, records):
  with pytest.raises(errors.DataError, match='has no network'):
    source.read(str(fitted), 0)
  before = _content(fitted)
  config = runs.configure(records.directory, fitted, fold=0)
  with pytest.raises(errors.DataError, match='is of a classifier of descr'):
    loop.train(config)
  assert _content(fitted) == before


@pytest.mark.parametrize('name,value', [('classifier', 7), ('f1_macro', 'x'),
                                        ('threshold', 'x')])
def test_damaged_metrics_are_refused(fitted, tmp_path, name, value):
  content = json.loads((fitted / 'fold0' / 'metrics.json').read_text())
  path = tmp_path / 'metrics.json'
  path.write_text(json.dumps({**content, name: value}))
  with pytest.raises(errors.DataError, match='is missing or damaged'):
    fold_file.load_json(str(path))


def test_its_report_has_what_there_is(records, tmp_path):
  records = dataset.load(
      fakes.write_single_label(tmp_path, fakes.describe(1, 2), [0, 1] * 10))
  folder = tmp_path / 'random_forest'
  settings = _configure(records, folder, classifier='random_forest')
  baseline_run.train(settings, records, records.labels.astype(np.float32), 1)
  path = page.write([str(folder)], str(tmp_path), 0)
  text = pathlib.Path(path).read_text(encoding='utf-8')
  assert '<h1>Classifiers of descriptors on fake' in text
  assert 'random forest of descriptors, without a network, 1 of 2 folds' in text
  assert 'This run has no network: a classifier' in text
  assert 'These runs have no gallery.' in text
  names = os.listdir(tmp_path / 'report')
  assert 'runs_roc.png' in names and 'runs_learning_curves.png' not in names
  assert 'epoch' not in text.partition('<h1>')[2].partition('<h2')[0]
