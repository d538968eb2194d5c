"""What TensorBoard shows of a fold: scalars, curves, confusion, samples.

Of each epoch the numbers of the history, a precision-recall curve a class, and
the multi-label confusion matrix; once a sheet of held-out samples, one a class.
The matrix is painted cell by cell (4 ms, where a figure with axes takes a
second, more than an epoch on a GPU may): class 0 is above and on the left, what
was not predicted, or not true, at the end; the darker, the larger the share of
its row.
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

from hpa_records.format import spec
from hpa_records.inspection import figure
from hpa_records.runtime import errors
from hpa_records.runtime.tensorflow import tf
from trainer.scoring import metrics

_CELL_PX = 20
_THRESHOLDS = 101
_INK = np.array([34, 94, 168])  # of a cell that holds its whole row


class Board:
  """Writes a fold's events; raises OSError where the disk does not take them.
  """

  def __init__(self, directory: str):
    """Args: folder of the events."""
    self._directory = directory
    # TensorFlow's error would not say that a file has the folder's name.
    os.makedirs(directory, exist_ok=True)
    with self._told():
      self._writer = tf.summary.create_file_writer(os.fsencode(directory))

  def show_samples(self, images: np.ndarray, labels: np.ndarray) -> None:
    """Writes held-out samples, a picture each.

    Args:
      images: [n, H, W, C] uint8.
      labels: [n, K] uint8 multi-hot.
    """
    with self._told(), self._writer.as_default(step=0):
      for image, row in zip(figure.composite(images), labels):
        names = ' + '.join(np.array(spec.CLASS_NAMES)[row.astype(bool)])
        tf.summary.image(f'samples/{names}', image[None])
      self._writer.flush()

  def show_epoch(self, row: Mapping[str, Any], labels: np.ndarray,
                 scores: np.ndarray, threshold: float) -> None:
    """Writes an epoch.

    Args:
      row: of the history.
      labels: [N, K] uint8 multi-hot, of the held-out fold.
      scores: [N, K] float32.
      threshold: a class is predicted where its score is greater.
    """
    with self._told(), self._writer.as_default(step=row['epoch']):
      for name, value in row.items():
        if isinstance(value, float):
          tf.summary.scalar(name, value)
      for name, truth, score in zip(spec.CLASS_NAMES, labels.T, scores.T):
        if truth.any():
          curve = pr_curve.pb(f'precision_recall/{name}', truth.astype(bool),
                              score, _THRESHOLDS)
          tf.summary.experimental.write_raw_pb(curve.SerializeToString())
      matrix = metrics.confusion_matrix(labels, scores > threshold)
      tf.summary.image('confusion_matrix', paint_matrix(matrix)[None])
      self._writer.flush()

  @contextlib.contextmanager
  def profile(self) -> Iterator[None]:
    """Traces a block on its devices."""
    with self._told():
      tf.profiler.experimental.start(os.fsencode(self._directory))
    try:
      yield
    finally:
      with self._told():
        tf.profiler.experimental.stop()

  @contextlib.contextmanager
  def _told(self) -> Iterator[None]:
    """Has TensorFlow's errors as the operating system's, whose they are."""
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
    text = str(i) if i < spec.NUM_CLASSES else '-'
    place = (i + 1) * _CELL_PX
    for corner in ((place + 2, _CELL_PX - 6), (2, place + _CELL_PX - 6)):
      cv2.putText(image, text, corner, cv2.FONT_HERSHEY_SIMPLEX, 0.38,
                  (0, 0, 0), 1, cv2.LINE_AA)
  return image
