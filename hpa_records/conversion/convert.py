"""Converts a CSV and its image files to a dataset folder.

First it checks the input, the output folder and the free disk space. Then
processes or other machines convert shards (shard_writer.convert_shard); valid
shards of an earlier run are kept. Last it writes the index and the manifest
(commit).
"""

import contextlib
import dataclasses
import os
import sys
from typing import Iterator, Sequence

from hpa_records.conversion import commit
from hpa_records.conversion import conversion_input
from hpa_records.conversion import executor
from hpa_records.conversion import intensity_pass
from hpa_records.conversion.output import output_folder
from hpa_records.conversion.output import output_lock
from hpa_records.conversion.output import output_settings
from hpa_records.conversion import planner
from hpa_records.conversion import shard_plan
from hpa_records.conversion import shard_writer
from hpa_records.conversion import size_estimate
from hpa_records.conversion.unfinished import known_issues
from hpa_records.format import manifest as manifest_lib
from hpa_records.format import tfrecord
from hpa_records.ingest import issue
from hpa_records.ingest import sample_table
from hpa_records.runtime import errors
from hpa_records.runtime import printable
from hpa_records.runtime import progress
from hpa_records.storage import driver
from hpa_records.storage import disk_space

ALL = -1


@dataclasses.dataclass(frozen=True)
class How:
  """How to convert; does not change the bytes of a shard of given samples.

  Attributes:
    workers: number of processes; 0 is one a core.
    on_error: 'stop' refuses input with any issue, 'skip' leaves the invalid
      samples out and lists them in skipped.csv.
    on_doubt: as of sample_table.load.
    overwrite: whether to replace a dataset with other settings.
    runner: 'local' (processes of this machine) or 'beam'.
    beam_options: Beam's own flags.
    only_shard: number of the shard to make, without the manifest; -1 makes all
      shards and the manifest.
  """
  workers: int = 0
  on_error: str = 'stop'
  on_doubt: str = 'count'
  overwrite: bool = False
  runner: str = 'local'
  beam_options: tuple[str, ...] = ()
  only_shard: int = ALL


@dataclasses.dataclass(frozen=True)
class Result:
  """Result of a conversion.

  Attributes:
    manifest: of the finished dataset; None after a single shard.
    is_new: False if the dataset was already complete.
  """
  manifest: manifest_lib.Manifest | None
  is_new: bool


def convert(csv: str,
            images: str,
            output: str,
            settings: shard_plan.Settings,
            how: How = How(),
            groups: str = '') -> manifest_lib.Manifest | None:
  """Returns the manifest of make's result.

  Args and errors: as of conversion_input.Source and make.
  """
  return make(conversion_input.Source(csv, images, groups), output, settings,
              how).manifest


def make(source: conversion_input.Source,
         output: str,
         settings: shard_plan.Settings,
         how: How = How()) -> Result:
  """Converts a CSV and its images to a dataset folder.

  After an interruption the same call keeps the valid shards and converts the
  rest. The resulting bytes are the same.

  Args:
    source: what to convert.
    output: folder of the dataset; created if missing.
    settings: of the dataset; groups_sha256 is filled in here.
    how: how to convert.

  Raises:
    errors.DataError: the input is invalid; the folder has other content, such
      as a dataset of other images; it cannot be written; or another conversion
      is running there.
  """
  if how.only_shard != ALL and how.overwrite:
    raise errors.DataError('--only_shard and --overwrite exclude each other: '
                           'each job would remove the others\' shards.')
  if any(map(driver.is_in_process, (source.images, output))):
    how = dataclasses.replace(how, workers=1)
  with _translate_errors(output):
    output_folder.refuse_foreign(output, how.overwrite)
    if how.only_shard != ALL and not manifest_lib.exists(output):
      with output_lock.share(output):
        if not manifest_lib.exists(output):  # another job may have finished
          return _make_one(source, output, settings, how)
  loaded, settings = conversion_input.load(source, settings, how.on_error,
                                           how.on_doubt)
  plan = shard_plan.Plan(source.images, output, settings)
  with _translate_errors(output):
    done = None if how.overwrite else conversion_input.find(
        plan, loaded, how.on_error)
    if done and (how.only_shard != ALL or output_folder.is_tidy(output)):
      return Result(done, False)
    if how.overwrite:  # check before the old dataset is removed
      shards = planner.lay_out(loaded.table, settings)
      disk_space.require_room(
          output,
          size_estimate.needed_bytes(plan, shards, every=True) -
          output_folder.count_bytes(output))
    with output_lock.lock(output):
      if how.overwrite:
        output_folder.clear(output, settings, loaded.csv_sha256)
      done = conversion_input.find(plan, loaded, how.on_error)
      made = done or _make_all(plan, loaded, source, how)
      output_folder.tidy(output)
      return Result(made, not done)


