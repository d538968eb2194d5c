"""TensorBoard events of a fold: scalars, curves, confusion matrix, samples.

For each epoch, the numbers of the history, a precision-recall curve for each
class, and the multi-label confusion matrix; once, a picture of a held-out
sample for each class. Of many classes the largest have curves, the same in each
epoch, and there is no matrix, which nobody could read. The matrix is drawn cell
by cell in 4 ms; a Matplotlib figure takes a second, more than an epoch on a GPU
may. Class 0 is at the top left, "not predicted" and "not true" are last; a
darker cell is a larger share of its row.
"""

from collections.abc import Mapping
import contextlib
import errno
import os
import re
from typing import Any, Iterator

import cv2
import numpy as np
from tensorboard.plugins.pr_curve import summary as pr_curve

from hpa_records.format import spec as spec_lib
from hpa_records.inspection import figure
from hpa_records.runtime import errors
from hpa_records.runtime.tensorflow import tf
from trainer.scoring import decision
from trainer.scoring import metrics
from trainer.scoring import shown_class

_CELL_PX = 20
_THRESHOLDS = 101
_INK = np.array([34, 94, 168])  # RGB of a cell that has all of its row


class Board:
  """Writes a fold's events.

  All methods raise OSError if a file cannot be written.
  """

  def __init__(self, directory: str):
    """Creates the folder.

    Args:
      directory: of the events.
    """
    self._directory = directory
    # TensorFlow's error would not mention that a file has the folder's name.
    os.makedirs(directory, exist_ok=True)
    with self._translate_errors():
      self._writer = tf.summary.create_file_writer(os.fsencode(directory))

  def show_samples(self, images: np.ndarray, labels: np.ndarray,
                   spec: spec_lib.Spec) -> None:
    """Writes held-out samples, one picture each.

    Args:
      images: [n, H, W, C] uint8.
      labels: [n, K] uint8 multi-hot.
      spec: of the records.
    """
    with self._translate_errors(), self._writer.as_default(step=0):
      for image, row in zip(figure.composite(images, spec), labels):
        names = ' + '.join(spec.classes[k] for k in np.flatnonzero(row))
        tf.summary.image(f'samples/{names}', image[None])
      self._writer.flush()

  def show_epoch(self, row: Mapping[str, Any], labels: np.ndarray,
                 predictions: np.ndarray, spec: spec_lib.Spec,
                 threshold: decision.Threshold) -> None:
    """Writes the numbers of an epoch.

    Args:
      row: of the epoch in the history.
      labels: [N, K] uint8 multi-hot, of the held-out fold.
      predictions: [N, K] float32.
      spec: of the records.
      threshold: as of decision.decide.
    """
    shown = shown_class.choose(labels.sum(axis=0, dtype=int))
    with self._translate_errors(), self._writer.as_default(step=row['epoch']):
      for name, value in row.items():
        if isinstance(value, float):
          tf.summary.scalar(name, value)
      for number in shown.tolist():
        truth = labels[:, number].astype(bool)
        if truth.any():
          curve = pr_curve.pb(f'precision_recall/{spec.classes[number]}', truth,
                              predictions[:, number], _THRESHOLDS)
          tf.summary.experimental.write_raw_pb(curve.SerializeToString())
      if len(shown) == spec.num_classes:
        matrix = metrics.confusion_matrix(
            labels, decision.decide(predictions, threshold))
        tf.summary.image('confusion_matrix', paint_matrix(matrix)[None])
      self._writer.flush()

  @contextlib.contextmanager
  def profile(self) -> Iterator[None]:
    """Profiles the block on its devices."""
    with self._translate_errors():
      tf.profiler.experimental.start(os.fsencode(self._directory))
    try:
      yield
    finally:
      with self._translate_errors():
        tf.profiler.experimental.stop()

  @contextlib.contextmanager
  def _translate_errors(self) -> Iterator[None]:
    """Turns TensorFlow's file errors into OSError."""
    try:
      yield
    except tf.errors.OpError as error:
      # "{{function_node ...}} PATH; File too large", or "PATH is ... [Op:...]".
      line = str(error).partition('\n')[0]
      reason = re.sub(r'^.*; |^\{\{.*?\}\} | \[Op:.*$', '', line)
      number = errors.find_number(reason) or errno.EIO
      raise OSError(number, reason, self._directory) from error


def paint_matrix(matrix: np.ndarray) -> np.ndarray:
  """Returns a confusion matrix as an image, [H, W, 3] uint8.

  Args:
    matrix: [K+1, K+1] integer, of metrics.confusion_matrix.
  """
  shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
  cells = 255 - shares[..., None] * (255 - _INK)
  cells = np.repeat(np.repeat(cells, _CELL_PX, axis=0), _CELL_PX, axis=1)
  image = np.pad(cells.round().astype(np.uint8),
                 ((_CELL_PX, 0), (_CELL_PX, 0), (0, 0)),
                 constant_values=255)
  for i in range(len(matrix)):
    text = str(i) if i < len(matrix) - 1 else '-'
    place = (i + 1) * _CELL_PX
    for corner in ((place + 2, _CELL_PX - 6), (2, place + _CELL_PX - 6)):
      cv2.putText(image, text, corner, cv2.FONT_HERSHEY_SIMPLEX, 0.38,
                  (0, 0, 0), 1, cv2.LINE_AA)
  return image
