"""Do manifest and index agree with each other and with the format?

Hashes prove that files are those that were written; this proves that what was
written makes sense: rows and names add up, offsets tile every shard, counts
are those of the labels. It reads tables only, so it costs milliseconds.
"""

import re
from typing import Sequence

import numpy as np
import pandas as pd

from hpa_records import manifest
from hpa_records import sample_table
from hpa_records import schema
from hpa_records import shard
from hpa_records import tfds_metadata

_GROUP = re.compile(r'(fold(?:0|[1-9]\d*)|test)-\d{5}-of-\d{5}\.tfrecord')
_FILES = {
    manifest.INDEX_NAME, tfds_metadata.FEATURES_NAME, tfds_metadata.INFO_NAME
}
_COLUMNS = ('id', 'shard', 'record_offset', 'record_bytes', 'image_offset',
            'image_bytes')
_LABELLED_COLUMNS = ('fold', 'labels', 'repeats')


def check_manifest(made: manifest.Manifest) -> list[str]:
  """Returns what is wrong with the manifest itself; empty where it is sound.

  Args:
    made: as manifest.load returns it, its hash proved.

  Returns:
    Faults, each one line that begins with the file's name.
  """
  faults = []
  if tuple(made.classes) != schema.CLASS_NAMES or (tuple(made.channels)
                                                   != schema.CHANNELS):
    faults.append('expected the classes and channels of this version, received '
                  f'{len(made.classes)} classes, channels {made.channels}')
  lacking = {'image_size', 'encoding', 'num_folds'} - set(made.settings)
  if lacking:
    faults.append(f'expected the settings {sorted(lacking)}, received none')
  unlisted = _FILES - set(made.files)
  if unlisted:
    faults.append(f'expected the sha256 of {sorted(unlisted)}, received none')
  names = [each.name for each in made.shards]
  expected = _expected_names(names, made)
  if not expected or names != expected:
    odd = sorted(set(names) ^ set(expected)) or names
    faults.append('expected the shards of '
                  f'{"all folds" if made.is_labelled else "test"} in order, '
                  f'received others, among them {odd[:1]}')
  records = sum(each.records for each in made.shards)
  if records != made.num_records:
    faults.append(f'expected {made.num_records} records, received shards with '
                  f'{records}')
  return [f'{manifest.MANIFEST_NAME}: {each}' for each in faults]


def _expected_names(names: Sequence[str], made: manifest.Manifest) -> list[str]:
  """The names in the order of the format, as many a group as there are."""
  groups = ([
      f'fold{fold}' for fold in range(made.settings.get('num_folds', 0))
  ] if made.is_labelled else ['test'])
  found = [_group(name) for name in names]
  return [
      shard.file_name(group, i, found.count(group))
      for group in groups
      for i in range(found.count(group))
  ]


def _group(name: str) -> str:
  match = _GROUP.fullmatch(name)
  return match.group(1) if match else ''


def check_index(made: manifest.Manifest, index: pd.DataFrame) -> list[str]:
  """Returns what is wrong with the index; empty where it is sound.

  Args:
    made: of which check_manifest found nothing wrong.
    index: as manifest.load_index returns it.

  Returns:
    Faults, each one line that begins with the name of the index.
  """
  columns = _COLUMNS + (_LABELLED_COLUMNS if made.is_labelled else ())
  if made.settings.get('groups_sha256'):
    columns += ('group',)
  if not made.is_labelled and 'row' in index:  # not of an earlier version
    columns += ('row',)
  if set(index.columns) != set(columns):
    faults = [
        f'expected the columns {sorted(columns)}, received '
        f'{sorted(index.columns)}'
    ]
  else:
    faults = _check_rows(made, index)
    faults = faults or (_check_offsets(made, index) + _check_ids(index) +
                        _check_lines(index))
    if made.is_labelled:
      faults = faults or _check_folds(made, index) + _check_labels(
          made, index) + _check_repeats(made, index) + _check_groups(index)
  return [f'{manifest.INDEX_NAME}: {each}' for each in faults]


def _check_rows(made: manifest.Manifest, index: pd.DataFrame) -> list[str]:
  counts = index['shard'].value_counts()
  faults = [
      f'expected {each.records} rows of {each.name}, received '
      f'{counts.get(each.name, 0)}'
      for each in made.shards
      if counts.get(each.name, 0) != each.records
  ]
  foreign = sorted(set(counts.index) - {each.name for each in made.shards})
  faults += [f'expected no rows of {name}' for name in foreign]
  expected = np.repeat([each.name for each in made.shards],
                       [each.records for each in made.shards])
  if not faults and list(index['shard']) != expected.tolist():
    faults.append('expected rows in the order of the shards, received another')
  return faults


