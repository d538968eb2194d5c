"""inference_source: image files give the same batches as their records."""

import dataclasses
import multiprocessing
import pathlib

import numpy as np
import pytest

from hpa_records.conversion import convert
from hpa_records.conversion import shard_plan
from hpa_records.datasets import description
from hpa_records.datasets import layout
from hpa_records.images import resize
from hpa_records.ingest import input_tables
from hpa_records.ingest import sample_table
from hpa_records.reading import inference_source
from hpa_records.runtime import errors
from hpa_records.sampling import epoch_plan
from tests.support import fakes
from tests.support import web_server

_COUNT = 230  # two processes, where there are two cores


@pytest.fixture(name='images')
def _images(tmp_path):
  return pathlib.Path(fakes.write_source(tmp_path, _COUNT)[1])


def _open(images, on_error='stop'):
  described = description.default()
  how = input_tables.How(described, unlabelled=True, on_error=on_error)
  loaded = sample_table.load('', str(images), how)
  return inference_source.Files(loaded, str(images),
                                described.how(16, 'triangle'), on_error)


def _take(files, share=epoch_plan.Share(32)):
  """All batches of a share, together."""
  with files.translate_errors():
    batches = list(files.batches(share).as_numpy_iterator())
  return {
      name: np.concatenate([batch[name] for batch in batches])
      for name in ('image', 'weight')
  }


def test_every_sample_is_read_once_in_order_and_blanks_are_black(images):
  with _open(images) as files:
    assert files.ids.tolist() == sorted(f's{i}' for i in range(_COUNT))
    found = _take(files)
    assert files.finish().all() and not files.issues
  assert found['weight'].sum() == _COUNT == np.argmin(found['weight'])
  assert not found['image'][_COUNT:].any()
  for name, pixels in zip(files.ids, found['image']):
    np.testing.assert_array_equal(pixels,
                                  resize.resize(fakes.image(int(name[1:])), 16))


def test_replicas_share_each_batch(images):
  with _open(images) as files:
    whole = _take(files)['image'].reshape(-1, 2, 16, 16, 16, 4)
    for first in (0, 1):
      part = _take(files, epoch_plan.Share(32, 2, first))['image']
      np.testing.assert_array_equal(part, whole[:, first].reshape(part.shape))


