"""tools/docs/make_picture.py: the picture of README.md, from a real run."""

import pathlib

import cv2
import numpy as np
import pytest

from tests.support import fakes
from tests.support import prestarted
from trainer import config as config_lib
from trainer.report import picture as picture_lib
from trainer.run import arrays
from trainer.training import loop

_ROOT = pathlib.Path(__file__).parents[3]


@pytest.fixture(name='run', scope='module')
def _run(tmp_path_factory):
  folder = tmp_path_factory.mktemp('picture')
  records = fakes.write_records(folder, 40, 32, num_folds=2)
  loop.train(
      config_lib.Config(records=str(records),
                        workdir=str(folder / 'run'),
                        distribute='cpu',
                        epochs=1,
                        batch_size=16))
  return folder / 'run'


def _call(*words):
  return prestarted.run(
      [str(_ROOT / 'tools' / 'docs' / 'make_picture.py'), *words])


def test_the_picture_is_samples_beside_a_figure_of_the_report(run, tmp_path):
  path = tmp_path / 'picture.webp'
  done = _call(f'--workdir={run}', f'--output={path}')
  assert (done.returncode, done.stderr) == (0, ''), done.stderr
  assert done.stdout == f'{path}\n'
  picture = cv2.imread(str(path))
  assert picture.shape == (1080, 1920, 3)
  # Neither half is blank.
  assert all(half.min() < 128 and half.max() > 250
             for half in np.split(picture, 2, axis=1))
  assert _call(f'--workdir={run}', f'--output={path}').returncode == 0


def test_a_folder_that_is_no_run_is_refused_in_one_line(tmp_path):
  done = _call(f'--workdir={tmp_path}', f'--output={tmp_path}/picture.webp')
  assert done.returncode == 2
  assert len(done.stderr.splitlines()) == 1
  assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('name,message', [
    ('train.csv', 'Expected --output=NAME.webp'),
    ('mine.webp', 'was not written by this program'),
])
def test_a_file_of_the_users_is_not_replaced(run, tmp_path, name, message):
  path = tmp_path / name
  path.write_text('mine')
  done = _call(f'--workdir={run}', f'--output={path}')
  assert done.returncode == 2 and message in done.stderr
  assert done.stderr.count('\n') == 1 and path.read_text() == 'mine'


def _gallery(kinds, classes, ids, own):
  num = len(ids)
  predictions = np.zeros((num, 28), np.float32)
  predictions[np.arange(num), classes] = own
  return arrays.Gallery(np.array(ids), np.zeros((num, 28), np.uint8),
                        predictions, np.array(classes), np.array(kinds),
                        np.zeros((num, 8, 8, 4), np.uint8), ())


def test_the_most_extreme_samples_are_picked_each_once():
  entries = _gallery(['hit'] * 4 + ['miss'] * 2, [3, 4, 5, 6, 7, 8],
                     ['a', 'b', 'a', 'c', 'd', 'e'], [.6, .7, .9, .8, .3, .1])
  assert picture_lib.pick(entries, 'hit') == [2, 3, 1]
  assert picture_lib.pick(entries, 'miss') == [5, 4]
  assert not picture_lib.pick(entries, 'false_alarm')
