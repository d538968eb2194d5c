"""sheet: through tools/inspect_records.py, and its pixels."""

import cv2
import numpy as np
import pytest

from hpa_records.inspection import figure
from hpa_records.reading import dataset
from tests.support import fakes
from tests.support import runs
from tests.support import specs
from trainer.augmentation import sheet
from trainer.recipe import augmentation


def _run(*flags):
  return runs.call('tools/inspect_records.py', *flags)


@pytest.fixture(name='folder', scope='module')
def _folder(tmp_path_factory):
  return fakes.write_records(tmp_path_factory.mktemp('sheet'), 20, 16)


def test_the_command_draws_what_is_trained_on(folder, tmp_path):
  flags = ('--augment=none', '--rotate=90', '--cutmix=1', '--seed=3')
  done = _run(f'--records={folder}', f'--figures={tmp_path}', *flags)
  assert done.returncode == 0, done.stderr
  path = tmp_path / 'augmentation.png'
  assert done.stdout.splitlines()[-1] == str(path)
  found = cv2.imread(str(path))
  records = dataset.load(folder)
  images = np.stack(
      [fakes.image(int(each[1:]), 16) for each in records.index['id'][:4]])
  settings = augmentation.Augmentation(augment='none', rotate=90.0, cutmix=1.0)
  drawn = sheet.draw(settings, 3, images, list(records.index['id'][:4]),
                     records.spec)
  want = cv2.imdecode(np.frombuffer(figure.to_png(drawn), np.uint8), 1)
  np.testing.assert_array_equal(found, want)
  axes = list(drawn.axes)
  titles = [each.get_title() for each in axes]
  assert titles[20] == '--rotate=90 alone' and titles[25] == '--cutmix=1 alone'
  assert len(titles) == 30 and titles[1].endswith('of row 2')
  # The first tile is the stored image, in the dataset's colours.
  tile = axes[0].images[0].get_array()
  np.testing.assert_array_equal(tile, figure.composite(images[0], records.spec))
  assert (axes[1].images[0].get_array() != tile).any()


@pytest.mark.parametrize('flags,message', [
    (['--rotate=30'], 'pass --figures=FOLDER'),
    (['--rotate=999', '--figures=x'], 'Expected --rotate from 0 to below 181'),
])
def test_wrong_flags_are_one_line(folder, flags, message):
  done = _run(f'--records={folder}', *flags)
  assert done.returncode == 2 and message in done.stderr
  assert len(done.stderr.splitlines()) == 1


def test_captions_name_what_was_mixed_and_an_odd_image_stays_alone():
  images = np.full((3, 8, 8, 4), 100, np.uint8)
  images[1] = 200
  settings = augmentation.Augmentation(augment='none', mixup=1.0)
  found, captions = sheet.apply(settings, 0, images)
  part = (found[0, 1, 0, 0, 0] - 100) / 100
  assert captions[0][1] == f'draw 2, {part:.0%} of row 2'
  assert captions[2] == [f'draw {i}' for i in range(1, 5)]
  np.testing.assert_array_equal(found[2], np.repeat(images[2:], 4, axis=0))
  drawn = sheet.draw(settings, 0, images, list('abc'), specs.make(8))
  assert len(list(drawn.axes)) == 15
