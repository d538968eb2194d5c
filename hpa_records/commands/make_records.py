"""Converts a CSV and its images to a folder of records.

  hpa-make-records --csv=train.csv --images=train --output=records
  hpa-make-records --unlabelled --images=test --output=test_records
  hpa-make-records --dataset=mine.toml --csv=mine.csv --images=mine --output=out
"""

import dataclasses
import os
import shlex
from typing import Any

from absl import flags

from hpa_records.conversion import shard_plan
from hpa_records.datasets import description
from hpa_records.format import spec
from hpa_records.images import resize
from hpa_records.ingest import doubt
from hpa_records.runtime import cli
from hpa_records.runtime import errors
from hpa_records.runtime import process
from hpa_records.sampling import balance_flags
from hpa_records.storage import path_check

_DEFAULT = shard_plan.Settings()

_DATASET = flags.DEFINE_string(
    'dataset', description.DEFAULT, 'Description of the dataset: '
    f'{", ".join(description.names())}, or a TOML file.')
_SET = flags.DEFINE_multi_string(
    'set', [], 'A value in place of the description\'s, such as '
    '--set=\'table.id="{plate}_{well}"\'; repeat it for more.')
_CSV = flags.DEFINE_string(
    'csv', '', 'Table of the samples. With --unlabelled no labels are read, '
    'and without --csv all samples of --images are taken.')
_IMAGES = flags.DEFINE_string('images', '', 'Folder of the image files.')
flags.DEFINE_string(
    'pattern', '', 'Names of the files in --images, in place of the '
    'description\'s, with {id} or columns, and {channel}.')
flags.DEFINE_integer(
    'white_level', 0, 'Intensity that becomes 255, such as 65535, or 4095 of a '
    '12-bit camera; 0 is the description\'s rule.')
flags.DEFINE_float(
    'pixel_um', _DEFAULT.pixel_um, 'Size of a stored pixel in micrometers: '
    'images are cut or padded to one scale; 0 keeps the whole images.')
flags.DEFINE_bool('unlabelled', _DEFAULT.unlabelled,
                  'Make records without labels and folds, as of a test set.')
flags.DEFINE_integer('limit', _DEFAULT.limit,
                     'Take only the first rows of --csv; 0 takes all.')
flags.DEFINE_enum(
    'on_error', 'stop', ('stop', 'skip'),
    'stop refuses input with an issue; skip leaves invalid samples out.')
flags.DEFINE_enum(
    'on_doubt', 'count', doubt.ON_DOUBT,
    'Samples that are not square, or with two channels of the same bytes: '
    'count prints how many, refuse treats them as invalid.')
_OUTPUT = flags.DEFINE_string('output', '', 'Folder of the records to make.')
flags.DEFINE_integer('image_size', _DEFAULT.image_size,
                     'Height and width of the stored images, in pixels.')
flags.DEFINE_enum('resize', _DEFAULT.resize, resize.RESIZE_FILTERS,
                  'Filter that reduces the images; both are antialiased.')
flags.DEFINE_enum('encoding', _DEFAULT.encoding, spec.ENCODINGS,
                  'Stored form: raw reads fastest, png is smallest.')
flags.DEFINE_integer('shard_mb', _DEFAULT.shard_mb,
                     'Largest shard, in MiB of raw pixels.')
flags.DEFINE_bool('overwrite', False, 'Replace the dataset in --output.')
_PLAN_ONLY = flags.DEFINE_bool(
    'plan_only', False,
    'Check the input and print what would be written; write nothing.')
flags.DEFINE_integer('num_folds', _DEFAULT.num_folds, 'Folds to cut.')
_GROUPS = flags.DEFINE_string(
    'groups', '', 'Table with the columns Id and group: all samples of a group '
    '(plate, protein, near-duplicates) are in one fold.')
flags.DEFINE_string(
    'fold_column', '',
    'Column of --csv with each sample\'s fold, 0..num_folds-1; without it the '
    'folds are cut.')
