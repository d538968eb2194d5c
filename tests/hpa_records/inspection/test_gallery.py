"""gallery: the samples drawn are the dataset's."""

import os

import cv2
import numpy as np
import pytest

from hpa_records.conversion import convert
from hpa_records.conversion import shard_plan
from hpa_records.format import manifest
from hpa_records.datasets import description
from hpa_records.format import spec as spec_lib
from hpa_records.images import load
from hpa_records.images import resize
from hpa_records.inspection import figure
from hpa_records.inspection import gallery
from hpa_records.inspection import summary
from hpa_records.runtime import errors
from hpa_records.sampling import balance
from tests import conftest
from tests.support import decoding
from tests.support import fakes
from tests.support import forgery
from tests.support import plain_dataset
from tests.support import specs

_HPA = description.default().spec(64)


def _load(folder):
  made = manifest.load(str(folder))
  return made, manifest.load_index(str(folder), made)


@pytest.mark.parametrize('encoding', spec_lib.ENCODINGS)
def test_images_are_those_of_the_samples(tmp_path, encoding):
  folder = forgery.write_dataset(tmp_path, encoding)
  made, index = _load(folder)
  found = gallery.load_images(str(folder), made, index, [17, 3])
  for row, pixels in zip((17, 3), found):
    number = int(index['id'][row][1:])
    np.testing.assert_array_equal(pixels, resize.resize(fakes.image(number),
                                                        16))


def test_every_class_gets_a_sample_and_rare_ones_choose_first():
  labels = np.zeros((4, 28), np.uint8)
  labels[0, [2, 5]] = labels[1, 2] = labels[2, [2, 5, 9]] = labels[3, 2] = 1
  # 9 has no choice, 5 takes the one that is left, 2 the first of its own.
  assert gallery.pick_by_class(labels) == {2: 1, 5: 0, 9: 2}


def test_classes_share_a_sample_if_there_is_no_other():
  labels = np.zeros((1, 28), np.uint8)
  labels[0, [1, 4]] = 1
  assert gallery.pick_by_class(labels) == {1: 0, 4: 0}


def _draw(folder, output, monkeypatch, fold=0):
  """Returns the figures that draw saves, by file name."""
  saved, save = {}, figure.save

  def keep(drawn, path):
    saved[path.rpartition('/')[2]] = drawn
    save(drawn, path)

  monkeypatch.setattr(figure, 'save', keep)
  made, index = _load(folder)
  paths = gallery.draw(str(folder), made, index, description.spec_of(made),
                       fold, str(output))
  assert paths == sorted(str(path) for path in output.iterdir())
  assert all(cv2.imread(path) is not None for path in paths)
  return saved


def test_figures_show_the_dataset(tmp_path, monkeypatch):
  folder = forgery.write_dataset(tmp_path)
  saved = _draw(folder, tmp_path / 'figures', monkeypatch, fold=2)
  assert set(saved) == {
      'class_counts.png', 'labels_per_image.png', 'samples_by_channel.png',
      'samples_by_class.png',
      *(f'class_counts_{policy}.png' for policy in balance.POLICIES)
  }
  made, index = _load(folder)
  left, right = saved['class_counts.png'].axes
  want = np.delete(np.array(made.class_counts), 2, axis=0).sum(axis=0)
  for axes in (left, right):
    assert [each.get_width() for each in axes.patches] == want.tolist()
  assert 'balance none' in right.get_title()
  hot = description.spec_of(made).multi_hot(index['labels'])
  _, totals = summary.compare_policies(made, index, hot, 2, balance.Balance())
  for policy in balance.POLICIES:
    left, right = saved[f'class_counts_{policy}.png'].axes
    assert [each.get_width() for each in left.patches] == want.tolist()
    assert [each.get_width() for each in right.patches
           ] == totals[policy].tolist()
    assert f'balance {policy}' in right.get_title()
  titles = [axes.get_title() for axes in saved['samples_by_class.png'].axes]
  assert titles[:2] == ['0 Nucleoplasm', '1 Nuclear membrane']
  assert len(saved['samples_by_channel.png'].axes) == 6 * 5


def test_a_set_without_labels_has_its_samples_drawn(tmp_path, monkeypatch):
  forgery.write_unlabelled(tmp_path / 'records')
  saved = _draw(tmp_path / 'records', tmp_path / 'figures', monkeypatch)
  assert set(saved) == {'samples_by_channel.png'}
  sheet = saved['samples_by_channel.png']
  name = sheet.axes[0].get_ylabel()
  np.testing.assert_array_equal(sheet.axes[3].images[0].get_array(),
                                fakes.plane(int(name[1:]), 3, 16))


