"""tfds_metadata: the real TensorFlow Datasets opens the folder."""

import json

import numpy as np
import pytest
import tensorflow_datasets as tfds

from hpa_records import convert
from hpa_records import manifest
from hpa_records import schema
from hpa_records import shard_plan
from tests import fakes


@pytest.fixture(name='opened', params=schema.ENCODINGS, scope='module')
def _opened(tmp_path_factory, request):
  """(folder of a dataset, TFDS' builder of it)."""
  folder = tmp_path_factory.mktemp('tfds')
  csv, images = fakes.write_source(folder, size_px=300)
  settings = shard_plan.Settings(image_size=300,
                                 shard_mb=1,
                                 encoding=request.param)
  convert.convert(csv, images, str(folder / 'records'), settings, workers=1)
  return folder / 'records', tfds.builder_from_directory(folder / 'records')


def _ids(builder, split):
  return [
      example['id'].decode()
      for example in tfds.as_numpy(builder.as_dataset(split=split))
  ]


def test_every_split_holds_the_samples_of_its_fold_in_order(opened):
  folder, builder = opened
  index = manifest.load_index(str(folder), manifest.load(str(folder)))
  for fold in range(5):
    rows = index[index['fold'] == fold]
    assert _ids(builder, f'fold{fold}') == rows['id'].tolist()
    assert builder.info.splits[f'fold{fold}'].num_examples == len(rows)


def test_features_are_those_of_the_records(opened):
  folder, builder = opened
  index = manifest.load_index(str(folder), manifest.load(str(folder)))
  rows = index.set_index('id')
  for example in tfds.as_numpy(builder.as_dataset(split='fold2')):
    row = rows.loc[example['id'].decode()]
    np.testing.assert_array_equal(example['image'],
                                  fakes.image(int(row.name[1:]), 300))
    assert np.flatnonzero(example['labels']).tolist() == row['labels'].tolist()
    np.testing.assert_array_equal(example['repeats'], row['repeats'])
    assert example['fold'] == 2


def test_splits_can_be_cut_and_joined(opened):
  _, builder = opened
  whole = _ids(builder, 'fold0')
  assert _ids(builder, 'fold0[:2]') == whole[:2]
  halves = _ids(builder, 'fold0[:50%]') + _ids(builder, 'fold0[50%:]')
  assert halves == whole and len(whole) > 2
  assert _ids(builder, 'fold0+fold1') == whole + _ids(builder, 'fold1')


def test_manifest_has_the_hashes(opened):
  folder, _ = opened
  files = manifest.load(str(folder)).files
  for name in ('features.json', 'dataset_info.json'):
    assert files[name] == manifest.file_sha256(str(folder / name))
    json.loads((folder / name).read_text())