flags.DEFINE_integer('seed', _DEFAULT.seed, 'Of folds, order and balance.')
balance_flags.define(_DEFAULT.balance)
flags.DEFINE_integer('workers', 0, 'Processes; 0 is one a core.', lower_bound=0)
flags.DEFINE_integer(
    'only_shard',
    -1, 'Make the shard of this number alone, as one of many jobs; the command '
    'without it then writes the manifest. -1 makes all.',
    lower_bound=-1)
flags.DEFINE_enum('runner', 'local', ('local', 'beam'),
                  'local: processes of this machine; beam: Apache Beam.')
flags.DEFINE_multi_string(
    'beam_options', [], "Beam's own flags, such as "
    '--beam_options="--runner=FlinkRunner --flink_master=host:8081".')

_FLAGS_BY_GROUP = {
    'Input': ('dataset', 'set', 'csv', 'images', 'pattern', 'white_level',
              'unlabelled', 'limit', 'on_error', 'on_doubt'),
    'Output': ('output', 'image_size', 'pixel_um', 'resize', 'encoding',
               'shard_mb', 'overwrite', 'plan_only'),
    'Folds': ('num_folds', 'groups', 'fold_column', 'seed'),
    'Balance': ('balance', *balance_flags.SETTINGS),
    'Running': ('workers', 'only_shard', 'runner', 'beam_options'),
}


def main() -> None:
  """Converts the images of --images, or a shard or a plan of them."""
  with process.ended_by_interrupt():
    # pylint: disable=import-outside-toplevel
    from hpa_records.conversion import conversion_input
    from hpa_records.conversion import convert
  settings = shard_plan.Settings(**_values(shard_plan.Settings),
                                 description=description.load(
                                     _DATASET.value, _SET.value))
  how = convert.How(**_values(convert.How))
  try:
    options = tuple(shlex.split(' '.join(how.beam_options)))
  except ValueError as error:
    raise errors.DataError(
        f'Expected flags in --beam_options, received '
        f'{" ".join(how.beam_options)!r} ({error}).') from error
  how = dataclasses.replace(how, beam_options=options)
  csv = _CSV.value and path_check.require_path(_CSV.value, 'csv')
  has_folders = settings.description.table.form == 'folders'
  if not csv and not settings.unlabelled and not has_folders:
    raise errors.DataError('--csv is missing; pass --csv=PATH.')
  groups = _GROUPS.value and path_check.require_path(_GROUPS.value, 'groups')
  images = path_check.require_path(_IMAGES.value, 'images')
  output = path_check.require_path(_OUTPUT.value, 'output')
  path_check.refuse_shared([('output', output)], [('images', images),
                                                  ('csv', csv),
                                                  ('groups', groups)],
                           filled=[('output', output)])
  if _PLAN_ONLY.value:
    print(convert.describe(csv, images, output, settings, how, groups))
    return
  source = conversion_input.Source(csv, images, groups)
  result = convert.make(source, output, settings, how)
  made = result.manifest
  if made is None:
    print(f'Shard {how.only_shard} of {output} is done; when all are, run the '
          'command without --only_shard.')
    return
  text = (f'{made.num_records} records in {len(made.shards)} shards, '
          f'{made.num_skipped} samples skipped: '
          f'{os.path.join(output, "manifest.json")}')
  if not result.is_new:
    text = f'Already complete, nothing was converted. {text}'
  if made.inputs is None:
    text += (' (made by an earlier version, which noted nothing of the image '
             'files: whether they are the same was not checked)')
  print(text)


def _values(kind: type) -> dict[str, Any]:
  """Returns the values of the fields of a dataclass that are flags."""
  return {
      field.name: flags.FLAGS[field.name].value
      for field in dataclasses.fields(kind)
      if field.name in flags.FLAGS
  }


def run() -> None:
  """Runs the command with its flags; see cli.run."""
  cli.run(main, text=__doc__, groups=_FLAGS_BY_GROUP)
