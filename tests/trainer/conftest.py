"""A real run, for the tests of what reads one."""

import pathlib
import shutil

import pytest

from hpa_records.conversion import convert
from hpa_records.conversion import shard_plan
from tests.support import fakes
from trainer import config as config_lib
from trainer.training import loop


@pytest.fixture(name='made', scope='session')
def _made(tmp_path_factory):
  """Folder of a real run of one fold and one epoch."""
  folder = tmp_path_factory.mktemp('workdir')
  csv, images = fakes.write_source(folder, num_samples=40, size_px=32)
  convert.convert(csv, images, str(folder / 'records'),
                  shard_plan.Settings(image_size=32, num_folds=2),
                  convert.How(workers=1))
  loop.train(
      config_lib.Config(records=str(folder / 'records'),
                        workdir=str(folder / 'run'),
                        distribute='cpu',
                        epochs=1,
                        batch_size=16))
  return folder / 'run'


def _train_other(folder, described, labels, **changes):
  """Returns the folder of a run of two folds on samples of one label each."""
  records = fakes.write_single_label(folder, described, labels)
  for fold in (0, 1):
    loop.train(
        config_lib.Config(records=records,
                          workdir=str(folder / 'run'),
                          distribute='cpu',
                          epochs=1,
                          batch_size=16,
                          fold=fold,
                          **changes))
  return folder / 'run'


@pytest.fixture(name='other_run', scope='session')
def _other_run(tmp_path_factory):
  """Folder of a real run of 5 channels and 12 classes, one a sample."""
  return _train_other(tmp_path_factory.mktemp('single'),
                      fakes.describe(5, 12), [i % 12 for i in range(48)],
                      loss='softmax')


@pytest.fixture(name='smallest_run', scope='session')
def _smallest_run(tmp_path_factory):
  """Folder of a real run of one channel and one class."""
  return _train_other(tmp_path_factory.mktemp('smallest'), fakes.describe(1, 1),
                      [0] * 20)


@pytest.fixture(name='run')
def _run(made, tmp_path):
  """A copy of it, to damage."""
  return pathlib.Path(shutil.copytree(made, tmp_path / 'run'))