def test_damaged_samples_are_black_and_listed_at_the_end(images):
  data = bytearray((images / 's3_green.png').read_bytes())
  data[len(data) // 2] ^= 0x40
  (images / 's3_green.png').write_bytes(data)
  (images / 's7_red.png').write_bytes(b'no image')
  with _open(images, 'skip') as files:
    found = _take(files)
    assert not files.is_refused
    sound = files.finish()
  assert files.ids[~sound].tolist() == ['s3'] and len(sound) == _COUNT - 1
  assert not found['image'][:len(sound)][~sound].any()
  assert sorted(each.id for each in files.issues) == ['s3', 's7']
  (images / 's7_red.png').write_bytes((images / 's7_blue.png').read_bytes())
  with _open(images) as files:
    _take(files)
    assert files.is_refused
    with pytest.raises(errors.DataError,
                       match=r'1 issue:\n.*s3_green.png: damaged PNG'):
      files.finish()


def test_of_the_samples_of_a_row_only_the_damaged_one_is_skipped(images):
  data = bytearray((images / 's3_green.png').read_bytes())
  data[len(data) // 2] ^= 0x40
  (images / 's3_green.png').write_bytes(data)
  csv = images.parent / 'rows.csv'
  csv.write_text('letter\ns\n')
  described = dataclasses.replace(description.default(),
                                  table=layout.Table(id='{letter}{site}',
                                                     each=(('site', ('2', '3',
                                                                     '4')),)))
  how = input_tables.How(described, unlabelled=True, on_error='skip')
  loaded = sample_table.load(str(csv), str(images), how)
  with inference_source.Files(loaded, str(images), described.how(16),
                              'skip') as files:
    _take(files)
    assert files.ids[files.finish()].tolist() == ['s2', 's4']


def test_unreadable_files_are_never_skipped(images):
  with _open(images, 'skip') as files:
    (images / 's5_blue.png').unlink()
    (images / 's5_blue.png').mkdir()
    _take(files)
    assert files.is_refused
    with pytest.raises(
        errors.DataError,
        match='Cannot read all files of.*\n.*s5_blue.png: cannot'):
      files.finish()


def test_a_killed_process_is_an_error(images):
  with _open(images) as files:
    workers = multiprocessing.active_children()
    assert workers
    for each in workers:
      each.kill()
    with pytest.raises(errors.DataError, match='images was killed'):
      _take(files)


def _write_csv(path, ids):
  path.write_text('Id,Predicted\n' + ''.join(f'{each},0\n' for each in ids))
  return str(path)


@pytest.fixture(name='ordered')
def _ordered(tmp_path):
  """A set without labels, and the ids of the CSV that it was made from."""
  _, images = fakes.write_source(tmp_path, 9)
  ids = [f's{i}' for i in (3, 1, 7, 0, 5, 2)]
  csv = _write_csv(tmp_path / 'sample.csv', ids)
  convert.convert(csv, images, str(tmp_path / 'records'),
                  shard_plan.Settings(image_size=16, unlabelled=True),
                  convert.How(workers=1))
  return tmp_path / 'records', ids


def test_records_know_the_order_of_their_csv(ordered):
  found = inference_source.Records(str(ordered[0]))
  assert found.is_ordered and found.ids.tolist() != ordered[1]
  assert found.ids[found.order].tolist() == ordered[1]


def test_another_csv_picks_and_orders_records(ordered, tmp_path):
  csv = _write_csv(tmp_path / 'other.csv', ['s5', 's3', 's7'])
  found = inference_source.Records(str(ordered[0]), csv)
  assert found.ids[found.order].tolist() == ['s5', 's3', 's7']


@pytest.mark.parametrize('ids,message', [
    (['s5', 's8'], 'no record .* such as s8 in row 3'),
    (['s5', 's5'], 'Invalid rows'),
])
def test_a_csv_of_other_samples_is_refused(ordered, tmp_path, ids, message):
  csv = _write_csv(tmp_path / 'other.csv', ids)
  with pytest.raises(errors.DataError, match=message):
    inference_source.Records(str(ordered[0]), csv)


def test_labelled_records_are_listed_in_file_order(tmp_path):
  found = inference_source.Records(
      fakes.write_records(tmp_path, 9, 16, num_folds=2))
  assert not found.is_ordered
  assert found.order.tolist() == list(range(9))


def test_samples_of_one_row_are_records_in_the_order_of_the_table(tmp_path):
  csv, images = fakes.write_source(tmp_path, 40)
  (tmp_path / 'train.csv').write_text('ten\n3\n1\n2\n')
  described = description.load('hpa2018', [
      'table={id="s{ten}{one}", labels="Target", each={one=["7", "5", "6"]}}',
      'images.pattern="{id}_{channel}.png"'
  ])
  settings = shard_plan.Settings(image_size=16,
                                 unlabelled=True,
                                 description=described)
  convert.convert(csv, images, str(tmp_path / 'records'), settings,
                  convert.How(workers=1))
  found = inference_source.Records(str(tmp_path / 'records'))
  place = {name: i for i, name in enumerate(found.ids)}
  assert found.ids[found.order].tolist() == sorted(
      place, key=lambda name: ('312'.index(name[1]), place[name]))


def test_records_that_changed_meanwhile_are_an_error(tmp_path):
  folder = pathlib.Path(fakes.write_records(tmp_path, 6, 16))
  with web_server.serve(folder) as server:
    found = inference_source.Records(server.address)
    _take(found, epoch_plan.Share(8))
    assert found.finish().all()
    path = next(folder.glob('*.tfrecord'))
    path.write_bytes(path.read_bytes()[:-1] + b'?')
    with pytest.raises(errors.DataError, match=f'{path.name}.* was changed'):
      found.finish()


def test_a_joined_table_is_not_opened_for_the_order(tmp_path):
  csv, images = fakes.write_source(tmp_path, 6)
  other = tmp_path / 'other.csv'
  other.write_text('Id,plate\n' + ''.join(f's{i},p\n' for i in range(6)))
  described = description.load('hpa2018',
                               ['table.join=[{csv="other.csv", on={Id="Id"}}]'])
  settings = shard_plan.Settings(image_size=16,
                                 unlabelled=True,
                                 description=described)
  convert.convert(csv, images, str(tmp_path / 'records'), settings,
                  convert.How(workers=1))
  other.unlink()
  found = inference_source.Records(str(tmp_path / 'records'), csv)
  assert found.ids[found.order].tolist() == [f's{i}' for i in range(6)]
