"""Checks an index against its manifest and the format.

Hashes show that the files are unchanged. These checks find an index that was
written wrong: names and numbers of rows, offsets and sizes of records, class
counts, and the number of draws in an epoch. They read tables only and take
milliseconds.
"""

import numpy as np
import pandas as pd

from hpa_records.format import manifest
from hpa_records.format import tfrecord
from hpa_records.runtime import printable
from hpa_records.sampling import resampling

_COLUMNS = ('id', 'shard', 'record_offset', 'record_bytes', 'image_offset',
            'image_bytes')
_LABELLED_COLUMNS = ('fold', 'labels', 'repeats')
_HEAD_BYTES = 512  # at most, beside id, labels, repeats and image


def check(made: manifest.Manifest, index: pd.DataFrame) -> list[str]:
  """Returns the issues of the index; [] if it is valid.

  Args:
    made: a manifest that is valid for manifest_check.
    index: as manifest.load_index returns it.

  Returns:
    One line an issue, which begins with the name of the index file.
  """
  columns = _COLUMNS + (_LABELLED_COLUMNS if made.is_labelled else ())
  if made.settings.get('groups_sha256') or (made.is_labelled and
                                            made.has_group_columns):
    columns += ('group',)
  if not made.is_labelled and 'row' in index:  # not in earlier versions
    columns += ('row',)
  columns += tuple(made.metadata)
  if set(index.columns) != set(columns):
    issues = [
        f'expected the columns {sorted(columns)}, received '
        f'{sorted(index.columns)}'
    ]
  else:
    issues = _check_names(index) or _check_rows(made, index)
    issues = issues or _check_sizes(made, index)
    issues = issues or _check_offsets(made, index) + _check_lines(made, index)
    if made.is_labelled:
      # The others use folds as row and column numbers.
      issues = issues or _check_folds(made, index)
      issues = issues or (_check_labels(made, index) +
                          _check_repeats(made, index) + _check_groups(index))
  return [f'{manifest.INDEX_NAME}: {each}' for each in issues]


def _check_names(index: pd.DataFrame) -> list[str]:
  """Ids and groups must be plain names, and ids unique."""
  issues = [
      wrong for column, how in (('id', ('an id',)), ('group', ('a group', '')))
      if column in index for name in index[column].unique().tolist()
      if (wrong := printable.find_name_issue(name, *how))
  ]
  twice = index['id'][index['id'].duplicated()].unique()
  return issues or [f'duplicate id {name}' for name in twice]


def _check_rows(made: manifest.Manifest, index: pd.DataFrame) -> list[str]:
  counts = index['shard'].value_counts()
  issues = [
      f'expected {each.records} rows of {each.name}, received '
      f'{counts.get(each.name, 0)}'
      for each in made.shards
      if counts.get(each.name, 0) != each.records
  ]
  foreign = sorted(set(counts.index) - {each.name for each in made.shards})
  issues += [
      f'rows of unknown shard {printable.quote(name)}' for name in foreign
  ]
  expected = np.repeat([each.name for each in made.shards],
                       [each.records for each in made.shards])
  if not issues and list(index['shard']) != expected.tolist():
    issues.append('rows are not in the order of the shards')
  return issues


def _check_groups(index: pd.DataFrame) -> list[str]:
  """A group of samples must be in one fold."""
  if 'group' not in index:
    return []
  folds = index.groupby('group', sort=False)['fold'].nunique()
  return [
      f'group {name} is in {folds[name]} folds, expected one'
      for name in folds.index[folds > 1][:1]
  ]


def _check_sizes(made: manifest.Manifest, index: pd.DataFrame) -> list[str]:
  """Sizes must be positive and not larger than the content can be."""
  raw_bytes = made.image_size**2 * made.num_channels
  # A PNG of noise is a little larger than its pixels.
  most = raw_bytes if made.settings[
      'encoding'] == 'raw' else 2 * raw_bytes + 2**12
  images, records = (
      index[name].to_numpy() for name in ('image_bytes', 'record_bytes'))
  heads = 4 * index['id'].str.len().to_numpy() + _HEAD_BYTES
  if made.is_labelled:
    heads = heads + made.num_classes + 4 * made.num_folds
  wrong = (images < 1) | (images > most) | (records < images) | (records -
                                                                 images > heads)
  return [
      f'expected 1 to {most} bytes for the image of {row.id} and at most '
      f'{most_head} more for its record, received {row.image_bytes} and '
      f'{row.record_bytes} in all'
      for most_head, row in zip(heads[wrong], index[wrong].itertuples())
  ]


