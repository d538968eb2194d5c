"""tfds_metadata: the real TensorFlow Datasets opens the folder."""

import json

import numpy as np
import pytest
import tensorflow_datasets as tfds

from hpa_records.conversion import convert
from hpa_records.conversion import shard_plan
from hpa_records.datasets import description
from hpa_records.format import example as example_lib
from hpa_records.format import manifest
from hpa_records.format import spec
from hpa_records.format import tfds_metadata
from hpa_records.format import tfrecord
from hpa_records.images import pixel_codec
from hpa_records.storage import filesystem
from tests.support import fakes


@pytest.fixture(name='opened', params=spec.ENCODINGS, scope='module')
def _opened(tmp_path_factory, request):
  """(folder of a dataset, TFDS' builder of it)."""
  folder = tmp_path_factory.mktemp('tfds')
  csv, images = fakes.write_source(folder, size_px=300)
  settings = shard_plan.Settings(image_size=300,
                                 shard_mb=1,
                                 encoding=request.param)
  convert.convert(csv, images, str(folder / 'records'), settings,
                  convert.How(workers=1))
  return folder / 'records', tfds.builder_from_directory(folder / 'records')


_spec = description.default().spec


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
    assert files[name] == filesystem.sha256(str(folder / name))
    json.loads((folder / name).read_text())


def _shard(folder, name, samples):
  """Writes a shard of samples and returns the manifest's entry."""
  written = tfrecord.write(
      str(folder / name),
      [(example_lib.encode_head(each), each.image) for each in samples])
  return manifest.Shard(name, len(samples), written.num_bytes, written.sha256)


@pytest.mark.parametrize('encoding', spec.ENCODINGS)
def test_an_unlabelled_set_is_the_split_test(tmp_path, encoding):
  payloads = [pixel_codec.encode(fakes.image(i), encoding) for i in range(5)]
  samples = [
      example_lib.Sample(f's{i}', each) for i, each in enumerate(payloads)
  ]
  shards = (_shard(tmp_path, tfrecord.file_name('test', 0, 2), samples[:3]),
            _shard(tmp_path, tfrecord.file_name('test', 1, 2), samples[3:]))
  tfds_metadata.write(str(tmp_path), _spec(24, encoding), 5, shards, 'Images')
  builder = tfds.builder_from_directory(tmp_path)
  examples = list(tfds.as_numpy(builder.as_dataset(split='test')))
  assert [each['id'] for each in examples
         ] == [b's0', b's1', b's2', b's3', b's4']
  for i, example in enumerate(examples):
    assert set(example) == {'id', 'image'}
    np.testing.assert_array_equal(example['image'], fakes.image(i))


def test_folds_and_an_unlabelled_set_do_not_mix(tmp_path):
  shards = [
      manifest.Shard(tfrecord.file_name(group, 0, 1), 1, 1, '')
      for group in ('fold0', 'test')
  ]
  with pytest.raises(ValueError, match=r"received \['fold0', 'test'"):
    tfds_metadata.write(str(tmp_path), _spec(24), 2, shards, 'Images')


@pytest.mark.parametrize('encoding', spec.ENCODINGS)
def test_features_are_what_tfds_itself_would_write(tmp_path, encoding):
  features = tfds.features
  shape = (16, 16, 4)
  pixels = features.Image(shape=shape, encoding_format='png')
  if encoding == 'raw':
    pixels = features.Tensor(shape=shape,
                             dtype=np.uint8,
                             encoding=features.Encoding.BYTES)
  features.FeaturesDict({
      'id': features.Text(),
      'fold': features.Scalar(np.int64),
      'labels': features.Tensor(shape=(28,), dtype=np.int64),
      'repeats': features.Tensor(shape=(5,), dtype=np.float32),
      'image': pixels,
  }).save_config(tmp_path)
  expected = json.loads((tmp_path / 'features.json').read_text())
  tfds_metadata.write(str(tmp_path), _spec(16, encoding), 5, (), 'Images')
  assert json.loads((tmp_path / 'features.json').read_text()) == expected
