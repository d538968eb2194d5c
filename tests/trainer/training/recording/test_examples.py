"""examples: which held-out samples stand for a class."""

import shutil

import numpy as np
import pytest

from hpa_records.inspection import gallery
from hpa_records.reading import dataset
from hpa_records.runtime import errors
from tests.support import fakes
from trainer.network import activation_map
from trainer.network import gapnet
from trainer.run import arrays
from trainer.training.recording import examples


def test_the_most_extreme_of_each_kind_is_picked():
  labels = np.array([[1, 0], [1, 0], [1, 0], [0, 0], [0, 0], [1, 0]])
  predictions = np.array([[.6, .1], [.9, .2], [.4, .3], [.7, .1], [.8, .5],
                          [.2, .4]])
  rows, classes, kinds = examples.pick(labels, predictions, 0.5)
  assert list(zip(rows, classes, kinds)) == [(1, 0, 'hit'), (5, 0, 'miss'),
                                             (4, 0, 'false_alarm')]


def test_a_positive_that_is_predicted_is_no_miss():
  labels, predictions = np.ones((4, 3), int), np.full((4, 3), 0.9)
  _, _, kinds = examples.pick(labels, predictions, 0.5)
  assert kinds.tolist() == ['hit'] * 3


def test_nothing_notable_is_nothing():
  found = examples.pick(np.zeros((4, 3), int), np.zeros((4, 3)), 0.5)
  assert [each.size for each in found] == [0, 0, 0]


@pytest.fixture(name='collected', scope='module')
def _collected(tmp_path_factory):
  """(dataset, network, predictions of fold 1, what is notable in it)."""
  folder = tmp_path_factory.mktemp('notable')
  records = dataset.load(fakes.write_records(folder, 60, 32))
  model = gapnet.build(records.spec,
                       'original',
                       'prelu',
                       mean=[100] * 4,
                       std=[50] * 4)
  rng = np.random.default_rng(0)
  predictions = rng.random((len(records.rows(1)), 28)).astype(np.float32)
  return records, model, predictions, examples.collect(records, 1, model,
                                                       predictions, 0.5)


def test_what_is_collected_belongs_together(collected):
  records, model, predictions, found = collected
  ids = records.index['id'].to_numpy(str)
  rows = [int(np.flatnonzero(ids == each)[0]) for each in found.ids]
  assert set(rows) <= set(records.rows(1).tolist())
  np.testing.assert_array_equal(found.labels, records.labels[rows])
  np.testing.assert_array_equal(
      found.predictions, predictions[np.searchsorted(records.rows(1), rows)])
  images = gallery.load_images(records.directory, records.manifest,
                               records.index, rows)
  np.testing.assert_array_equal(found.images, images)  # small, not reduced
  maps = activation_map.compute(model, images, found.classes)
  for mine, theirs in zip(found.maps, maps):
    np.testing.assert_array_equal(mine, theirs)
  positive = found.labels[np.arange(len(rows)), found.classes]
  assert ((found.kinds == 'false_alarm') == (positive == 0)).all()


def test_a_gallery_is_saved_whole(collected, tmp_path):
  found = collected[3]
  found.save(str(tmp_path / 'gallery.npz'))
  again = arrays.Gallery.load(str(tmp_path / 'gallery.npz'), collected[0].spec)
  assert len(again.maps) == 3
  for name, value in vars(found).items():
    for mine, theirs in zip(value, getattr(again, name)):
      np.testing.assert_array_equal(mine, theirs)


def test_a_gallery_of_large_images_is_loaded(collected, tmp_path, monkeypatch):
  records, model, predictions, _ = collected
  monkeypatch.setattr(
      activation_map, 'compute', lambda _, images, __:
      [np.ones([len(images), side, side], np.float32) for side in (2048, 1024)])
  found = examples.collect(records, 1, model, predictions, 0.5)
  found.save(str(tmp_path / 'gallery.npz'))
  again = arrays.Gallery.load(str(tmp_path / 'gallery.npz'), collected[0].spec)
  assert [each.shape[1:] for each in again.maps] == [(200, 200)] * 2


def test_images_of_a_dataset_that_was_replaced_are_refused(tmp_path):
  records = dataset.load(fakes.write_records(tmp_path, 20, 32))
  model = gapnet.build(records.spec,
                       'original',
                       'prelu',
                       mean=[100] * 4,
                       std=[50] * 4)
  predictions = np.ones((len(records.rows(1)), 28), np.float32)
  (tmp_path / 'other').mkdir()
  other = fakes.write_records(tmp_path / 'other', 20, 32, seed=1)
  shutil.rmtree(records.directory)
  shutil.move(other, records.directory)
  with pytest.raises(errors.DataError, match='was replaced during the run'):
    examples.collect(records, 1, model, predictions, 0.5)
