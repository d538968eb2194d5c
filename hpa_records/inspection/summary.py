"""Summarizes a dataset's manifest and index as text and tables."""

import dataclasses
from typing import Any, Sequence

import numpy as np
import pandas as pd

from hpa_records.format import manifest
from hpa_records.format import spec as spec_lib
from hpa_records.format import tfrecord
from hpa_records.runtime import errors
from hpa_records.runtime import printable
from hpa_records.sampling import balance
from hpa_records.sampling import label_set
from hpa_records.sampling import resampling


def require_fold(made: manifest.Manifest, fold: int) -> int:
  """Returns fold if the dataset has it, or is unlabelled.

  Args:
    made: manifest of the dataset.
    fold: number of a fold.

  Raises:
    errors.DataError: the dataset has no such fold.
  """
  if made.is_labelled and not 0 <= fold < made.num_folds:
    raise errors.DataError(
        f'Expected --fold of 0..{made.num_folds - 1}, received {fold}.')
  return fold


def describe(made: manifest.Manifest,
             index: pd.DataFrame,
             spec: spec_lib.Spec,
             fold: int,
             chosen: balance.Balance = balance.Balance()) -> str:
  """Returns a summary of the dataset: 60 lines, and two for each class.

  Args:
    made: manifest of the dataset.
    index: as manifest.load_index returns it.
    spec: of the dataset.
    fold: held out for an epoch's draws.
    chosen: settings of the policies, as in compare_policies.
  """
  size = made.image_size
  num_bytes = sum(each.bytes for each in made.shards)
  parts = [
      f'{made.num_records:,} records in {len(made.shards)} shards, '
      f'{printable.show_bytes(num_bytes)}; '
      f'{size} x {size} x {spec.num_channels} uint8, '
      f'{made.settings["encoding"]}; {made.num_skipped} samples skipped',
      _entries('settings', made.settings),
      _entries('made with', made.versions),
      _table('shards', tabulate_shards(made)),
  ]
  if made.is_labelled:
    labels = spec.multi_hot(index['labels'])
    figures, totals = compare_policies(made, index, labels, fold, chosen)
    parts += [
        _table(
            'images of each class; drawn is an epoch without fold '
            f'{fold}', tabulate_classes(made, index, labels, fold)),
        _table('labels of an image', count_labels(index)),
        _describe_epoch(index, labels, fold),
        _table(
            f'every policy in an epoch without fold {fold}; target '
            f'{chosen.target}, tolerance {chosen.tolerance:g}, max_repeat '
            f'{chosen.max_repeat:g}, percent {chosen.percent}', figures,
            '{:.6g}'),
        _table(
            'training images and draws of each class, by policy, without fold '
            f'{fold}', totals)
    ]
  parts += [
      _table('pixels, 0..255', tabulate_pixels(made, spec)),
      f'sha256 of the CSV      {made.csv_sha256}\n'
      f'sha256 of the dataset  {made.fingerprint}'
  ]
  return '\n\n'.join(parts)


def tabulate_shards(made: manifest.Manifest) -> pd.DataFrame:
  """Returns the number of shards, records and megabytes of each group.

  Args:
    made: manifest of the dataset.

  Returns:
    Index: fold0, fold1, ..., or test; then all. Columns: shards (int), records
    (int), MB (float).
  """
  table = pd.DataFrame({
      'group': [tfrecord.group_of(each.name) for each in made.shards],
      'shards': 1,
      'records': [each.records for each in made.shards],
      'MB': [each.bytes / 1e6 for each in made.shards],
  })
  table = table.groupby('group', sort=False).sum()
  table.loc['all'] = table.sum()
  return table.astype({'shards': int, 'records': int}).rename_axis(None)


def tabulate_classes(made: manifest.Manifest, index: pd.DataFrame,
                     labels: np.ndarray, fold: int) -> pd.DataFrame:
  """Returns the number of images of each class by fold, and expected draws.

  Args:
    made: manifest of a labelled dataset.
    index: of the same.
    labels: [N, K] uint8 multi-hot, of the same.
    fold: held out for the draws.

  Returns:
    [K] rows, named '<number> <name>'. Columns: fold0, ..., all (int); drawn
    (float), the expected draws in an epoch with the fold held out.
  """
  table = pd.DataFrame(
      {
          f'fold{i}': counts for i, counts in enumerate(made.class_counts)
      },
      index=_name_classes(made.classes))
  table['all'] = table.sum(axis=1)
  table['drawn'] = label_set.totals(labels, take_repeats(index, fold))
  return table


