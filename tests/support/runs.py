"""Small training runs: their configuration, command and results."""

import pathlib

import numpy as np

from tests.support import prestarted
from trainer import config as config_lib
from trainer.training import loop

ROOT = pathlib.Path(__file__).parents[2]
EPOCHS = 3  # of a whole run


def configure(records, directory, **values):
  """Returns the configuration of a run on the CPU, fold 1 held out."""
  return config_lib.Config(records=records,
                           workdir=str(directory),
                           distribute='cpu',
                           **{
                               'fold': 1,
                               'epochs': EPOCHS,
                               'batch_size': 16,
                               **values
                           })


def train_folds(records, directory, count):
  """Trains all folds of records for an epoch, each image once."""
  for fold in range(count):
    loop.train(
        configure(records, directory, fold=fold, epochs=1, balance='none'))


def call(*words):
  """Runs a script of tools from the checkout; see prestarted.run."""
  return prestarted.run(words)


def arrays(path):
  """Returns the arrays of an .npz file by name."""
  with np.load(path) as file:
    return {name: file[name] for name in file.files}


def assert_same_end(directory, other):
  """Weights, momentum and predictions are equal, bit for bit."""
  for name in ('predictions.npz', f'checkpoints/epoch-{EPOCHS:05d}.npz'):
    first, second = arrays(directory / name), arrays(other / name)
    assert set(first) == set(second)
    for key in set(first) - {'state'}:
      np.testing.assert_array_equal(first[key], second[key])
  assert (directory /
          'metrics.json').read_text() == (other / 'metrics.json').read_text()


def list_words(config):
  """Returns the words behind "python" that train a configuration."""
  flags = [
      f'--{name}={getattr(config, name)}'
      for name in ('records', 'workdir', 'fold', 'epochs', 'batch_size',
                   'distribute', 'reader', 'steps_per_call', 'checkpoint_steps')
  ]
  return ['-m', 'trainer.main', *flags]


def command(config):
  """Returns the command that trains it, for subprocess; see prestarted.py."""
  return [*prestarted.find_python(), *list_words(config)]


def go_on(config, *names):
  """Runs the command to its end; what takes gigabytes is given back by it.

  Args:
    config: the run.
    *names: of settings besides those of list_words.
  """
  flags = [f'--{name}={getattr(config, name)}' for name in names]
  done = call(*list_words(config), *flags)
  assert done.returncode == 0, done.stderr
  return done.stdout
