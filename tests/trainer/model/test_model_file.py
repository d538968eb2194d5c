"""model_file: what an exported folder says of itself, and is believed."""

import dataclasses
import json

import numpy as np
import pytest

from hpa_records.datasets import description
from hpa_records.runtime import errors
from tests.fuzz import model_target
from trainer.model import model_file
from trainer.prediction import ensemble


@pytest.fixture(name='folder')
def _folder(tmp_path):
  """A folder with model.json, of one threshold a class."""
  data = model_target.format_model(np.linspace(-0.5, 1, 28))
  (tmp_path / 'model.json').write_bytes(data)
  return tmp_path


def test_what_is_written_is_read(folder):
  found = model_file.load(str(folder))
  run = model_target.make_run()
  assert found.run.directory == str(folder)
  assert found.run.fingerprint == run.fingerprint
  assert found.run.spec == run.spec
  assert [each.number for each in found.run.folds] == [0, 3]
  for mine, theirs in zip(found.run.folds, run.folds):
    assert mine.about == theirs.about and mine.metrics == {'epoch': 2}
  assert (found.tta, found.weights) == ('none', 'last')
  np.testing.assert_array_equal(found.threshold, np.linspace(-0.5, 1, 28))
  assert found.files['folds/fold0.keras'] == (5, 'a' * 64)


@pytest.mark.parametrize('settings', [
    {
        'stage_dir': '/home/me/stage',
        'init_from': '/home/me/first/',
        'freeze': 'stem'
    },
    {
        'cache': 'disk',
        'cache_dir': '/home/me/cache',
        'model': 'resnet50',
        'activation': 'relu',
        'pretrained': 'imagenet',
        'weights_file': '/home/me/first.h5'
    },
    {
        'distribute': 'tpu',
        'tpu': 'grpc:///home/me'
    },
],
                         ids=str)
def test_paths_of_the_training_are_not_passed_on(tmp_path, settings):
  run = model_target.make_run()
  config = dataclasses.replace(run.config,
                               records='gs://home/me/records',
                               workdir='/home/me/run',
                               **settings)
  text = model_file.format_json(dataclasses.replace(run, config=config),
                                tta='none',
                                weights='last',
                                threshold=0.5,
                                files={})
  assert '/home/me' not in text
  (tmp_path / 'model.json').write_text(text)
  found = model_file.load(str(tmp_path)).run.config
  start = found.init_from or found.weights_file
  assert start in ('', 'first', 'first.h5')
  assert bool(start) == bool(config.init_from or config.weights_file)
  for name in ('model', 'activation', 'freeze', 'pretrained'):
    assert getattr(found, name) == getattr(config, name)


def test_new_images_get_the_stored_levels(folder):
  described = description.load('hpa2018',
                               ['intensity={rule="percentiles", of="dataset"}'])
  exported = model_file.load(str(folder))
  found = ensemble.Ensemble((exported.run,), exported)
  assert found.load_how(described).levels == ((0, 4095),) * 4


def test_a_file_is_the_one_that_was_exported(folder):
  found = model_file.load(str(folder))
  (folder / 'folds').mkdir()
  (folder / 'folds/fold0.keras').write_bytes(b'12345')
  with pytest.raises(errors.DataError, match='missing or was changed'):
    found.locate('folds/fold0.keras')
  with pytest.raises(errors.DataError, match='does not list folds/fold3.keras'):
    found.locate('folds/fold3.keras')


@pytest.mark.parametrize('text', ['', '[]', '{"a": NaN}', '[' * 9999])
def test_what_is_no_model_json_is_refused(folder, text):
  (folder / 'model.json').write_text(text)
  with pytest.raises(errors.DataError, match='model.json is damaged, or of'):
    model_file.load(str(folder))


def test_what_is_missing_or_no_fold_is_refused(folder):
  path = folder / 'model.json'
  content = json.loads(path.read_text())
  del content['threshold']
  path.write_text(json.dumps(content))
  with pytest.raises(errors.DataError, match='threshold is missing'):
    model_file.load(str(folder))
  for number in (-1, 2**16, 2**32 + 1, 10**30):
    content['threshold'] = 0.5
    content['folds'][0]['number'] = number
    path.write_text(json.dumps(content))
    with pytest.raises(errors.DataError, match=r'\(folds: received '):
      model_file.load(str(folder))