def take_repeats(index: pd.DataFrame, fold: int) -> np.ndarray:
  """Returns each record's expected draws with the fold held out, [N] float64.
  """
  return np.stack(list(index['repeats']))[:, fold].astype(np.float64)


def compare_policies(
    made: manifest.Manifest, index: pd.DataFrame, labels: np.ndarray, fold: int,
    chosen: balance.Balance) -> tuple[pd.DataFrame, pd.DataFrame]:
  """Returns the effect of each policy on an epoch and on its classes.

  Draws are computed as the converter does with the dataset's seed; the repeats
  in the index are not used.

  Args:
    made: manifest of a labelled dataset.
    index: of the same.
    labels: [N, K] uint8 multi-hot, of the same.
    fold: the held-out fold.
    chosen: settings of the policies, such as the target; its policy is ignored.

  Returns:
    A table with a row a policy and the columns of resampling.summary; and one
    with [K] rows, named as in tabulate_classes, and the columns images (int),
    the training images, and each policy (float), its expected draws.

  Raises:
    errors.DataError: as compare.
  """
  return compare(index['id'].tolist(), labels, index['fold'].to_numpy(), fold,
                 chosen, made.settings['seed'], made.classes)


def compare(ids: Sequence[str], labels: np.ndarray, folds: np.ndarray,
            fold: int, chosen: balance.Balance, seed: int,
            classes: Sequence[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
  """Returns the tables of compare_policies.

  A policy that is impossible with these settings is left out, unless it is
  chosen.policy.

  Args:
    ids: N unique ids.
    labels: [N, K] uint8 multi-hot.
    folds: [N] int, 0..F-1.
    fold: the held-out fold.
    chosen: as in compare_policies.
    seed: of the random draws.
    classes: names of the K classes.

  Raises:
    errors.DataError: the chosen policy would draw too much, or needs factors.
  """
  training = folds != fold
  figures, totals = {}, {'images': labels[training].sum(axis=0, dtype=int)}
  for policy in balance.POLICIES:
    try:
      drawn = resampling.repeats_of_fold(
          ids, labels, folds, fold, dataclasses.replace(chosen, policy=policy),
          seed)
    except errors.DataError:
      if policy == chosen.policy:
        raise
      continue
    figures[policy] = resampling.summary(labels[training], drawn[training])
    totals[policy] = label_set.totals(labels, drawn)
  return (pd.DataFrame(figures).T,
          pd.DataFrame(totals, index=_name_classes(classes)))


def count_labels(index: pd.DataFrame) -> pd.DataFrame:
  """Returns the number of images with 1, 2, ... labels: one column, images."""
  counts = index['labels'].map(len).value_counts().sort_index()
  return pd.DataFrame({'images': counts}).rename_axis(None)


def tabulate_pixels(made: manifest.Manifest,
                    spec: spec_lib.Spec) -> pd.DataFrame:
  """Returns mean and std (0..255) and the stain of each channel, [C] rows."""
  return pd.DataFrame(
      {
          'mean': made.pixels['mean'],
          'std': made.pixels['std'],
          'stain': [each.stain for each in spec.channels],
      },
      index=list(spec.channel_names))


def _name_classes(classes: Sequence[str]) -> list[str]:
  return [f'{i:2} {_show(name)}' for i, name in enumerate(classes)]


def _describe_epoch(index: pd.DataFrame, labels: np.ndarray, fold: int) -> str:
  training = (index['fold'] != fold).to_numpy()
  drawn = take_repeats(index, fold)
  said = resampling.summary(labels[training], drawn[training])
  said = {'training_images': training.sum(), **said}
  return _entries(f'an epoch without fold {fold}', {
      name: f'{value:.6g}' for name, value in said.items()
  })


def _entries(title: str, entries: dict) -> str:
  texts = {_show(name): _show(value) for name, value in entries.items()}
  width = max(map(len, texts), default=0)
  return '\n'.join([title] +
                   [f'  {name:{width}}  {texts[name]}' for name in texts])


def _show(value: Any) -> str:
  """Returns the value on one line, without control characters."""
  text = str(value)
  return text if text.isprintable() else printable.quote(text)


def _table(title: str, table: pd.DataFrame, floats: str = '{:.1f}') -> str:
  text = table.to_string(float_format=floats.format)
  return '\n'.join([title] + [f'  {line}' for line in text.splitlines()])