def _check_offsets(made: manifest.Manifest, index: pd.DataFrame) -> list[str]:
  """Records must fill each shard without gaps, and contain their images."""
  issues, row = [], 0
  starts, sizes = index['record_offset'], index['record_bytes']
  for each in made.shards:
    rows = slice(row, row + each.records)
    ends = np.cumsum(sizes.to_numpy()[rows])
    expected = np.concatenate([[0], ends])
    received = np.append(starts.to_numpy()[rows], each.bytes)
    wrong = np.flatnonzero(expected != received)
    if len(wrong):
      issues.append(f'expected record {wrong[0]} of {each.name} at byte '
                    f'{expected[wrong[0]]}, received {received[wrong[0]]}')
    row += each.records
  size = made.image_size
  raw_bytes = size**2 * made.num_channels
  if made.settings['encoding'] == 'raw':
    wrong = index['image_bytes'] != raw_bytes
    issues += [
        f'expected the {raw_bytes} bytes of {size}x{size} pixels of {row.id}, '
        f'received {row.image_bytes}' for row in index[wrong].itertuples()
    ]
  first = starts + tfrecord.FRAME_HEAD_BYTES
  after = starts + sizes - (tfrecord.FRAME_BYTES - tfrecord.FRAME_HEAD_BYTES)
  # A sum with image_offset may overflow: it may be any 64-bit number.
  outside = (index['image_offset'] < first) | (index['image_offset']
                                               > after - index['image_bytes'])
  issues += [
      f'the image of {name} is outside its record'
      for name in index['id'][outside]
  ]
  return issues


def _check_lines(made: manifest.Manifest, index: pd.DataFrame) -> list[str]:
  """Rows of the CSV must be from 1, and unique if each is one sample."""
  if 'row' not in index:
    return []
  rows = index['row']
  wrong = rows < 1
  if not made.has_several_samples_a_row:
    wrong |= rows.duplicated()
  return [
      f'expected unique rows of the CSV from 1, received {number}'
      for number in rows[wrong][:1]
  ]


def _check_folds(made: manifest.Manifest, index: pd.DataFrame) -> list[str]:
  folds = [
      int(tfrecord.group_of(each.name)[len('fold'):]) for each in made.shards
  ]
  expected = np.repeat(folds, [each.records for each in made.shards])
  wrong = index['fold'].to_numpy() != expected
  return [
      f'expected fold {fold} for {row.id} in {row.shard}, received '
      f'{row.fold}'
      for fold, row in zip(expected[wrong], index[wrong].itertuples())
  ]


def _check_labels(made: manifest.Manifest, index: pd.DataFrame) -> list[str]:
  lengths = index['labels'].map(len).to_numpy()
  rows = np.repeat(np.arange(len(index)), lengths)
  labels = np.concatenate([*index['labels'], []]).astype(np.int64)
  again = pd.DataFrame({'row': rows, 'label': labels}).duplicated().to_numpy()
  wrong = rows[again | (labels < 0) | (labels >= made.num_classes)]
  if wrong.size:
    return [
        f'expected unique labels 0..{made.num_classes - 1} for {row.id}, '
        f'received {printable.show_list([int(k) for k in row.labels])}'
        for row in index.iloc[np.unique(wrong)].itertuples()
    ]
  cells = index['fold'].to_numpy()[rows] * made.num_classes + labels
  counts = np.bincount(cells, minlength=made.num_folds * made.num_classes)
  counts = counts.reshape(made.num_folds, made.num_classes)
  return [
      f'expected the class counts of fold {fold} in '
      f'{manifest.MANIFEST_NAME}, {said}, received {found}'
      for fold, (said,
                 found) in enumerate(zip(made.class_counts, counts.tolist()))
      if list(said) != found
  ]


def _check_repeats(made: manifest.Manifest, index: pd.DataFrame) -> list[str]:
  wrong_length = index['repeats'].map(len) != made.num_folds
  if wrong_length.any():
    return [
        f'expected {made.num_folds} repeats for {name}, received another number'
        for name in index['id'][wrong_length]
    ]
  repeats = np.stack(list(index['repeats']))
  own = np.take_along_axis(repeats, index['fold'].to_numpy()[:, None], 1)[:, 0]
  wrong = (own != 0) | ~(np.isfinite(repeats) & (repeats >= 0)).all(axis=1)
  if wrong.any():
    return [
        f'expected repeats of at least 0 for {row.id}, and 0 in its fold '
        f'{row.fold}, received '
        f'{printable.show_list([float(r) for r in row.repeats])}'
        for row in index[wrong].itertuples()
    ]
  draws, most = repeats.sum(axis=0,
                            dtype=float), resampling.max_draws(len(index))
  return [
      f'expected at most {most:,} draws in an epoch without fold {fold}, '
      f'received repeats with sum {draws[fold]:.6g}'
      for fold in np.flatnonzero(draws > most)[:1]
  ]
