"""pool: several datasets as one, and what does not fit together."""

import numpy as np
import pytest

from hpa_records.conversion import convert
from hpa_records.conversion import shard_plan
from hpa_records.reading import dataset
from hpa_records.runtime import errors
from hpa_records.sampling import epoch_plan
from tests.support import fakes
from trainer.pretraining import pool
from trainer.pretraining import pool_reader
from trainer.pretraining import settings as settings_lib


@pytest.fixture(name='folder', scope='module')
def _folder(tmp_path_factory):
  """Folders of labelled records, and of the same images without labels."""
  folder = tmp_path_factory.mktemp('pool')
  fakes.write_records(folder, 20, 24, num_folds=4)
  convert.convert('', str(folder / 'train'), str(folder / 'unlabelled'),
                  shard_plan.Settings(image_size=24, unlabelled=True),
                  convert.How(workers=1))
  return folder


def _load(*records, **values):
  return pool.load(
      settings_lib.Settings(records=settings_lib.join(map(str, records)),
                            workdir='w',
                            **{
                                'batch_size': 4,
                                **values
                            }))


def _read(found, rows, batch_size):
  batches = pool_reader.Reader(found).evaluation(np.array(rows),
                                                 epoch_plan.Share(batch_size))
  return np.concatenate([each['image'] for each in batches.as_numpy_iterator()])


def test_rows_are_those_of_both_with_their_pixels(folder):
  found = _load(folder / 'records', folder / 'unlabelled', fold=2)
  assert len(found.ids) == 40
  assert found.is_trained[20:].all() and (found.folds[20:] == -1).all()
  assert found.labels[20:].sum() == 0 and found.labels[:20].any(axis=1).all()
  rows = [3, 25, 39, 0]  # in two batches
  images = _read(found, rows, 3)
  for row, image in zip(rows, images):
    np.testing.assert_array_equal(image, fakes.image(int(found.ids[row][1:]),
                                                     24))
  assert not images[4:].any()  # the padding


def test_unlabelled_records_alone_hold_out_nothing(folder):
  found = _load(folder / 'unlabelled')
  assert found.is_trained.all() and not found.labelled.size
  assert found.spec.num_classes > 0


def test_pixels_are_those_of_what_is_trained_on(folder):
  one = _load(folder / 'records', fold=1)
  assert {
      name: one.pixels()[name] for name in ('mean', 'std')
  } == dataset.load(str(folder / 'records')).pixels(1)
  both = _load(folder / 'records', folder / 'unlabelled', fold=1)
  rows = np.flatnonzero(both.is_trained)
  images = _read(both, rows, len(rows)).astype(float)
  np.testing.assert_allclose(both.pixels()['mean'], images.mean(axis=(0, 1, 2)))
  np.testing.assert_allclose(both.pixels()['std'], images.std(axis=(0, 1, 2)))


def test_an_epoch_has_full_batches_of_other_images_each_time(folder):
  found = _load(folder / 'records', fold=1)
  plans = [
      found.plan(epoch_plan.Key(0, epoch, 1), 9).record for epoch in range(3)
  ]
  for each in plans:
    assert len(each) == len(set(each)) == 9
    assert (found.folds[each] != 1).all()
  assert len({frozenset(each) for each in plans}) == 3


def test_what_does_not_fit_is_one_line(folder, tmp_path):
  records, unlabelled = folder / 'records', folder / 'unlabelled'
  other = fakes.write_records(tmp_path / 'a', 8, 16, num_folds=2)
  for words, message in (
      ((records, other), 'have different image sizes; convert'),
      ((records, records), 'the same records twice'),
  ):
    with pytest.raises(errors.DataError, match=message):
      _load(*words)
  channels = fakes.write_records(tmp_path / 'b',
                                 8,
                                 24,
                                 num_folds=2,
                                 description=fakes.describe(3))
  with pytest.raises(errors.DataError, match='have different channels'):
    _load(unlabelled, channels)
  with pytest.raises(errors.DataError, match='--fold from 0 to 3, received 4'):
    _load(records, fold=4)
  with pytest.raises(errors.DataError,
                     match='there are 1[456] images to train'):
    _load(records, batch_size=20)
