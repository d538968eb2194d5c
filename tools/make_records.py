"""Converts a CSV and its images to a folder of records.

  python tools/make_records.py --csv=train.csv --images=train --output=records
  python tools/make_records.py --unlabelled --images=test --output=test_records
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

_CSV = flags.DEFINE_string(
    'csv', '', 'Table with the columns Id and Target. With --unlabelled Id is '
    'enough, and without --csv the ids are those of the files in --images.')
_IMAGES = flags.DEFINE_string(
    'images', '', 'Folder of the image files: PNG, TIFF or JPEG, gray or '
    'tinted in the color of their channel.')
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
flags.DEFINE_string(
    'pattern', _DEFAULT.pattern,
    'Names of the files inside --images, with {id} and {channel} (red, green, '
    'blue, yellow); / parts folders. Its ending tells PNG, TIFF or JPEG.')
flags.DEFINE_integer(
    'white_level', _DEFAULT.white_level,
    'Intensity in 16-bit files that becomes 255; brighter ones become 255 too. '
    '65535 is the full scale, 4095 that of a 12-bit camera; 0 refuses 16 bits.')
flags.DEFINE_bool(
    'unlabelled', _DEFAULT.unlabelled,
    'Makes records without labels and folds, as of a test set: the column '
    'Target is not read.')
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
  csv = _CSV.value
  if csv or not settings.unlabelled:
    csv = filesystem.require_path(csv, 'csv')
  made = convert.convert(csv, filesystem.require_path(_IMAGES.value, 'images'),
                         output, settings, _WORKERS.value, _ON_ERROR.value,
                         _OVERWRITE.value)
  print(f'{made.num_records} records in {len(made.shards)} shards, '
        f'{made.num_skipped} samples skipped: '
        f'{os.path.join(output, manifest.MANIFEST_NAME)}')


if __name__ == '__main__':
  command.run(main)
