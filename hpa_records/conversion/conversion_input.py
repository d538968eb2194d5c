"""What a conversion is asked to convert: loaded, checked, compared.

The samples of the table with the heads of all their image files; once for many
jobs that make one shard each. And whether a folder holds their dataset already.
"""

import dataclasses

from hpa_records.conversion import checked_table
from hpa_records.conversion import commit
from hpa_records.conversion import input_digest
from hpa_records.conversion import output_folder
from hpa_records.conversion import output_lock
from hpa_records.conversion import output_settings
from hpa_records.conversion import shard_plan
from hpa_records.format import manifest
from hpa_records.ingest import sample_table
from hpa_records.runtime import errors


@dataclasses.dataclass(frozen=True)
class Source:
  """What to convert.

  Attributes:
    csv: path of the table, columns Id and Target; with settings.unlabelled Id
      alone, or '' to take the ids from the file names.
    images: folder of the image files.
    groups: path of a CSV of the columns Id and group: the samples of a group
      are in one fold. '' has none.
  """
  csv: str
  images: str
  groups: str = ''


def load(source: Source, settings: shard_plan.Settings, on_error: str,
         on_doubt: str) -> tuple[sample_table.SampleTable, shard_plan.Settings]:
  """Returns the samples, and the settings with the groups' sha256 in them.

  Args:
    source: what to convert.
    settings: of the dataset.
    on_error: as of sample_table.load.
    on_doubt: the same.

  Raises:
    errors.DataError: as of sample_table.load; or flags exclude each other.
  """
  if source.groups and settings.unlabelled:
    raise errors.DataError('Expected --groups without --unlabelled: such '
                           'records have no fold.')
  if source.groups and settings.fold_column:
    raise errors.DataError('Expected --groups or --fold_column, received both: '
                           'the column alone decides the folds; pass one.')
  loaded = sample_table.load(source.csv,
                             source.images,
                             pattern=settings.pattern,
                             white_level=settings.white_level,
                             unlabelled=settings.unlabelled,
                             limit=settings.limit,
                             fold_column=settings.fold_column,
                             num_folds=settings.num_folds,
                             groups=source.groups,
                             on_error=on_error,
                             on_doubt=on_doubt)
  return loaded, dataclasses.replace(settings,
                                     groups_sha256=loaded.groups_sha256)


def load_shared(
    source: Source, output: str, settings: shard_plan.Settings, on_error: str,
    on_doubt: str) -> tuple[sample_table.SampleTable, shard_plan.Settings]:
  """Returns what load returns, which one of the jobs that share a folder loads.

  Args and errors: as of load and find; the folder output is shared.
  """
  key = checked_table.find_key(source.csv, source.images, settings, on_error,
                               on_doubt, source.groups)
  loaded = checked_table.read(output, key)
  if not loaded:
    with output_lock.take_turn(output):
      loaded = checked_table.read(output, key)
      if not loaded:
        loaded, settings = load(source, settings, on_error, on_doubt)
        output_folder.find(output, settings, loaded.csv_sha256)
        output_settings.note(output, settings, loaded.csv_sha256)
        checked_table.write(output, key, loaded)
  return loaded, dataclasses.replace(settings,
                                     groups_sha256=loaded.groups_sha256)


def find(plan: shard_plan.Plan, loaded: sample_table.SampleTable,
         on_error: str) -> manifest.Manifest | None:
  """Returns the manifest of the finished dataset in the plan's output.

  Args:
    plan: of the conversion that is asked for.
    loaded: its samples.
    on_error: as of sample_table.load.

  Returns:
    None where there is none, or an unfinished conversion.

  Raises:
    errors.DataError: as of output_folder.find; or the dataset was made from
      other image files or with another --on_doubt, or lacks samples, which
      on_error does not allow.
  """
  found = output_folder.find(plan.output, plan.settings, loaded.csv_sha256)
  if found and found.num_skipped and on_error == 'stop':
    raise errors.DataError(
        f'Expected a dataset of all samples at {plan.output}, received one '
        f'without {found.num_skipped} ({commit.SKIPPED_NAME}); pass '
        '--on_error=skip to take it, or fix them and pass --overwrite.')
  if found:
    input_digest.check(plan, list_asked(loaded), found)
  if found and found.inputs:
    # Of the same images, so none or all of the same ones.
    had = found.inputs.get('num_doubtful', 0)
    asked = commit.count_doubtful(loaded.issues)
    if had != asked:
      raise errors.DataError(
          f'The dataset at {plan.output} was made without {had} samples that '
          f'may be wrong, asked is one without {asked}; pass the --on_doubt '
          'that it was made with, or --overwrite to convert again.')
  return found


def list_asked(loaded: sample_table.SampleTable) -> set[str]:
  """Returns the ids of all samples whose image files count as input.

  Those that were left out for their files too: these may be fixed.
  """
  return {
      *loaded.table['id'], *(each.id for each in loaded.issues if each.file)
  }
