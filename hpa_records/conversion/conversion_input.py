"""Loads and checks the input of a conversion.

Checks the table and the headers of all image files, once for many jobs that
make one shard each, and compares the input with a finished dataset.
"""

import dataclasses

from hpa_records.conversion import commit
from hpa_records.conversion import input_digest
from hpa_records.conversion.output import output_folder
from hpa_records.conversion.output import output_lock
from hpa_records.conversion.output import output_settings
from hpa_records.conversion import shard_plan
from hpa_records.conversion.unfinished import checked_table
from hpa_records.format import manifest
from hpa_records.ingest import input_tables
from hpa_records.ingest import sample_table
from hpa_records.runtime import errors


@dataclasses.dataclass(frozen=True)
class Source:
  """What to convert.

  Attributes:
    csv: path of the table that the settings' description names the columns
      of; '' to take samples from the file names.
    images: folder of the image files.
    groups: path of a CSV with the columns Id and group; samples of a group are
      put in one fold. '' for none.
  """
  csv: str
  images: str
  groups: str = ''


def load(source: Source, settings: shard_plan.Settings, on_error: str,
         on_doubt: str) -> tuple[sample_table.SampleTable, shard_plan.Settings]:
  """Returns the samples, and the settings with what only they tell.

  Args:
    source: what to convert.
    settings: of the dataset.
    on_error: as of input_tables.How.
    on_doubt: as of input_tables.How.

  Raises:
    errors.DataError: as of sample_table.load; or flags exclude each other.
  """
  if source.groups and settings.unlabelled:
    raise errors.DataError('--groups and --unlabelled exclude each other: '
                           'unlabelled records have no folds; leave one out.')
  if source.groups and settings.fold_column:
    raise errors.DataError('--groups and --fold_column exclude each other: '
                           'the column alone decides the folds; leave one out.')
  how = _describe(settings, on_error, on_doubt)
  tables = input_tables.read(source.csv, source.images, how, source.groups)
  return _complete(sample_table.check(tables, how), settings)


def _describe(settings: shard_plan.Settings, on_error: str,
              on_doubt: str) -> input_tables.How:
  return input_tables.How(settings.description, settings.unlabelled,
                          settings.limit, settings.num_folds, on_error,
                          on_doubt)


def _complete(
    loaded: sample_table.SampleTable, settings: shard_plan.Settings
) -> tuple[sample_table.SampleTable, shard_plan.Settings]:
  """Returns the samples, and the settings with what only they tell."""
  classes = () if settings.description.classes else loaded.classes
  return loaded, dataclasses.replace(settings,
                                     groups_sha256=loaded.groups_sha256,
                                     classes=classes)


def load_shared(
    source: Source, output: str, settings: shard_plan.Settings, on_error: str,
    on_doubt: str) -> tuple[sample_table.SampleTable, shard_plan.Settings]:
  """Returns the result of load, which one job computes for all of a folder.

  Args:
    source: as of load.
    output: folder that the jobs share.
    settings: as of load.
    on_error: as of load.
    on_doubt: as of load.

  Raises:
    errors.DataError: as load and output_folder.find.
  """
  how = _describe(settings, on_error, on_doubt)
  tables = input_tables.read(source.csv, source.images, how, source.groups)
  key = checked_table.find_key(tables, how)
  loaded = checked_table.read(output, key)
  if not loaded:
    with output_lock.take_turn(output):
      loaded = checked_table.read(output, key)
      if not loaded:
        loaded, settings = _complete(sample_table.check(tables, how), settings)
        output_folder.find(output, settings, loaded.csv_sha256)
        output_settings.write_once(output, settings, loaded.csv_sha256)
        checked_table.write(output, key, loaded)
  return _complete(loaded, settings)


def find(plan: shard_plan.Plan, loaded: sample_table.SampleTable,
         on_error: str) -> manifest.Manifest | None:
  """Returns the manifest of the finished dataset in the plan's output.

  Args:
    plan: of the requested conversion.
    loaded: its samples.
    on_error: as of sample_table.load.

  Returns:
    None if there is no dataset, or an unfinished conversion.

  Raises:
    errors.DataError: as of output_folder.find; or the dataset was made from
      other image files or with another --on_doubt; or it lacks samples and
      on_error is 'stop'.
  """
  found = output_folder.find(plan.output, plan.settings, loaded.csv_sha256)
  if found and found.num_skipped and on_error == 'stop':
    raise errors.DataError(
        f'The dataset at {plan.output} lacks {found.num_skipped} samples '
        f'({commit.SKIPPED_NAME}); pass --on_error=skip to use it, or fix them '
        'and pass --overwrite.')
  if found:
    input_digest.check(plan, loaded.requested, found)
  if found and found.inputs:
    # The images are the same, so equal numbers mean the same samples.
    had = found.inputs.get('num_doubtful', 0)
    now = commit.count_doubtful(loaded.issues)
    if had != now:
      raise errors.DataError(
          f'The dataset at {plan.output} was made with another --on_doubt: '
          f'without {had} samples that may be wrong, now it would be {now}; '
          'pass the same --on_doubt, or --overwrite to convert again.')
  return found
