"""Checks a manifest against itself and the format.

Names, counts and settings must be ones that a conversion can write. The checks
read no other file and take milliseconds.
"""

import collections
from typing import Sequence

import numpy as np

from hpa_records.datasets import description
from hpa_records.format import manifest
from hpa_records.format import tfds_metadata
from hpa_records.format import tfrecord
from hpa_records.images import pixel_codec
from hpa_records.runtime import errors
from hpa_records.sampling import balance

_FILES = {
    manifest.INDEX_NAME, tfds_metadata.FEATURES_NAME, tfds_metadata.INFO_NAME
}


def check(made: manifest.Manifest) -> list[str]:
  """Returns the issues of the manifest; [] if it is valid.

  Args:
    made: as manifest.load returns it, which checks its hash.

  Returns:
    One line an issue, which begins with the name of the manifest file.
  """
  issues = _check_spec(made)
  unlisted = _FILES - set(made.files)
  if unlisted:
    issues.append(f'no sha256 of {sorted(unlisted)}')
  names = [each.name for each in made.shards]
  shape = (made.num_folds, made.num_classes) if made.is_labelled else ()
  if _shape(made.class_counts) != shape or (made.is_labelled and
                                            made.num_folds > made.num_records):
    issues.append(
        f'expected class counts of {made.num_folds} folds and '
        f'{made.num_classes} classes, and a record in each fold (unlabelled: '
        f'no counts), received {len(made.class_counts)} rows and '
        f'{made.num_records} records')
  expected = _expected_names(names, made)
  if not expected or names != expected:
    odd = sorted(set(names) ^ set(expected)) or names
    issues.append('expected the shards of '
                  f'{"all folds" if made.is_labelled else "test"} in order, '
                  f'received others, such as {odd[0]}')
  records = sum(each.records for each in made.shards)
  if records != made.num_records:
    issues.append(f'expected {made.num_records} records, received shards with '
                  f'{records}')
  try:
    balance.of_settings(made.settings).check_classes(made.num_classes)
  except errors.DataError as error:
    issues.append(f'settings: {str(error).rstrip(".")}')
  if not issues:
    issues = _check_pixels(made)
  return [f'{manifest.MANIFEST_NAME}: {each}' for each in issues]


def _check_spec(made: manifest.Manifest) -> list[str]:
  """Names, colors and columns must be ones that a dataset can have."""
  try:
    spec = description.spec_of(made)
    _ = made.metadata
  except ValueError as error:
    reason = str(error).removesuffix('; convert the data again.')
    return [reason.rstrip('.')]
  allowed = pixel_codec.encodings(spec.num_channels)
  return [
      f'expected images of {spec.num_channels} channels to be stored as '
      f'{" or ".join(allowed)}, received {spec.encoding}'
  ] if spec.encoding not in allowed else []


def _shape(counts: Sequence[Sequence[int]]) -> tuple[int, ...] | None:
  """Returns (rows, columns); () if there are none, None if rows differ."""
  widths = {len(row) for row in counts}
  return None if len(widths) > 1 else (len(counts), *widths) if counts else ()


def _check_pixels(made: manifest.Manifest) -> list[str]:
  """Pixel statistics must be possible for pixels of 0..255."""
  said, count = made.pixels, made.num_records * made.image_size**2
  sums, squares = said['sum'], said['sum_of_squares']
  if said['count'] == count and pixel_codec.are_sums(count, sums, squares,
                                                     made.num_channels):
    expected = pixel_codec.statistics(count, np.array(sums), np.array(squares))
    if {**said, **expected} == said:
      return _check_folds(made) if 'folds' in said else []
  return [
      f'impossible pixel statistics for {count} pixels of 0..255 in each of '
      f'{made.num_channels} channels'
  ]


def _check_folds(made: manifest.Manifest) -> list[str]:
  """Pixel sums of folds must be possible, and add up to those of all records.
  """
  said, folds = made.pixels, made.pixels['folds']
  if not made.is_labelled or len(folds) != made.num_folds:
    expected = made.num_folds if made.is_labelled else 0
    return [f'expected pixel sums of {expected} folds, received {len(folds)}']
  records = collections.Counter()
  for each in made.shards:
    records[tfrecord.group_of(each.name)] += each.records
  for number, fold in enumerate(folds):
    count = records[f'fold{number}'] * made.image_size**2
    if fold['count'] != count or not pixel_codec.are_sums(
        count, fold['sum'], fold['sum_of_squares'], made.num_channels):
      return [
          f'impossible pixel sums of fold {number} for {count} pixels of '
          f'0..255 in each of {made.num_channels} channels'
      ]
  for key in ('sum', 'sum_of_squares'):
    total = [sum(values) for values in zip(*(fold[key] for fold in folds))]
    if total != said[key]:
      return [
          f'expected pixels of the folds whose {key} add up to {said[key]}, '
          f'received {total}'
      ]
  return []


def _expected_names(names: Sequence[str], made: manifest.Manifest) -> list[str]:
  """Returns the format's names for the same number of shards in each group."""
  groups = ([f'fold{fold}' for fold in range(made.num_folds)]
            if made.is_labelled else ['test'])
  counts = collections.Counter(tfrecord.group_of(name) for name in names)
  return [
      tfrecord.file_name(group, i, counts[group])
      for group in groups
      for i in range(counts[group])
  ]
