"""Converts a CSV and its image files to a dataset folder.

Look, then write: the whole input, the folder, the room on the disk. Then the
shards, which any number of processes or machines make by convert_shard, and
of which those stay that are whole from an earlier run. Then, from their
sidecars, the index, and last the manifest: a folder without it is no dataset.
"""

import contextlib
import dataclasses
import json
import os
import sys
from typing import Iterable, Iterator, Sequence

import numpy as np

from hpa_records import completion
from hpa_records import fault
from hpa_records import filesystem
from hpa_records import image
from hpa_records import layout
from hpa_records import manifest
from hpa_records import output_folder
from hpa_records import progress
from hpa_records import runner
from hpa_records import sample_table
from hpa_records import schema
from hpa_records import shard_conversion
from hpa_records import shard_plan

ALL = -1
_PROBED = 16  # images from which the size of PNG records is estimated


@dataclasses.dataclass(frozen=True)
class How:
  """How to convert; nothing of it bears on the bytes.

  Attributes:
    workers: processes; 0 is one a core.
    on_error: 'stop' refuses input with any fault, 'skip' leaves the faulty
      samples out and lists them in skipped.csv.
    on_doubt: one of doubt.ON_DOUBT: 'count' counts samples that look wrong,
      'refuse' treats them as faulty.
    overwrite: replaces a dataset with other settings.
    runner: one of runner.RUNNERS.
    beam_options: Beam's own flags.
    only_shard: number of the one shard to make; -1 makes all, and the manifest.
  """
  workers: int = 0
  on_error: str = 'stop'
  on_doubt: str = 'count'
  overwrite: bool = False
  runner: str = 'local'
  beam_options: tuple[str, ...] = ()
  only_shard: int = ALL


def convert(csv: str,
            images: str,
            output: str,
            settings: shard_plan.Settings,
            how: How = How(),
            groups: str = '') -> manifest.Manifest | None:
  """Converts a CSV and its images to a dataset folder.

  Run again after it was cut off, it keeps the shards that are whole and makes
  the rest, to the same bytes.

  Args:
    csv: path of the table, columns Id and Target; with settings.unlabelled Id
      alone, or '' to take the ids from the file names.
    images: folder of the image files.
    output: folder of the dataset; made if missing.
    settings: what to make; groups_sha256 is filled in here.
    how: by what means.
    groups: path of a CSV of the columns Id and group: the samples of a group
      are in one fold. '' has none.

  Returns:
    The manifest of the dataset, new or found finished with these settings;
    None after a single shard.

  Raises:
    schema.DataError: the input is wrong, the folder holds something else or
      cannot be written, or another converter is at work there.
  """
  loaded, settings = _load(csv, images, settings, how, groups)
  plan = shard_plan.Plan(images, output, settings)
  with _told_in_one_line(output):
    done = _find(plan, loaded, how)
    if how.only_shard != ALL:
      if not done:
        _convert_one(plan, loaded, csv, how)
      return None
    if how.overwrite:
      layout.lay_out(loaded.table, settings)  # refuses before the old one goes
    with output_folder.lock(output):
      if how.overwrite:
        output_folder.clear(output, settings, loaded.csv_sha256)
      done = _find(plan, loaded, dataclasses.replace(how, overwrite=False))
      done = done or _convert_all(plan, loaded, csv, how)
      output_folder.tidy(output)
      return done