def describe(csv: str,
             images: str,
             output: str,
             settings: shard_plan.Settings,
             how: How = How(),
             groups: str = '') -> str:
  """Returns a description of what convert would write; writes nothing.

  Args and errors: as of convert.
  """
  with _translate_errors(output):
    output_folder.refuse_foreign(output, how.overwrite)
  loaded, settings = conversion_input.load(
      conversion_input.Source(csv, images, groups), settings, how.on_error,
      how.on_doubt)
  plan = shard_plan.Plan(images, output, settings)
  with _translate_errors(output):
    if not how.overwrite and conversion_input.find(plan, loaded, how.on_error):
      return f'The dataset is finished: {output}'
    shards = planner.lay_out(loaded.table, settings)
    size_bytes = size_estimate.needed_bytes(plan, shards, how.overwrite)
    disk_space.require_room(output, size_bytes)
    free_bytes = disk_space.free(output)
  lines = [
      f'{count:,} samples of {height} x {width} pixels'
      for (height, width), count in loaded.sizes.items()
  ]
  counts_of: dict[str, list[int]] = {}
  for each in shards:
    counts_of.setdefault(tfrecord.group_of(each.name), []).append(len(each.ids))
  lines += [
      f'{group}: {sum(counts):,} records in {len(counts)} shards of at most '
      f'{max(counts):,}' for group, counts in counts_of.items()
  ]
  free = ('' if free_bytes is None else
          f', {printable.show_bytes(free_bytes)} are free')
  lines.append(f'{len(loaded.table):,} records, {len(shards)} shards, about '
               f'{printable.show_bytes(size_bytes)} would be written to '
               f'{output}{free}')
  return '\n'.join(lines)


@contextlib.contextmanager
def _translate_errors(output: str) -> Iterator[None]:
  """Raises errors.DataError in place of a block's OSError."""
  try:
    yield
  except OSError as error:
    path = os.fsdecode(error.filename or '')
    if os.path.isfile(path) and not os.access(path, os.R_OK):
      raise errors.describe_read(path, error) from error
    raise errors.describe_write(output, error, shard_writer.KEPT) from error


def _make_one(source: conversion_input.Source, output: str,
              settings: shard_plan.Settings, how: How) -> Result:
  """Makes one shard in a shared output folder."""
  loaded, settings = conversion_input.load_shared(source, output, settings,
                                                  how.on_error, how.on_doubt)
  plan = shard_plan.Plan(source.images, output, settings)
  output_folder.find(output, settings, loaded.csv_sha256)  # raises
  shards = planner.lay_out(loaded.table, settings)
  if how.only_shard >= len(shards):
    raise errors.DataError(f'Expected --only_shard of 0..{len(shards) - 1}, '
                           f'received {how.only_shard}.')
  shard = shards[how.only_shard]
  with output_lock.take_turn(output):
    plan = intensity_pass.complete(plan, loaded.table, how.workers)
  with output_lock.lock_shard(output, shard.name):
    disk_space.require_room(output, size_estimate.needed_bytes(plan, [shard]))
    issues = _convert_shards(plan, [shard], how, source)
  if issues and how.on_error == 'stop':
    issue.refuse(issues, source.csv or plan.images)
  if issues:
    head = (
        f'{shard.name} was not made; the command without --only_shard skips '
        'these samples and makes the changed shards')
    print(issue.describe(head, issues), file=sys.stderr)
  return Result(None, True)


def _make_all(plan: shard_plan.Plan, loaded: sample_table.SampleTable,
              source: conversion_input.Source,
              how: How) -> manifest_lib.Manifest:
  known = []
  if how.on_error == 'skip':
    row_of = dict(zip(loaded.table['id'], loaded.table['row']))
    known = [
        each for each in known_issues.read(plan, loaded.requested)
        if row_of.get(each.id) == each.row
    ]
  while True:
    out = {each.id for each in known}
    table = loaded.table[~loaded.table['id'].isin(out)]
    if table.empty:
      issue.refuse(known, source.csv or plan.images)
    shards = planner.lay_out(table, plan.settings)
    output_settings.write_once(plan.output, plan.settings, loaded.csv_sha256)
    if not plan.levels:
      plan = intensity_pass.complete(plan, loaded.table, how.workers)
    output_folder.remove_strays(plan.output, {each.name for each in shards})
    disk_space.require_room(plan.output,
                            size_estimate.needed_bytes(plan, shards))
    issues = _convert_shards(plan, shards, how, source)
    if not issues:
      return commit.complete(plan, loaded.csv_sha256, shards,
                             [*loaded.issues, *known], loaded.requested)
    if how.on_error == 'stop':
      issue.refuse(issues, source.csv or plan.images)
    # Without these samples every fold and cut point may change.
    known += issues
    known_issues.write(plan, known, loaded.requested)


def _convert_shards(plan: shard_plan.Plan, shards: Sequence[shard_plan.Shard],
                    how: How,
                    source: conversion_input.Source) -> list[issue.Issue]:
  """Makes the shards; returns all issues, sorted by row.

  Raises:
    errors.DataError: files could not be read.
  """
  total = sum(len(each.ids) for each in shards)
  with progress.Bar('convert', total, 'samples') as shown:
    if how.runner == 'beam':
      executor.run_beam(plan, shards, how.beam_options)
      shown.advance(total)
    else:
      for each in executor.run_local(plan, shards, how.workers):
        shown.advance(len(each.ids))
  sidecars = commit.read_sidecars(plan, shards)
  unread = [found for each in sidecars for found in each.unread]
  if unread:
    unread.sort(key=lambda each: each.row)
    issue.refuse_unread(unread, source.csv or plan.images)
  issues = [found for each in sidecars for found in each.issues]
  return sorted(issues, key=lambda each: each.row)
