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


@pytest.fixture(name='run')
def _run(made, tmp_path):
  """A copy of it, to damage."""
  return pathlib.Path(shutil.copytree(made, tmp_path / 'run'))
