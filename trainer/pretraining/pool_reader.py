"""Batches of the images of a pool, read by index."""

import contextlib

import numpy as np

from hpa_records.reading import how as how_lib
from hpa_records.reading import indexed
from hpa_records.reading import reader
from hpa_records.reading.payload import joined
from hpa_records.runtime.tensorflow import tf
from hpa_records.sampling import epoch_plan
from trainer.pretraining import pool as pool_lib


class Reader:
  """Reads the images of a pool by index."""

  def __init__(self, pool: pool_lib.Pool):
    """Prepares to read.

    Args:
      pool: the images.
    """
    self._pool = pool
    self._payload = joined.Joined([
        reader.find_payload(each, how_lib.How(), 'indexed')
        for each in pool.parts
    ], [len(each.index) for each in pool.parts])
    self._buffers = indexed.make_buffers()

  def training(self,
               plan: epoch_plan.Epoch,
               key: epoch_plan.Key,
               share: epoch_plan.Share,
               first_step: int = 0) -> tf.data.Dataset:
    """Returns the batches of an epoch, as indexed.batches does.

    In place of labels they have the number of each image's identity [b, 1].

    Args:
      plan: the copies, in the order of training.
      key: of the epoch, which the plan is of.
      share: the part of each batch to make.
      first_step: the step to start at.
    """
    del key
    return indexed.batches(self._pool.identities[:, None],
                           self._pool.spec.image_shape, self._payload, plan,
                           share, first_step, self._buffers)

  def evaluation(self, rows: np.ndarray,
                 share: epoch_plan.Share) -> tf.data.Dataset:
    """Returns the batches of some images, once each, in order.

    Args:
      rows: [n] int64.
      share: the part of each batch to make.
    """
    plan = epoch_plan.once(rows)
    return indexed.batches(self._pool.labels, self._pool.spec.image_shape,
                           self._payload, plan, share, 0, self._buffers)

  def translate_errors(self) -> contextlib.AbstractContextManager:
    """Returns indexed.translate_errors, for a block that reads batches."""
    return indexed.translate_errors(self._payload)
