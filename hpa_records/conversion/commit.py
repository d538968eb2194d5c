"""From the sidecars of all shards to a dataset: index, metadata, manifest.

The manifest comes last and commits the conversion.
"""

import dataclasses
import os
from typing import Iterable, Sequence

import numpy as np
import pandas as pd

from hpa_records.conversion import input_digest
from hpa_records.conversion import shard_plan
from hpa_records.conversion import shard_writer
from hpa_records.format import manifest
from hpa_records.format import spec
from hpa_records.format import tfds_metadata
from hpa_records.format import tfrecord as shard_file
from hpa_records.ingest import issue
from hpa_records.runtime import errors
from hpa_records.storage import filesystem

SKIPPED_NAME = 'skipped.csv'


def read_sidecars(
    plan: shard_plan.Plan,
    shards: Iterable[shard_plan.Shard]) -> list[shard_writer.Sidecar]:
  """Returns the sidecar of each shard.

  Raises:
    errors.DataError: a shard that was to be made has none.
  """
  found = [shard_writer.read_sidecar(plan, each) for each in shards]
  if None in found:
    raise errors.DataError(
        f'{found.count(None)} of {len(found)} shards are missing in '
        f'{plan.output}; workers elsewhere must see the same folders.')
  return found


def complete(plan: shard_plan.Plan, csv_sha256: str,
             shards: Sequence[shard_plan.Shard], skipped: Sequence[issue.Issue],
             asked: Iterable[str]) -> manifest.Manifest:
  """Writes skipped.csv, the index and, last, the manifest.

  Args:
    plan: of the conversion.
    csv_sha256: of the CSV that was converted.
    shards: all of the plan's, made, in file order.
    skipped: issues of the samples that were left out.
    asked: ids of all samples whose image files count as input, those that
      were left out too.

  Raises:
    errors.DataError: a shard is not there, or of another size than it was.
  """
  settings = dataclasses.asdict(plan.settings)
  sidecars = read_sidecars(plan, shards)
  _check_sizes(plan, shards, sidecars)
  index = pd.concat(map(_index, shards, sidecars), ignore_index=True)
  entries = tuple(
      manifest.Shard(each.name, len(each.ids), made.bytes, made.sha256)
      for each, made in zip(shards, sidecars))
  files = {
      manifest.INDEX_NAME: manifest.write_index(plan.output, index),
      **tfds_metadata.write(plan.output, settings, entries)
  }
  if skipped:
    path = os.path.join(plan.output, SKIPPED_NAME)
    issue.write(skipped, path)
    files[SKIPPED_NAME] = filesystem.sha256(path)
  inputs = input_digest.make(
      plan, asked, {
          sample_id: files for each, made in zip(shards, sidecars)
          for sample_id, files in zip(each.ids, made.inputs)
      })
  num_doubtful = count_doubtful(skipped)
  if num_doubtful:
    inputs['num_doubtful'] = num_doubtful
  made = manifest.Manifest(settings=settings,
                           csv_sha256=csv_sha256,
                           num_records=len(index),
                           num_skipped=len({each.row for each in skipped}),
                           shards=entries,
                           class_counts=_class_counts(shards, plan.settings),
                           pixels=manifest.pixel_statistics(
                               len(index) * plan.settings.image_size**2,
                               np.sum([each.sums for each in sidecars],
                                      axis=0,
                                      dtype=np.int64),
                               np.sum(
                                   [each.sums_of_squares for each in sidecars],
                                   axis=0,
                                   dtype=np.int64)),
                           files=files,
                           versions=shard_writer.versions(),
                           inputs=inputs)
  manifest.write(plan.output, made)
  return made


def _check_sizes(plan: shard_plan.Plan, shards: Sequence[shard_plan.Shard],
                 sidecars: Sequence[shard_writer.Sidecar]) -> None:
  """Refuses shards that others removed or cut while the rest was made."""
  for shard, made in zip(shards, sidecars):
    path = os.path.join(plan.output, shard.name)
    if filesystem.size(path) != made.bytes:
      raise errors.DataError(
          f'{path} was removed or changed by another program before the '
          'conversion was complete; the same command makes it again.')


def count_doubtful(skipped: Iterable[issue.Issue]) -> int:
  """Returns how many samples were left out only since they look wrong.

  It is in the manifest's inputs, if there are any: --on_doubt decides it.
  """
  return len({each.row for each in skipped if each.kind == issue.DOUBT})


def _class_counts(shards: Iterable[shard_plan.Shard],
                  settings: shard_plan.Settings) -> list[list[int]]:
  if settings.unlabelled:
    return []
  counts = np.zeros((settings.num_folds, spec.NUM_CLASSES), np.int64)
  for each in shards:
    counts[each.fold] += each.labels.sum(axis=0, dtype=np.int64)
  return counts.tolist()


def _index(shard: shard_plan.Shard, made: shard_writer.Sidecar) -> pd.DataFrame:
  """The shard's rows of the index; see manifest.load_index."""
  offsets = np.array(made.offsets, np.int64)
  columns = {
      'id':
          shard.ids,
      'shard':
          shard.name,
      'record_offset':
          offsets,
      'record_bytes':
          made.sizes,
      'image_offset':
          offsets + shard_file.FRAME_HEAD_BYTES +
          np.array(made.heads, np.int64),
      'image_bytes':
          made.payloads,
  }
  if shard.labels is None:
    columns['row'] = shard.rows  # a submission has the order of the CSV
  else:
    columns |= {
        'fold': shard.fold,
        'labels': [np.flatnonzero(row) for row in shard.labels],
        'repeats': list(shard.repeats),
    }
  if shard.groups is not None:
    columns['group'] = shard.groups
  return pd.DataFrame(columns)