def _check_groups(index: pd.DataFrame) -> list[str]:
  """A group of samples is in one fold."""
  if 'group' not in index:
    return []
  folds = index.groupby('group', sort=False)['fold'].nunique()
  return [
      f'expected group {name} in one fold, received {folds[name]}'
      for name in folds.index[folds > 1][:1]
  ]


def _check_offsets(made: manifest.Manifest, index: pd.DataFrame) -> list[str]:
  """Records must tile each shard, and images lie inside their records."""
  faults, row = [], 0
  starts, sizes = index['record_offset'], index['record_bytes']
  for each in made.shards:
    rows = slice(row, row + each.records)
    ends = np.cumsum(sizes.to_numpy()[rows])
    expected = np.concatenate([[0], ends])
    received = np.append(starts.to_numpy()[rows], each.bytes)
    wrong = np.flatnonzero(expected != received)
    if len(wrong):
      faults.append(f'expected record {wrong[0]} of {each.name} at byte '
                    f'{expected[wrong[0]]}, received {received[wrong[0]]}')
    row += each.records
  size = made.image_size
  raw_bytes = size * size * schema.NUM_CHANNELS
  if made.settings['encoding'] == 'raw':
    wrong = index['image_bytes'] != raw_bytes
    faults += [
        f'expected the {raw_bytes} bytes of {size}x{size} pixels of {row.id}, '
        f'received {row.image_bytes}' for row in index[wrong].itertuples()
    ]
  first = starts + shard.FRAME_HEAD_BYTES
  after = starts + sizes - (shard.FRAME_BYTES - shard.FRAME_HEAD_BYTES)
  outside = (index['image_offset'] < first) | (index['image_bytes'] < 1) | (
      index['image_offset'] + index['image_bytes'] > after)
  faults += [
      f'expected the image of {name} inside its record, received another place'
      for name in index['id'][outside]
  ]
  return faults


def _check_ids(index: pd.DataFrame) -> list[str]:
  twice = index['id'][index['id'].duplicated()].unique()
  return [f'expected {name} once, received it again' for name in twice]


def _check_lines(index: pd.DataFrame) -> list[str]:
  """Each sample stands in a line of its own of the CSV."""
  if 'row' not in index:
    return []
  rows = index['row']
  if not pd.api.types.is_integer_dtype(rows):
    return [f'expected row as whole numbers, received {rows.dtype}']
  wrong = rows[rows.duplicated() | (rows < 1)]
  return [
      f'expected row of each record from 1, each once, received {number}'
      for number in wrong[:1]
  ]


def _check_folds(made: manifest.Manifest, index: pd.DataFrame) -> list[str]:
  folds = [int(_group(each.name)[len('fold'):]) for each in made.shards]
  expected = np.repeat(folds, [each.records for each in made.shards])
  wrong = index['fold'].to_numpy() != expected
  return [
      f'expected fold {fold} of {row.id}, which lies in {row.shard}, received '
      f'{row.fold}'
      for fold, row in zip(expected[wrong], index[wrong].itertuples())
  ]


def _check_labels(made: manifest.Manifest, index: pd.DataFrame) -> list[str]:
  classes = set(range(schema.NUM_CLASSES))
  wrong = index['labels'].map(lambda labels: not set(labels) <= classes or len(
      set(labels)) < len(labels))
  faults = [
      f'expected labels 0..{schema.NUM_CLASSES - 1} of {row.id}, each once, '
      f'received {[int(k) for k in row.labels]}'
      for row in index[wrong].itertuples()
  ]
  if faults:
    return faults
  hot = sample_table.multi_hot(index['labels'])
  for fold in range(made.num_folds):
    counts = hot[index['fold'] == fold].sum(axis=0, dtype=int).tolist()
    said = list(made.class_counts[fold:fold + 1])
    if said != [counts]:
      faults.append(f'expected the class counts of fold {fold} that '
                    f'{manifest.MANIFEST_NAME} has, {said}, received {counts}')
  return faults


def _check_repeats(made: manifest.Manifest, index: pd.DataFrame) -> list[str]:
  wrong_length = index['repeats'].map(len) != made.num_folds
  if wrong_length.any():
    return [
        f'expected {made.num_folds} repeats of {name}, received another number'
        for name in index['id'][wrong_length]
    ]
  repeats = np.stack(list(index['repeats']))
  own = np.take_along_axis(repeats, index['fold'].to_numpy()[:, None], 1)[:, 0]
  wrong = (own != 0) | ~(np.isfinite(repeats) & (repeats >= 0)).all(axis=1)
  return [
      f'expected repeats of {row.id} of at least 0, and 0 in its fold '
      f'{row.fold}, received {[float(r) for r in row.repeats]}'
      for row in index[wrong].itertuples()
  ]