def describe(csv: str,
             images: str,
             output: str,
             settings: shard_plan.Settings,
             how: How = How(),
             groups: str = '') -> str:
  """Returns what convert would write, after checking the whole input.

  Args and errors: as of convert. Writes nothing.
  """
  loaded, settings = _load(csv, images, settings, how, groups)
  plan = shard_plan.Plan(images, output, settings)
  with _told_in_one_line(output):
    if _find(plan, loaded, how):
      return f'The dataset is finished: {output}'
    shards = layout.lay_out(loaded.table, settings)
    size_bytes = _needed_bytes(plan, shards, how.overwrite)
    output_folder.require_room(output, size_bytes)
    free_bytes = output_folder.free(output)
  lines = [
      f'{count:,} samples of {height} x {width} pixels'
      for (height, width), count in loaded.sizes.items()
  ]
  groups: dict[str, list[int]] = {}
  for each in shards:
    groups.setdefault(each.name.partition('-')[0], []).append(len(each.ids))
  lines += [
      f'{group}: {sum(counts):,} records in {len(counts)} shards of at most '
      f'{max(counts):,}' for group, counts in groups.items()
  ]
  room = '' if free_bytes is None else f', {free_bytes / 1e9:.2f} GB are free'
  lines.append(f'{len(loaded.table):,} records, {len(shards)} shards, about '
               f'{size_bytes / 1e9:.2f} GB would be written to {output}{room}')
  return '\n'.join(lines)


def _find(plan: shard_plan.Plan, loaded: sample_table.SampleTable,
          how: How) -> manifest.Manifest | None:
  """Returns the manifest if all is done already; refuses what is not ours."""
  if how.overwrite:
    output_folder.list_own(plan.output)
    return None
  found = output_folder.find(plan.output, plan.settings, loaded.csv_sha256)
  if found and found.num_skipped and how.on_error == 'stop':
    raise schema.DataError(
        f'Expected a dataset of all samples at {plan.output}, received one '
        f'without {found.num_skipped} ({completion.SKIPPED_NAME}); pass '
        '--on_error=skip to take it, or mend them and pass --overwrite.')
  return found


def _load(csv: str, images: str, settings: shard_plan.Settings, how: How,
          groups: str) -> tuple[sample_table.SampleTable, shard_plan.Settings]:
  """Returns the samples, and the settings with the groups' sha256 in them."""
  if groups and settings.unlabelled:
    raise schema.DataError('Expected --groups without --unlabelled: such '
                           'records have no fold.')
  if groups and settings.fold_column:
    raise schema.DataError('Expected --groups or --fold_column, received both: '
                           'the column alone decides the folds; pass one.')
  loaded = sample_table.load(csv,
                             images,
                             pattern=settings.pattern,
                             white_level=settings.white_level,
                             unlabelled=settings.unlabelled,
                             limit=settings.limit,
                             fold_column=settings.fold_column,
                             num_folds=settings.num_folds,
                             groups=groups,
                             on_error=how.on_error,
                             on_doubt=how.on_doubt)
  return loaded, dataclasses.replace(settings,
                                     groups_sha256=loaded.groups_sha256)


@contextlib.contextmanager
def _told_in_one_line(output: str) -> Iterator[None]:
  """Makes an error of the system, met while writing, the user's to mend."""
  try:
    yield
  except OSError as error:
    raise filesystem.write_error(output, error) from error


def _convert_one(plan: shard_plan.Plan, loaded: sample_table.SampleTable,
                 csv: str, how: How) -> None:
  shards = layout.lay_out(loaded.table, plan.settings)
  if how.only_shard >= len(shards):
    raise schema.DataError(f'Expected --only_shard of 0..{len(shards) - 1}, '
                           f'received {how.only_shard}.')
  if how.overwrite:
    raise schema.DataError('Expected --only_shard without --overwrite: each '
                           'job would remove the shards of the others.')
  shard = shards[how.only_shard]
  with output_folder.lock(plan.output, shard.name):
    output_folder.note_settings(plan.output, plan.settings, loaded.csv_sha256)
    output_folder.require_room(plan.output, _needed_bytes(plan, [shard]))
    faults = _make(plan, [shard], how, csv)
  if faults and how.on_error == 'stop':
    fault.refuse(faults, csv or plan.images)
  if faults:
    head = (
        f'{shard.name} is not made; the command without --only_shard leaves '
        'these samples out and makes what changes')
    print(fault.describe(head, faults), file=sys.stderr)


