"""Held-out samples to show of each class: best hits and worst mistakes."""

import numpy as np

from hpa_records.inspection import gallery
from hpa_records.reading import dataset
from hpa_records.runtime.tensorflow import keras
from trainer.network import activation_map
from trainer.run import arrays


def pick(labels: np.ndarray, scores: np.ndarray,
         threshold: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Returns the most extreme samples of each class, at most one a kind.

  A hit is a positive that is predicted, the one with the highest score; a miss
  a positive that is not, with the lowest; a false alarm a negative that is,
  with the highest. Of equals the first. A class may have none of a kind.

  Args:
    labels: [N, K] of 0 and 1.
    scores: [N, K] float.
    threshold: a class is predicted where its score is greater.

  Returns:
    (rows [n] int64, classes [n] int64, kinds [n] str), by class.
  """
  positive, predicted = labels.astype(bool), scores > threshold
  found = []
  for number in range(labels.shape[1]):
    candidates = (
        (positive & predicted, scores),
        (positive & ~predicted, -scores),
        (~positive & predicted, scores),
    )
    for kind, (mask, value) in zip(arrays.KINDS, candidates):
      rows = np.flatnonzero(mask[:, number])
      if rows.size:
        best = rows[np.argmax(value[rows, number])]
        found.append((int(best), number, kind))
  rows, classes, kinds = zip(*found) if found else ((), (), ())
  return (np.array(rows, np.int64), np.array(classes,
                                             np.int64), np.array(kinds, str))


def collect(records: dataset.Records, fold: int, model: keras.Model,
            scores: np.ndarray, threshold: float) -> arrays.Gallery:
  """Returns the notable samples of a fold, and where the network looked.

  Args:
    records: the dataset.
    fold: held out.
    model: that scored it.
    scores: [n, K] float32 of the fold's records, in index order.
    threshold: a class is predicted where its score is greater.

  Raises:
    errors.DataError: a stored image is damaged.
  """
  rows = records.rows(fold)
  labels = records.labels[rows]
  picked, classes, kinds = pick(labels, scores, threshold)
  images, maps = np.zeros([0, 1, 1, 4], np.uint8), ()
  if picked.size:
    images = gallery.load_images(records.directory, records.manifest,
                                 records.index, rows[picked].tolist())
    maps = tuple(map(_reduce, activation_map.compute(model, images, classes)))
    images = _reduce(images)
  ids = records.index['id'].to_numpy(str)[rows[picked]]
  return arrays.Gallery(ids, labels[picked], scores[picked], classes, kinds,
                        images, maps)


def _reduce(images: np.ndarray) -> np.ndarray:
  """[n, H, W, ...] as they are shown, see arrays.reduce."""
  return np.stack([arrays.reduce(image) for image in images])
