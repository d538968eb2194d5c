"""global_batch: which batches a replica gets."""

import numpy as np

from hpa_records.runtime.tensorflow import tf
from trainer import global_batch
from trainer import strategy


def test_one_replica_reads_from_the_host_without_a_tuner():
  """Else the end of each epoch may wait for the tuner of a device's iterator.
  """

  def make(share):
    assert (share.first, share.count, share.part_size) == (0, 1, 6)
    options = tf.data.Options()
    options.autotune.enabled = False
    return tf.data.Dataset.range(12).batch(6).with_options(options)

  cpu = strategy.make('cpu')
  batches = global_batch.distribute(cpu, 6, make)
  assert not batches.options().autotune.enabled
  first, second = map(np.asarray, batches)
  assert first.tolist() == [*range(6)] and second.tolist() == [*range(6, 12)]
  images = global_batch.place(cpu, tf.constant(first))
  assert images.device.endswith('CPU:0') and (images.numpy() == first).all()