def test_a_damaged_image_is_named(tmp_path):
  folder = forgery.write_dataset(tmp_path, 'png')
  made, index = _load(folder)
  path = folder / made.shards[0].name
  path.write_bytes(bytes(path.stat().st_size))
  with pytest.raises(errors.DataError, match=f'of {path}: not a png'):
    gallery.load_images(str(folder), made, index, [0])


def test_real_fields_are_drawn(tmp_path, monkeypatch):
  shared = conftest.find_shared_data() / 'hpa'
  convert.convert(str(shared / 'fields.csv'), str(shared / 'fields'),
                  str(tmp_path / 'records'),
                  shard_plan.Settings(image_size=64, limit=12, num_folds=2),
                  convert.How(workers=1))
  saved = _draw(tmp_path / 'records', tmp_path / 'figures', monkeypatch)
  row = saved['samples_by_channel.png'].axes[:5]
  sample_id = row[0].get_ylabel().splitlines()[0]
  paths = tuple(
      str(shared / 'fields' / f'{sample_id}_{channel}.png')
      for channel in _HPA.channel_names)
  pixels = load.load(paths, decoding.how(64))
  for c in range(4):
    np.testing.assert_array_equal(row[c].images[0].get_array(), pixels[..., c])
  np.testing.assert_array_equal(row[4].images[0].get_array(),
                                figure.composite(pixels, _HPA))


def test_figures_of_the_users_are_not_replaced(tmp_path):
  counts = np.zeros(_HPA.num_classes)
  figures = {
      name: gallery.draw_counts(counts, counts, 'none', 0, _HPA.classes)
      for name in 'ab'
  }
  gallery.save(figures, str(tmp_path))
  gallery.save(figures, str(tmp_path))  # its own are
  (tmp_path / 'b.png').write_bytes(b'mine')
  (tmp_path / 'a.png').unlink()
  with pytest.raises(errors.DataError,
                     match='b.png exists and was not written'):
    gallery.save(figures, str(tmp_path))
  assert [path.name for path in tmp_path.iterdir()] == ['b.png']
  assert (tmp_path / 'b.png').read_bytes() == b'mine'


@pytest.mark.parametrize(
    'make', [os.mkfifo, os.mkdir, lambda path: os.symlink('nowhere', path)])
def test_pipes_and_folders_are_not_replaced_by_a_figure(tmp_path, make):
  make(tmp_path / 'a.png')
  before = os.lstat(tmp_path / 'a.png')[:2]  # kind and inode
  counts = np.zeros(_HPA.num_classes)
  drawn = gallery.draw_counts(counts, counts, 'none', 0, _HPA.classes)
  with pytest.raises(errors.DataError, match='a.png exists and was not'):
    gallery.save({'a': drawn}, str(tmp_path))
  assert os.lstat(tmp_path / 'a.png')[:2] == before


def test_a_folder_that_cannot_be_created_is_a_one_line_error(tmp_path):
  (tmp_path / 'file').touch()
  with pytest.raises(errors.DataError,
                     match='Cannot write to .*move it.*--figures'):
    gallery.save({}, str(tmp_path / 'file' / 'figures'))


@pytest.mark.parametrize('num_classes,num_channels', [(1, 1), (2000, 5)])
def test_figures_of_any_classes_and_channels(tmp_path, monkeypatch, num_classes,
                                             num_channels):
  spec = specs.make(8, num_channels, num_classes)
  labels = [[i % num_classes] for i in range(90)]
  folder = plain_dataset.write(tmp_path / 'records', spec, labels)
  saved = _draw(folder, tmp_path / 'figures', monkeypatch)
  # The factors of the policy table are Kaggle's.
  assert set(balance.POLICIES) - {
      name.removeprefix('class_counts_').removesuffix('.png') for name in saved
  } == {'table'}
  sheet = saved['samples_by_class.png']
  assert sum(axes.axison for axes in sheet.axes) == min(num_classes, 40)
  title = sheet.get_suptitle()
  assert ('largest' in title) == (num_classes > 40)
  sheet = saved['samples_by_channel.png']
  sample = int(sheet.axes[0].get_ylabel().split()[0][1:])
  pixels = plain_dataset.image(sample, spec)
  for c in range(num_channels):
    np.testing.assert_array_equal(sheet.axes[c].images[0].get_array(),
                                  pixels[..., c])
  np.testing.assert_array_equal(sheet.axes[num_channels].images[0].get_array(),
                                figure.composite(pixels, spec))


def test_of_many_classes_the_largest_and_the_rarest_get_a_sample():
  counts = np.random.default_rng(0).permutation(200) + 1
  labels = np.eye(300, dtype=np.uint8)[np.repeat(np.arange(200), counts)]
  chosen = gallery.pick_by_class(labels)
  order = np.argsort(-counts, kind='stable').tolist()
  assert list(chosen) == sorted(order[:20] + order[-20:])
  assert all(labels[row, k] for k, row in chosen.items())
