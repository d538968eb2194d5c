"""The first pass over the images: levels of a plate or of the dataset.

Percentiles of many images need all their pixels before the first record can be
written. The sums of histograms are exact integers, so the levels do not depend
on the order of the images or the number of processes. Jobs that make one shard
each share the result, in the folder .unfinished.

Samples that cannot be decoded are left out; the second pass lists them.
"""

import collections
import dataclasses
import functools
import hashlib
import json
import os
from typing import Sequence

import numpy as np
import pandas as pd

from hpa_records.conversion import shard_plan
from hpa_records.conversion import shard_writer
from hpa_records.conversion.unfinished import sidecar
from hpa_records.images import how as how_lib
from hpa_records.images import intensity
from hpa_records.images import load
from hpa_records.runtime import errors
from hpa_records.runtime import json_text
from hpa_records.runtime import process_pool
from hpa_records.runtime import progress
from hpa_records.storage import filesystem

Levels = dict[str, list[list[float]]]

NAME = f'{sidecar.UNFINISHED_NAME}/levels.json'
_SAMPLES_PER_TASK = 16
_FORM = {'key': str, 'levels': dict}


@dataclasses.dataclass(frozen=True)
class _Task:
  """Some samples of one plate: paths of the files of each."""
  plate: str
  paths: tuple[tuple[str, ...], ...]


def complete(plan: shard_plan.Plan, table: pd.DataFrame,
             workers: int) -> shard_plan.Plan:
  """Returns the plan with the levels of each plate, if its settings need any.

  Args:
    plan: of the conversion, whose output is locked.
    table: all valid samples, as of sample_table.SampleTable.
    workers: as of process_pool.run.

  Raises:
    errors.DataError: a file cannot be read; the images of a plate have several
      bit depths; or as of process_pool.run.
  """
  description = plan.settings.description
  if not description.needs_levels:
    return plan
  plates = table['plate'] if description.needs_plates else [''] * len(table)
  key = _find_key(plan, table, plates)
  path = os.path.join(plan.output, NAME)
  found = _read(path, key)
  if found is None:
    found = _compute(plan, table['files'], plates, workers)
    filesystem.write_atomically(path,
                                json_text.seal({
                                    'key': key,
                                    'levels': found
                                }), os.path.dirname(path))
  return dataclasses.replace(plan, levels=found)


def _find_key(plan: shard_plan.Plan, table: pd.DataFrame,
              plates: Sequence[str]) -> str:
  """Returns a hash of what the levels depend on."""
  parts = [
      dataclasses.asdict(plan.settings.description.rule()),
      shard_writer.versions(),
      sorted((plate, files, shard_writer.stamps(plan, files))
             for plate, files in zip(plates, table['files']))
  ]
  return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _read(path: str, key: str) -> Levels | None:
  try:
    content = json_text.unseal(filesystem.read_small(path) or b'')
    json_text.check_form(content, _FORM, path)
  except ValueError:  # missing or damaged
    return None
  return content['levels'] if content['key'] == key else None


def _compute(plan: shard_plan.Plan, files: Sequence[tuple[str, ...]],
             plates: Sequence[str], workers: int) -> Levels:
  members = collections.defaultdict(list)
  for plate, names in zip(plates, files):
    members[plate].append(plan.paths(names))
  tasks = [
      _Task(plate, tuple(members[plate][i:i + _SAMPLES_PER_TASK]))
      for plate in sorted(members)
      for i in range(0, len(members[plate]), _SAMPLES_PER_TASK)
  ]
  left = collections.Counter(each.plate for each in tasks)
  rule = plan.settings.description.rule()
  levels: Levels = {}
  # Only of plates in work: a histogram of five channels takes 2.6 MB.
  sums: dict[str, np.ndarray] = {}
  depths: dict[str, set[str]] = collections.defaultdict(set)
  count = functools.partial(_count, plan.settings.how)
  with progress.Bar('measure intensity', len(files), 'samples') as shown:
    for task, (histogram, depth) in process_pool.run(count, tasks, workers):
      shown.advance(len(task.paths))
      plate = task.plate
      depths[plate] |= depth
      if histogram is not None:
        sums[plate] = sums.get(plate, 0) + histogram
      left[plate] -= 1
      if not left[plate]:
        levels[plate] = _finish(plate, sums.pop(plate, None), depths[plate],
                                rule, len(plan.settings.how.channels))
  return {plate: levels[plate] for plate in sorted(levels)}


def _finish(plate: str, histogram: np.ndarray | None, depths: set[str],
            rule: intensity.Rule, num_channels: int) -> list[list[float]]:
  """Returns the levels of a plate, [C][2]."""
  if histogram is None:  # the second pass lists its images
    return [[0.0, 0.0]] * num_channels
  if len(depths) > 1:
    where = f'the plate {plate!r:.80}' if plate else 'the dataset'
    raise errors.DataError(
        f'Expected one bit depth in {where}, received '
        f'{", ".join(sorted(depths))}; convert the images to one, or pass '
        '--set=\'intensity.of="image"\'.')
  depth = next(iter(depths))
  return [
      list(intensity.percentile_levels(each, depth, rule.percentiles))
      for each in histogram
  ]


def _count(how: how_lib.How, task: _Task) -> tuple[np.ndarray | None, set[str]]:
  """Returns the sum of the histograms of a task, and the images' depths."""
  total, depths = None, set()
  for paths in task.paths:
    try:
      histogram, depth = load.count(paths, how)
    except errors.UnreadError as error:
      raise errors.DataError(f'{error.args[1]}: {error.args[0]}') from error
    except errors.DataError:
      continue
    total = histogram if total is None else total + histogram
    depths.add(depth)
  return total, depths
