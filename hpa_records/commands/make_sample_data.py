"""Draws synthetic cells: a CSV and four PNGs a sample.

  hpa-make-sample-data --output=data --num_samples=600
"""

import os

from absl import flags

from hpa_records.runtime import cli
from hpa_records.storage import path_check
from hpa_records.synthetic import generator

_OUTPUT = flags.DEFINE_string(
    'output', '', 'Folder to make, with train.csv and the folder train.')
_NUM_SAMPLES = flags.DEFINE_integer('num_samples', 600, 'How many samples.')
_SEED = flags.DEFINE_integer('seed', 0, 'Another seed draws other samples.')
_SIZE_PX = flags.DEFINE_integer('size_px', 512, 'Height and width.')
_MIN_PER_CLASS = flags.DEFINE_integer('min_per_class', 0,
                                      'Samples that each class has at least.')
_WORKERS = flags.DEFINE_integer('workers',
                                0,
                                'Processes; 0 is one a core.',
                                lower_bound=0)


def main() -> None:
  """Draws the samples that the flags ask for."""
  output = path_check.require_local(_OUTPUT.value, 'output')
  generator.make(output, _NUM_SAMPLES.value, _SEED.value, _SIZE_PX.value,
                 _MIN_PER_CLASS.value, _WORKERS.value)
  print(f'{_NUM_SAMPLES.value} samples: {os.path.join(output, "train.csv")} '
        f'and the PNGs in {os.path.join(output, "train")}')


def run() -> None:
  """Runs the command with its flags; see cli.run."""
  cli.run(main,
          text=__doc__,
          groups={
              'Output': ('output',),
              'Samples': ('num_samples', 'min_per_class', 'size_px', 'seed'),
              'Running': ('workers',),
          })
