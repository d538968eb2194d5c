"""One way to train GapNet-PL on a resident batch; benchmarks.train runs it.

  python -m benchmarks.network_trainer NAME JOB.json

A way is a function of a job that yields (number of steps, seconds) again and
again. All train the same network, PReLU, on the same synthetic uint8 pixels,
with SGD and momentum; ours takes another variant, too.
"""

import itertools
import json
import os
import sys
import time
from typing import Any, Iterator

import numpy as np

from benchmarks.device import memory
from benchmarks.device import turn

# Imports stand inside the functions: each way pays for its own alone.
# pylint: disable=import-outside-toplevel

_MEAN, _STD = [13.0] * 4, [28.0] * 4
_NUM_BATCHES = 4  # that are there
WARM = 'warm'  # printed before the timing

Job = dict[str, Any]  # batch, size, precision, xla, steps, seconds, variant


def _ours(job: Job) -> Iterator[tuple[int, float]]:
  """This project's step, with augmentation, dropout by slot and clipping."""
  from hpa_records.runtime import process
  process.take()
  from hpa_records.runtime.tensorflow import tf
  from trainer import config as config_lib
  from trainer.network import gapnet
  from trainer.training import optimizer as optimizer_lib
  from trainer.training import step
  from trainer import strategy as strategy_lib
  turn.wait(turn.START)
  config = config_lib.Config('',
                             '',
                             batch_size=job['batch'],
                             precision=job['precision'],
                             xla=job['xla'])
  strategy = strategy_lib.make('auto')
  pixels, labels = _made(job)
  with strategy.scope():
    model = gapnet.build(job['size'],
                         job.get('variant', 'original'),
                         activation='prelu',
                         mean=_MEAN,
                         std=_STD,
                         precision=job['precision'],
                         fast=strategy_lib.compiles(strategy, job['xla']))
    optimizer = optimizer_lib.make_optimizer(0.01, 0.9)
    optimizer.build(model.trainable_variables)
    resident = tf.Variable(pixels, trainable=False)
  stepper = step.Stepper(strategy, model, optimizer, config,
                         _Resident(resident))
  batches = iter(
      strategy.experimental_distribute_dataset(_rows(labels, job['batch']),
                                               stepper.input_options))
  rates = tf.fill([job['steps']], 0.01)
  for number in itertools.count():
    begun = time.perf_counter()
    losses, _ = stepper.train(batches, tf.constant(0),
                              tf.constant(number * job['steps']), rates)
    losses.numpy()
    yield job['steps'], time.perf_counter() - begun


class _Resident:
  """Pixels on the device, as device_cache keeps those of a dataset."""

  def __init__(self, pixels):
    self._pixels = pixels

  def images(self, rows):
    """Returns the pixels [b, H, W, 4] uint8 of rows [b] int32."""
    import tensorflow as tf
    return tf.gather(self._pixels, rows)


def _rows(labels: np.ndarray, batch: int):
  """Returns endless batches with rows in place of images."""
  from hpa_records.reading import dataset
  from hpa_records.sampling import epoch_plan
  from hpa_records.format import spec
  from hpa_records.runtime.tensorflow import tf

  def make(number):
    first = tf.cast(number % _NUM_BATCHES, tf.int32) * batch
    rows = first + tf.range(batch)
    return {
        dataset.ROW:
            rows,
        spec.LABELS:
            tf.gather(tf.constant(labels), rows),
        dataset.WEIGHT:
            tf.ones([batch]),
        dataset.ELEMENT:
            tf.random.stateless_uniform([batch], [0, number], 0,
                                        epoch_plan.NUM_ELEMENTS, tf.int32),
        dataset.SLOT:
            tf.range(batch),
    }

  return tf.data.Dataset.counter().map(make).prefetch(8)


def _keras(job: Job) -> Iterator[tuple[int, float]]:
  """Keras's own layers and fit, TensorFlow's defaults, no augmentation."""
  import keras
  import tensorflow as tf
  layers = keras.layers
  if job['precision'] == 'bfloat16':
    keras.config.set_dtype_policy('mixed_bfloat16')

  def activate(x, axes):
    return layers.PReLU('zeros', shared_axes=axes)(x)

  def convolve(x, filters, strides=1):
    x = layers.ZeroPadding2D(1)(x)
    x = layers.Conv2D(filters, 3, strides)(x)
    return activate(x, (1, 2))

  image = keras.Input((job['size'], job['size'], 4), dtype='uint8')
  x = layers.Rescaling(1 / _STD[0], -_MEAN[0] / _STD[0])(image)
  x = layers.MaxPooling2D(2, padding='same')(convolve(x, 32, 2))
  maps = [x]
  x = convolve(x, 64, 2)
  for _ in range(3):
    x = convolve(x, 64)
  x = layers.MaxPooling2D(2, padding='same')(x)
  maps.append(x)
  for _ in range(3):
    x = convolve(x, 128)
  maps.append(x)
  x = layers.Concatenate()([layers.GlobalAveragePooling2D()(m) for m in maps])
  for _ in range(2):
    x = layers.Dropout(0.3)(activate(layers.Dense(256)(x), None))
  model = keras.Model(image, layers.Dense(28, dtype='float32')(x))
  model.compile(keras.optimizers.SGD(0.01, 0.9, clipnorm=5.0),
                keras.losses.BinaryCrossentropy(from_logits=True))
  pixels, labels = _made(job)
  data = tf.data.Dataset.from_tensor_slices(
      (pixels, labels)).batch(job['batch']).cache().repeat().prefetch(2)
  while True:
    begun = time.perf_counter()
    model.fit(data, steps_per_epoch=job['steps'], verbose=0)
    yield job['steps'], time.perf_counter() - begun


def _made(job: Job) -> tuple[np.ndarray, np.ndarray]:
  """Returns pixels [N, H, W, 4] uint8 and labels [N, 28] float32."""
  rng = np.random.default_rng(0)
  count, size = _NUM_BATCHES * job['batch'], job['size']
  pixels = rng.integers(0, 256, (count, size, size, 4), np.uint8)
  return pixels, (rng.random((count, 28)) < 0.06).astype(np.float32)


WAYS = {'ours': _ours, 'keras': _keras}


def main() -> None:
  """Runs the way of the arguments, and prints its numbers as JSON."""
  name, path = sys.argv[1:]
  with open(path, encoding='utf-8') as file:
    job = json.load(file)
  calls = WAYS[name](job)
  next(calls)  # compiles
  next(calls)
  print(WARM, flush=True)
  turn.wait(turn.WARM)
  memory.reset()
  steps = seconds = 0.0
  while seconds < job['seconds']:
    more, taken = next(calls)
    steps, seconds = steps + more, seconds + taken
  print(json.dumps({
      'rate': steps * job['batch'] / seconds,
      **memory.measure()
  }),
        flush=True)
  os._exit(0)  # pylint: disable=protected-access


if __name__ == '__main__':
  main()
