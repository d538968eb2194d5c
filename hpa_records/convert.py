"""Converts a CSV and its image files to a dataset folder.

Look, then write: the whole input, the folder, the room on the disk. Then the
shards, which any number of processes or machines make by convert_shard, and
of which those stay that are whole from an earlier run. Then, from their
sidecars, the index, and last the manifest: a folder without it is no dataset.
"""

import contextlib
import dataclasses
import os
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
from hpa_records import shard_plan

_ALL = -1
_PROBED = 16  # images from which the size of PNG records is estimated


@dataclasses.dataclass(frozen=True)
class How:
  """How to convert; nothing of it bears on the bytes.

  Attributes:
    workers: processes; 0 is one a core.
    on_error: 'stop' refuses input with any fault, 'skip' leaves the faulty
      samples out and lists them in skipped.csv.
    overwrite: replaces a dataset with other settings.
    runner: one of runner.RUNNERS.
    beam_options: Beam's own flags.
    only_shard: number of the one shard to make; -1 makes all, and the manifest.
  """
  workers: int = 0
  on_error: str = 'stop'
  overwrite: bool = False
  runner: str = 'local'
  beam_options: tuple[str, ...] = ()
  only_shard: int = _ALL


def convert(
    csv: str,
    images: str,
    output: str,
    settings: shard_plan.Settings,
    how: How = How()) -> manifest.Manifest | None:
  """Converts a CSV and its images to a dataset folder.

  Run again after it was cut off, it keeps the shards that are whole and makes
  the rest, to the same bytes.

  Args:
    csv: path of the table, columns Id and Target; with settings.unlabelled Id
      alone, or '' to take the ids from the file names.
    images: folder of the image files.
    output: folder of the dataset; made if missing.
    settings: what to make.
    how: by what means.

  Returns:
    The manifest of the dataset, new or found finished with these settings;
    None after a single shard.

  Raises:
    schema.DataError: the input is wrong, the folder holds something else or
      cannot be written, or another converter is at work there.
  """
  loaded = _load(csv, images, settings, how.on_error)
  output_folder.refuse_foreign(output)
  if not how.overwrite:
    output_folder.refuse_other(output, settings, loaded.csv_sha256)
  plan = shard_plan.Plan(images, output, settings)
  with _told_in_one_line(output):
    if how.only_shard != _ALL:
      _convert_one(plan, loaded, csv, how)
      return None
    with output_folder.lock(output):
      done = output_folder.prepare(output, settings, loaded.csv_sha256,
                                   how.overwrite)
      done = done or _convert_all(plan, loaded, csv, how)
      output_folder.tidy(output)
      return done


def describe(csv: str,
             images: str,
             output: str,
             settings: shard_plan.Settings,
             on_error: str = 'stop') -> str:
  """Returns what convert would write, after checking the whole input.

  Args and errors: as of convert. Writes nothing.
  """
  loaded = _load(csv, images, settings, on_error)
  output_folder.refuse_foreign(output)
  output_folder.refuse_other(output, settings, loaded.csv_sha256)
  plan = shard_plan.Plan(images, output, settings)
  shards = layout.lay_out(loaded.table, settings)
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
  free_bytes = output_folder.free(output)
  room = '' if free_bytes is None else f', {free_bytes / 1e9:.2f} GB are free'
  size_bytes = _needed_bytes(plan, shards)
  lines.append(f'{len(loaded.table):,} records, {len(shards)} shards, about '
               f'{size_bytes / 1e9:.2f} GB would be written to {output}{room}')
  return '\n'.join(lines)


def _load(csv: str, images: str, settings: shard_plan.Settings,
          on_error: str) -> sample_table.SampleTable:
  return sample_table.load(csv,
                           images,
                           pattern=settings.pattern,
                           white_level=settings.white_level,
                           unlabelled=settings.unlabelled,
                           limit=settings.limit,
                           on_error=on_error)


@contextlib.contextmanager
def _told_in_one_line(output: str) -> Iterator[None]:
  """Makes an error of the system, met while writing, the user's to mend."""
  try:
    yield
  except OSError as error:
    raise schema.DataError(
        f'Expected to write to {output}, received: {error.strerror or error} '
        f'({error.filename}). Mend that and run the same command: whole shards '
        'are kept.') from error


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
    if output_folder.prepare(plan.output, plan.settings, loaded.csv_sha256,
                             False):
      return
    output_folder.require_room(plan.output, _needed_bytes(plan, [shard]))
    faults = _make(plan, [shard], how)
  if faults:
    fault.refuse(faults, csv or plan.images)


def _convert_all(plan: shard_plan.Plan, loaded: sample_table.SampleTable,
                 csv: str, how: How) -> manifest.Manifest:
  table, skipped = loaded.table, list(loaded.faults)
  while True:
    shards = layout.lay_out(table, plan.settings)
    output_folder.remove_strays(plan.output, {each.name for each in shards})
    output_folder.require_room(plan.output, _needed_bytes(plan, shards))
    faults = _make(plan, shards, how)
    if not faults:
      return completion.complete(plan, loaded.csv_sha256, shards, skipped)
    if how.on_error == 'stop':
      fault.refuse(faults, csv or plan.images)
    # Without these samples every fold and cut point may change.
    skipped += faults
    table = table[~table['id'].isin({each.id for each in faults})]


def _needed_bytes(plan: shard_plan.Plan,
                  shards: Iterable[shard_plan.Shard]) -> int:
  """Room for the shards that are not there; for PNG an estimate."""
  missing = [
      sample_id for each in shards
      if filesystem.size(os.path.join(plan.output, each.name)) is None
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


def _make(plan: shard_plan.Plan, shards: Sequence[shard_plan.Shard],
          how: How) -> list[fault.Fault]:
  """Makes the shards; returns all faults in order of rows."""
  total = sum(len(each.ids) for each in shards)
  with progress.Bar('convert', total, 'samples') as shown:
    if how.runner == 'beam':
      runner.run_beam(plan, shards, how.beam_options)
      shown.advance(total)
    else:
      for each in runner.run_local(plan, shards, how.workers):
        shown.advance(len(each.ids))
  faults = [
      found for each in completion.read_sidecars(plan, shards)
      for found in each.faults
  ]
  return sorted(faults, key=lambda each: each.row)
