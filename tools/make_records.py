"""Converts a CSV and its images to a folder of records.

  python tools/make_records.py --csv=train.csv --images=train --output=records
"""

import os

from absl import flags

from hpa_records import balance
from hpa_records import command
from hpa_records import convert
from hpa_records import filesystem
from hpa_records import image
from hpa_records import manifest
from hpa_records import schema
from hpa_records import shard_plan

_DEFAULT = shard_plan.Settings()

_CSV = flags.DEFINE_string('csv', '', 'Table with the columns Id and Target.')
_IMAGES = flags.DEFINE_string('images', '', 'Folder of <Id>_<channel>.png.')
_OUTPUT = flags.DEFINE_string('output', '', 'Folder of the records to make.')
flags.DEFINE_integer('image_size', _DEFAULT.image_size,
                     'Height and width of the stored images, in pixels.')
flags.DEFINE_enum('resize', _DEFAULT.resize, image.RESIZE_FILTERS,
                  'Filter that reduces the images; area averages.')
flags.DEFINE_enum('encoding', _DEFAULT.encoding, schema.ENCODINGS,
                  'Stored form: raw reads fastest, png is smallest.')
flags.DEFINE_integer('num_folds', _DEFAULT.num_folds, 'Folds to cut.')
flags.DEFINE_integer('seed', _DEFAULT.seed,
                     'Decides the folds, the order and the balance.')
flags.DEFINE_enum('balance', _DEFAULT.balance, balance.POLICIES,
                  'How often each record is drawn in training.')
flags.DEFINE_integer('balance_target', _DEFAULT.balance_target,
                     'Draws of each class that a balance aims for.')
flags.DEFINE_integer('shard_mb', _DEFAULT.shard_mb,
                     'Largest shard, in MiB of raw pixels.')
flags.DEFINE_integer('limit', _DEFAULT.limit,
                     'Takes only the first rows of the CSV; 0 takes all.')
_WORKERS = flags.DEFINE_integer('workers',
                                0,
                                'Processes; 0 is one a core.',
                                lower_bound=0)
_ON_ERROR = flags.DEFINE_enum(
    'on_error', 'stop', ('stop', 'skip'),
    'stop refuses input with a fault; skip leaves faulty samples out.')
_OVERWRITE = flags.DEFINE_bool('overwrite', False,
                               'Replaces a dataset that is in --output.')


def main() -> None:
  names = [name for name in vars(_DEFAULT) if name in flags.FLAGS]
  settings = shard_plan.Settings(**{n: flags.FLAGS[n].value for n in names})
  output = filesystem.require_local(_OUTPUT.value, 'output')
  made = convert.convert(filesystem.require_local(_CSV.value, 'csv'),
                         filesystem.require_local(_IMAGES.value,
                                                  'images'), output, settings,
                         _WORKERS.value, _ON_ERROR.value, _OVERWRITE.value)
  print(f'{made.num_records} records in {len(made.shards)} shards, '
        f'{made.num_skipped} samples skipped: '
        f'{os.path.join(output, manifest.MANIFEST_NAME)}')


if __name__ == '__main__':
  command.run(main)
