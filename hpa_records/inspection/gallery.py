"""Draws the figures of a dataset and writes them to files."""

import os
from typing import Mapping, Sequence

from matplotlib import figure as mpl_figure
import numpy as np
import pandas as pd

from hpa_records.format import manifest
from hpa_records.format import spec as spec_lib
from hpa_records.images import pixel_codec
from hpa_records.inspection import class_choice
from hpa_records.inspection import figure
from hpa_records.inspection import summary
from hpa_records.runtime import errors
from hpa_records.sampling import balance
from hpa_records.sampling import label_set
from hpa_records.storage import filesystem
from hpa_records.storage import folders
from hpa_records.storage import path_check

_NUM_ROWS = 6  # of the figure by channel


def draw(directory: str,
         made: manifest.Manifest,
         index: pd.DataFrame,
         spec: spec_lib.Spec,
         fold: int,
         output: str,
         chosen: balance.Balance = balance.Balance()) -> list[str]:
  """Draws the dataset's figures and returns their paths.

  An unlabelled set has one figure only: samples by channel.

  Args:
    directory: of the dataset.
    made: its manifest.
    index: its index.
    spec: its spec.
    fold: held out for the class counts after balance.
    output: folder of the figures; created if missing.
    chosen: settings of the policies, as in summary.compare_policies.

  Raises:
    errors.DataError: a stored image is damaged, or as save.
  """
  labelled = made.is_labelled
  figures = {}
  rows, captions = list(range(len(index))), [()] * len(index)
  if labelled:
    captions = list(index['labels'])
    hot = spec.multi_hot(captions)
    shown = pick_by_class(hot)
    choice = class_choice.describe(np.count_nonzero(hot.any(axis=0)))
    title = f'Samples of {choice}' if choice else ''
    figures['labels_per_image'] = figure.draw_labels_per_image(hot)
    figures['class_counts'] = _draw_balance(made, index, hot, fold)
    _, totals = summary.compare_policies(made, index, hot, fold, chosen)
    figures.update(draw_policies(totals, fold, spec.classes))
    if shown:
      figures['samples_by_class'] = figure.draw_composites(
          load_images(directory, made, index, list(shown.values())),
          [f'{k} {spec.classes[k]}' for k in shown], spec, title)
      rows = sorted(shown.values(), key=lambda row: -len(captions[row]))
  rows = rows[:_NUM_ROWS]
  figures['samples_by_channel'] = figure.draw_channels(
      load_images(directory, made, index,
                  rows), [index['id'].iloc[row] for row in rows],
      [captions[row] for row in rows], spec)
  return save(figures, output)


def draw_policies(totals: pd.DataFrame, fold: int,
                  classes: Sequence[str]) -> dict[str, mpl_figure.Figure]:
  """Returns figures of class counts before and after each policy, by name.

  Args:
    totals: the second table of summary.compare, [K] rows.
    fold: the held-out fold.
    classes: names of the K classes.
  """
  return {
      f'class_counts_{policy}':
          draw_counts(totals['images'].to_numpy(), totals[policy].to_numpy(),
                      policy, fold, classes)
      for policy in balance.POLICIES
      if policy in totals
  }


def draw_counts(before: np.ndarray, after: np.ndarray, policy: str, fold: int,
                classes: Sequence[str]) -> mpl_figure.Figure:
  """Returns a figure of class counts before and after balance.

  Args:
    before: [K] number of training images of each class.
    after: [K] expected draws of each class in an epoch.
    policy: name of the balance policy.
    fold: the held-out fold.
    classes: names of the K classes.
  """
  return figure.draw_class_counts(
      before, after, classes, ('images', f'drawn an epoch, balance {policy}'),
      f'Classes of the training images, fold {fold} held out')


def save(figures: Mapping[str, mpl_figure.Figure], output: str) -> list[str]:
  """Writes figures as PNGs and returns their paths, sorted.

  Args:
    figures: by name, without .png.
    output: folder; created if missing.

  Raises:
    errors.DataError: they cannot be written, or a file that is not a figure of
      this program has the name of one.
  """
  paths = {
      os.path.join(output, f'{name}.png'): figures[name]
      for name in sorted(figures)
  }
  with path_check.translate_write_errors(output, 'figures'):
    folders.make(output)
    for path in paths:
      path_check.refuse_foreign(path, figure.MARK, 'figures')
    for path, drawn in paths.items():
      figure.save(drawn, path)
  return list(paths)


def pick_by_class(labels: np.ndarray) -> dict[int, int]:
  """Returns a row 0..N-1 for each class that occurs, by class.

  Of many classes that occur, those of class_choice.choose have one. Rare
  classes choose first. A class prefers a row that is not yet taken, then one
  with few labels, then the first in file order.

  Args:
    labels: [N, K] uint8 multi-hot.
  """
  taken, chosen = np.zeros(len(labels), bool), {}
  num_labels, counts = labels.sum(axis=1), labels.sum(axis=0, dtype=np.int64)
  present = np.flatnonzero(counts)
  shown = np.sort(present[class_choice.choose(counts[present])])
  for one_class in shown[np.argsort(counts[shown], kind='stable')].tolist():
    members = np.flatnonzero(labels[:, one_class])
    order = np.lexsort((members, num_labels[members], taken[members]))
    chosen[one_class] = int(members[order[0]])
    taken[chosen[one_class]] = True
  return dict(sorted(chosen.items()))


def load_images(directory: str, made: manifest.Manifest, index: pd.DataFrame,
                rows: Sequence[int]) -> np.ndarray:
  """Returns the images of some rows of the index, [n, H, W, C] uint8.

  Args:
    directory: of the dataset.
    made: its manifest.
    index: its index.
    rows: positions in the index, n >= 1.

  Raises:
    errors.DataError: a stored image is damaged, or its shard cannot be read.
  """
  images = []
  for row in index.iloc[list(rows)].itertuples():
    path = os.path.join(directory, row.shard)
    try:
      with filesystem.open_read(path) as file:
        file.seek(row.image_offset)
        data = file.read(row.image_bytes)
    except OSError as error:
      raise errors.describe_read(path, error) from error
    try:
      images.append(
          pixel_codec.decode(data, made.settings['encoding'], made.image_size,
                             made.num_channels))
    except errors.DataError as error:
      raise errors.DataError(
          f'Invalid image of {row.id} at byte {row.image_offset} of {path}: '
          f'{error}; run hpa-verify-records --deep.') from error
  return np.stack(images)


def _draw_balance(made: manifest.Manifest, index: pd.DataFrame, hot: np.ndarray,
                  fold: int) -> mpl_figure.Figure:
  training = (index['fold'] != fold).to_numpy()
  drawn = label_set.totals(hot, summary.take_repeats(index, fold))
  policy = made.settings.get('balance', 'none')
  return draw_counts(hot[training].sum(axis=0, dtype=int), drawn, policy, fold,
                     made.classes)
