"""The best hit and the worst mistakes of each class in the held-out fold."""

import numpy as np

from hpa_records.format import manifest
from hpa_records.inspection import gallery
from hpa_records.reading import dataset
from hpa_records.runtime import errors
from hpa_records.runtime.tensorflow import keras
from trainer.network import activation_map
from trainer.run import arrays
from trainer.scoring import decision
from trainer.scoring import metrics
from trainer.scoring import shown_class


def pick(
    labels: np.ndarray, predictions: np.ndarray,
    threshold: decision.Threshold) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Returns the most extreme samples of each class, at most one of a kind.

  Of many classes those of shown_class.choose.

  The hit is the predicted positive with the highest probability, the miss the
  positive that is not predicted with the lowest, the false alarm the predicted
  negative with the highest. Of equal ones the first is taken.

  Args:
    labels: [N, K] of 0 and 1.
    predictions: [N, K] float.
    threshold: as of decision.decide.

  Returns:
    (rows [n] int64, classes [n] int64, kinds [n] str), by class.
  """
  decided = decision.decide(predictions, threshold)
  shown = shown_class.choose(labels.sum(axis=0, dtype=int),
                             metrics.compute_f1(labels, predictions, threshold))
  found = []
  for number in shown.tolist():
    positive, predicted = labels[:, number].astype(bool), decided[:, number]
    value = predictions[:, number]
    candidates = (
        (positive & predicted, value),
        (positive & ~predicted, -value),
        (~positive & predicted, value),
    )
    for kind, (mask, value) in zip(arrays.KINDS, candidates):
      rows = np.flatnonzero(mask)
      if rows.size:
        found.append((int(rows[np.argmax(value[rows])]), number, kind))
  rows, classes, kinds = zip(*found) if found else ((), (), ())
  return (np.array(rows, np.int64), np.array(classes,
                                             np.int64), np.array(kinds, str))


def collect(records: dataset.Records, fold: int, model: keras.Model,
            predictions: np.ndarray,
            threshold: decision.Threshold) -> arrays.Gallery:
  """Returns the gallery of a fold, with class activation maps.

  Args:
    records: the dataset.
    fold: held out.
    model: the network that gave the predictions.
    predictions: [N, K] float32, of the fold's records in index order.
    threshold: as of decision.decide.

  Raises:
    errors.DataError: a stored image is damaged, or the dataset was replaced.
  """
  rows = records.rows(fold)
  labels = records.labels[rows]
  picked, classes, kinds = pick(labels, predictions, threshold)
  channels = records.spec.num_channels
  images, maps = np.zeros([0, 1, 1, channels], np.uint8), ()
  if picked.size:
    _check_unchanged(records)
    images = gallery.load_images(records.directory, records.manifest,
                                 records.index, rows[picked].tolist())
    _check_unchanged(records)
    maps = tuple(map(_reduce, activation_map.compute(model, images, classes)))
    images = _reduce(images)
  ids = records.index['id'].to_numpy(str)[rows[picked]]
  return arrays.Gallery(ids, labels[picked], predictions[picked], classes,
                        kinds, images, maps)


def _check_unchanged(records: dataset.Records) -> None:
  """Refuses a dataset that was converted again: a cache does not notice it."""
  now = manifest.load(records.directory)
  if now.fingerprint != records.manifest.fingerprint:
    raise errors.DataError(
        f'The dataset at {records.directory} was replaced during the run. Put '
        'the one of this run back, then run the same command to finish.')


def _reduce(images: np.ndarray) -> np.ndarray:
  """Returns images or maps [n, H, W, ...] reduced by arrays.reduce."""
  return np.stack([arrays.reduce(image) for image in images])