def _convert_all(plan: shard_plan.Plan, loaded: sample_table.SampleTable,
                 csv: str, how: How) -> manifest.Manifest:
  known = _read_known_faults(plan) if how.on_error == 'skip' else []
  while True:
    out = {each.id for each in known}
    table = loaded.table[~loaded.table['id'].isin(out)]
    if table.empty:
      fault.refuse(known, csv or plan.images)
    shards = layout.lay_out(table, plan.settings)
    output_folder.note_settings(plan.output, plan.settings, loaded.csv_sha256)
    output_folder.remove_strays(plan.output, {each.name for each in shards})
    output_folder.require_room(plan.output, _needed_bytes(plan, shards))
    faults = _make(plan, shards, how, csv)
    if not faults:
      return completion.complete(plan, loaded.csv_sha256, shards,
                                 [*loaded.faults, *known])
    if how.on_error == 'stop':
      fault.refuse(faults, csv or plan.images)
    # Without these samples every fold and cut point may change.
    known += faults
    _write_known_faults(plan, known)


def _read_known_faults(plan: shard_plan.Plan) -> list[fault.Fault]:
  """Faults that decoding found in an earlier run, in files still the same.

  Without them a run that was cut off would make the first layout again, over
  the shards of the second.
  """
  path = _known_faults_path(plan)
  if filesystem.size(path) is None:
    return []
  told = json.loads(filesystem.read_bytes(path))
  return [
      fault.Fault(**each['fault'])
      for each in told
      if each['stamps'] == shard_conversion.stamps(plan, each['fault']['id'])
  ]


def _write_known_faults(plan: shard_plan.Plan,
                        faults: Sequence[fault.Fault]) -> None:
  told = [{
      'fault': dataclasses.asdict(each),
      'stamps': shard_conversion.stamps(plan, each.id)
  } for each in faults]
  path = _known_faults_path(plan)
  filesystem.write_atomically(path,
                              json.dumps(told).encode(), os.path.dirname(path))


def _known_faults_path(plan: shard_plan.Plan) -> str:
  return os.path.join(plan.output, shard_conversion.UNFINISHED_NAME,
                      'faults.json')


def _needed_bytes(plan: shard_plan.Plan,
                  shards: Iterable[shard_plan.Shard],
                  anew: bool = False) -> int:
  """Room for the shards, anew or those not there; for PNG an estimate."""
  missing = [
      sample_id for each in shards
      if anew or filesystem.size(os.path.join(plan.output, each.name)) is None
      for sample_id in each.ids
  ]
  record_bytes = plan.settings.most_record_bytes
  if plan.settings.encoding != 'raw' and missing:
    probed = missing[::-(-len(missing) // _PROBED)]
    sizes = []
    for sample_id in probed:
      with contextlib.suppress(schema.DataError):  # told when read
        pixels = image.load(plan.files(sample_id), plan.settings.image_size,
                            plan.settings.resize, plan.settings.white_level)
        sizes.append(len(image.encode(pixels, plan.settings.encoding)))
    spare = record_bytes - plan.settings.raw_bytes
    record_bytes = int(np.mean(sizes or [0]) * 1.2) + spare
  return len(missing) * record_bytes


def _make(plan: shard_plan.Plan, shards: Sequence[shard_plan.Shard], how: How,
          csv: str) -> list[fault.Fault]:
  """Makes the shards; returns all faults in order of rows.

  Raises:
    schema.DataError: files could not be read.
  """
  total = sum(len(each.ids) for each in shards)
  with progress.Bar('convert', total, 'samples') as shown:
    if how.runner == 'beam':
      runner.run_beam(plan, shards, how.beam_options)
      shown.advance(total)
    else:
      for each in runner.run_local(plan, shards, how.workers):
        shown.advance(len(each.ids))
  sidecars = completion.read_sidecars(plan, shards)
  unread = [found for each in sidecars for found in each.unread]
  if unread:
    unread.sort(key=lambda each: each.row)
    fault.refuse_unread(unread, csv or plan.images)
  faults = [found for each in sidecars for found in each.faults]
  return sorted(faults, key=lambda each: each.row)
