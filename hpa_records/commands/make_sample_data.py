"""Draws synthetic cells: a table and images in any layout.

  hpa-make-sample-data --output=data --num_samples=600
  hpa-make-sample-data --dataset=rxrx1 --output=wells --num_samples=600
"""

import os

from absl import flags

from hpa_records.datasets import description
from hpa_records.runtime import cli
from hpa_records.storage import path_check
from hpa_records.synthetic import generator
from hpa_records.synthetic import sample_layout

_DATASET = flags.DEFINE_string(
    'dataset', description.DEFAULT, 'Description of the dataset to imitate: '
    f'{", ".join(description.names())}, or a TOML file.')
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
  found = description.load(_DATASET.value)
  count = generator.make(output, _NUM_SAMPLES.value, _SEED.value,
                         _SIZE_PX.value, _MIN_PER_CLASS.value, _WORKERS.value,
                         found)
  kinds = 'PNGs' if _DATASET.value == description.DEFAULT else 'images'
  csv = '' if found.table.form == 'folders' else (
      f'{os.path.join(output, sample_layout.TABLE_NAME)} and ')
  print(f'{count} samples: {csv}the {kinds} in '
        f'{os.path.join(output, generator.IMAGES_NAME)}')


def run() -> None:
  """Runs the command with its flags; see cli.run."""
  cli.run(main,
          text=__doc__,
          groups={
              'Output': ('dataset', 'output'),
              'Samples': ('num_samples', 'min_per_class', 'size_px', 'seed'),
              'Running': ('workers',),
          })
