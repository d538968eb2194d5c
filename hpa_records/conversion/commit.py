"""Completes a dataset from the sidecars of its shards.

Writes the index, the metadata and, last, the manifest, which commits the
conversion: a folder without a manifest is not a dataset.
"""

import os
from typing import Any, Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from hpa_records.conversion import input_digest
from hpa_records.conversion import shard_plan
from hpa_records.conversion import shard_writer
from hpa_records.conversion.unfinished import sidecar
from hpa_records.format import manifest
from hpa_records.format import tfds_metadata
from hpa_records.format import tfrecord as shard_file
from hpa_records.images import pixel_codec
from hpa_records.ingest import issue
from hpa_records.runtime import errors
from hpa_records.storage import filesystem

SKIPPED_NAME = 'skipped.csv'


def read_sidecars(plan: shard_plan.Plan,
                  shards: Iterable[shard_plan.Shard]) -> list[sidecar.Sidecar]:
  """Returns the sidecar of each shard.

  Args:
    plan: of the conversion.
    shards: of the plan, already converted.

  Raises:
    errors.DataError: a shard has no valid sidecar.
  """
  found = [sidecar.read(plan, each) for each in shards]
  if None in found:
    raise errors.DataError(
        f'{found.count(None)} of {len(found)} shards are missing in '
        f'{plan.output}; remote workers must see the same folders.')
  return found


def complete(plan: shard_plan.Plan, csv_sha256: str,
             shards: Sequence[shard_plan.Shard], skipped: Sequence[issue.Issue],
             requested: Mapping[str, Sequence[str]]) -> manifest.Manifest:
  """Writes skipped.csv, the index and, last, the manifest.

  Args:
    plan: of the conversion.
    csv_sha256: hex digest of the CSV that was converted.
    shards: all shards of the plan, converted, in file order.
    skipped: issues of the skipped samples.
    requested: names of the files, by id, of all samples whose image files are
      input, skipped ones included.

  Raises:
    errors.DataError: a shard is missing or its size has changed.
  """
  settings, spec = plan.settings.encode(), plan.settings.spec
  sidecars = read_sidecars(plan, shards)
  _check_sizes(plan, shards, sidecars)
  description = plan.settings.description
  metadata = description.table.metadata
  index = pd.concat(
      [_index(shard, made, metadata) for shard, made in zip(shards, sidecars)],
      ignore_index=True)
  entries = tuple(
      manifest.Shard(each.name, len(each.ids), made.bytes, made.sha256)
      for each, made in zip(shards, sidecars))
  files = {manifest.INDEX_NAME: manifest.write_index(plan.output, index)}
  files |= tfds_metadata.write(plan.output, spec, plan.settings.num_folds,
                               entries, description.title)
  if skipped:
    path = os.path.join(plan.output, SKIPPED_NAME)
    issue.write(skipped, path)
    files[SKIPPED_NAME] = filesystem.sha256(path)
  inputs = input_digest.make(
      plan, requested, {
          sample_id: files for each, made in zip(shards, sidecars)
          for sample_id, files in zip(each.ids, made.inputs)
      })
  num_doubtful = count_doubtful(skipped)
  if num_doubtful:
    inputs['num_doubtful'] = num_doubtful
  made = manifest.Manifest(settings=settings,
                           csv_sha256=csv_sha256,
                           num_records=len(index),
                           num_skipped=len({
                               (each.row, each.id) for each in skipped
                           }),
                           shards=entries,
                           class_counts=_class_counts(shards, plan.settings),
                           pixels=_describe_pixels(shards, sidecars,
                                                   plan.settings),
                           files=files,
                           versions=shard_writer.versions(),
                           classes=spec.classes,
                           channels=spec.channel_names,
                           inputs=inputs,
                           levels=plan.levels)
  manifest.write(plan.output, made)
  return made


def _check_sizes(plan: shard_plan.Plan, shards: Sequence[shard_plan.Shard],
                 sidecars: Sequence[sidecar.Sidecar]) -> None:
  """Refuses shards that another program removed or changed meanwhile."""
  for shard, made in zip(shards, sidecars):
    path = os.path.join(plan.output, shard.name)
    if filesystem.size(path) != made.bytes:
      raise errors.DataError(
          f'{path} was removed or changed by another program before the '
          'conversion was complete; run the same command to convert it again.')


def count_doubtful(skipped: Iterable[issue.Issue]) -> int:
  """Returns the number of samples with issues of kind DOUBT.

  If it is not 0 it is in the manifest's inputs, since --on_doubt decides it.

  Args:
    skipped: issues of the skipped samples.
  """
  return len({
      (each.row, each.id) for each in skipped if each.kind == issue.DOUBT
  })


def _class_counts(shards: Iterable[shard_plan.Shard],
                  settings: shard_plan.Settings) -> list[list[int]]:
  if settings.unlabelled:
    return []
  counts = np.zeros((settings.num_folds, settings.spec.num_classes), np.int64)
  for each in shards:
    counts[each.fold] += each.labels.sum(axis=0, dtype=np.int64)
  return counts.tolist()


def _describe_pixels(shards: Iterable[shard_plan.Shard],
                     sidecars: Iterable[sidecar.Sidecar],
                     settings: shard_plan.Settings) -> dict[str, Any]:
  """Returns the manifest's `pixels`; an unlabelled set counts as one fold."""
  num_folds = 1 if settings.unlabelled else settings.num_folds
  counts = [0] * num_folds
  sums = np.zeros((num_folds, 2, settings.spec.num_channels), np.int64)
  for shard, made in zip(shards, sidecars):
    fold = shard.fold or 0
    counts[fold] += len(shard.ids) * settings.image_size**2
    sums[fold] += (made.sums, made.sums_of_squares)
  if settings.unlabelled:
    return pixel_codec.statistics(counts[0], *sums[0])
  return pixel_codec.describe_folds(counts, sums)


def _index(shard: shard_plan.Shard, made: sidecar.Sidecar,
           metadata: Sequence[str]) -> pd.DataFrame:
  """Returns the shard's rows of the index; see manifest.load_index."""
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
  for name, values in zip(metadata, zip(*(shard.metadata or ()))):
    columns[name] = values
  return pd.DataFrame(columns)
