"""dataset: what a run reads of manifest and index, and what it refuses."""

import json
import pathlib
import shutil

import numpy as np
import pandas as pd
import pytest

from hpa_records.conversion import convert
from hpa_records.conversion import shard_plan
from hpa_records.format import manifest
from hpa_records.datasets import description
from hpa_records.reading import dataset
from hpa_records.runtime import errors
from hpa_records.sampling import balance
from tests.support import fakes
from tests.support import forgery
from tests.support import plain_dataset
from tests.support import specs


def _convert(folder, **settings):
  csv, images = fakes.write_source(folder, num_samples=40)
  output = str(folder / 'records')
  convert.convert(csv, images, output,
                  shard_plan.Settings(image_size=24, **settings),
                  convert.How(workers=1))
  return output


@pytest.fixture(name='stored', scope='module')
def _stored(tmp_path_factory):
  return _convert(tmp_path_factory.mktemp('dataset'))


@pytest.mark.parametrize('fold', range(5))
def test_pixels_are_those_of_the_other_folds(stored, fold):
  found = dataset.load(stored).pixels(fold)
  pixels = np.stack([
      np.frombuffer(each.image, np.uint8).reshape(-1, 4)
      for each in fakes.read_samples(pathlib.Path(stored)).values()
      if each.fold != fold
  ])
  np.testing.assert_allclose(found['mean'],
                             pixels.mean(axis=(0, 1)),
                             rtol=1e-12)
  np.testing.assert_allclose(found['std'], pixels.std(axis=(0, 1)), rtol=1e-12)


def test_pixels_of_an_earlier_version_are_those_of_all_folds(stored, tmp_path):
  folder = shutil.copytree(stored, tmp_path / 'records')
  forgery.forge_content(folder, lambda said: said['pixels'].pop('folds'))
  records = dataset.load(str(folder))
  said = records.manifest.pixels
  assert records.pixels(1) == {'mean': said['mean'], 'std': said['std']}


@pytest.mark.parametrize('policy', balance.POLICIES)
def test_balance_from_the_index_is_what_the_converter_would_store(
    stored, tmp_path, policy):
  asked = balance.Balance(policy, target=7, tolerance=0.1)
  output = _convert(tmp_path,
                    balance=policy,
                    balance_target=7,
                    balance_tolerance=0.1)
  records, wanted = dataset.load(stored), dataset.load(output)
  assert records.index['id'].tolist() == wanted.index['id'].tolist()
  for fold in range(5):
    np.testing.assert_array_equal(records.repeats(fold, asked),
                                  wanted.repeats(fold))


def test_labels_are_those_of_the_table(stored):
  records = dataset.load(stored)
  for name, labels in zip(records.index['id'], records.labels):
    number = int(name[1:])
    want = {number % 5} | ({5 + number % 7} if number % 3 == 0 else set())
    assert set(np.flatnonzero(labels)) == want


def _forge(folder, change_manifest=None, change_index=None):
  """Changes a dataset and writes all hashes anew, as another writer would."""
  made = manifest.load(folder)
  content = dict(vars(made))
  if change_index:
    index = manifest.load_index(folder, made)
    change_index(index)
    content['files'] = {
        **made.files, manifest.INDEX_NAME: manifest.write_index(folder, index)
    }
  if change_manifest:
    change_manifest(content)
  manifest.write(folder, manifest.Manifest(**content))


def _other_size(index: pd.DataFrame):
  index['image_bytes'] -= 4


def _other_version(content):
  content['format_version'] = 2


def _fewer_classes(content):
  content['classes'] = content['classes'][1:]


def _equal_classes(content):
  content['classes'] = (content['classes'][1], *content['classes'][1:])


def _other_channels(content):
  content['channels'] = content['channels'][::-1]


@pytest.mark.parametrize('change,message', [
    ((_other_version, None), 'Expected record format 1, received 2'),
    ((_fewer_classes, None), 'expected class counts of 5 folds and 27 classes'),
    ((_equal_classes, None), "duplicate class 'Nuclear membrane'"),
    ((_other_channels, None), "received \\['yellow', 'blue', 'green', 'red'"),
    ((None, _other_size),
     'expected the 2304 bytes of 24x24 pixels of s[0-9]+, received 2300'),
])
def test_records_of_another_kind_are_refused(tmp_path, change, message):
  output = _convert(tmp_path)
  _forge(output, *change)
  with pytest.raises(errors.DataError, match=message):
    dataset.load(output)


def test_a_truncated_shard_is_refused(tmp_path):
  output = _convert(tmp_path)
  name = manifest.load(output).shards[-1].name
  with open(f'{output}/{name}', 'r+b') as file:
    file.truncate(100)
  with pytest.raises(errors.DataError, match=f'received 100 bytes at .*{name}'):
    dataset.load(output)


def test_a_changed_manifest_is_refused(tmp_path):
  output = _convert(tmp_path)
  path = f'{output}/{manifest.MANIFEST_NAME}'
  with open(path, encoding='utf-8') as file:
    content = json.load(file)
  content['num_records'] += 1
  with open(path, 'w', encoding='utf-8') as file:
    json.dump(content, file, indent=1, sort_keys=True)
    file.write('\n')
  with pytest.raises(errors.DataError, match='was changed'):
    dataset.load(output)


def test_a_dataset_without_description_is_kaggles(stored):
  assert dataset.load(stored).spec == description.default().spec(24)


def test_names_of_classes_are_those_of_the_manifest(tmp_path):
  output = _convert(tmp_path)
  _forge(
      output, lambda content: content.update(classes=('Nucleus', *content[
          'classes'][1:])))
  assert dataset.load(output).spec.classes[:2] == ('Nucleus',
                                                   'Nuclear membrane')


@pytest.mark.parametrize('num_classes', [1, 64, 65, 200, 1138])
def test_records_of_other_classes_and_channels(tmp_path, num_classes):
  spec = specs.make(8, 5, num_classes)
  labels = [[i % num_classes] for i in range(9)] + [[]]
  plain_dataset.write(tmp_path, spec, labels)
  records = dataset.load(str(tmp_path))
  assert records.spec == spec
  numbers = [int(name[1:]) for name in records.index['id']]
  np.testing.assert_array_equal(records.labels,
                                spec.multi_hot([labels[i] for i in numbers]))
  asked = balance.Balance('table', factors='0:3')
  drawn = records.repeats(0, asked)
  want = [(3 if labels[i] and i % num_classes == 0 else 1) * (i % 2)
          for i in numbers]
  np.testing.assert_array_equal(drawn, want)
  with pytest.raises(errors.DataError, match='needs --balance_factors'):
    records.repeats(0, balance.Balance('table'))
