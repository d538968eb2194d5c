"""One way to train GapNet-PL on a resident batch; benchmarks.train runs it.

  python -m benchmarks.network_trainer NAME JOB.json

A way is a function of a job that yields (number of steps, seconds) again and
again. All train the same network, PReLU, on the same synthetic uint8 pixels,
with channels and classes of the default dataset, by SGD and momentum; ours
takes another variant, too. Those of TINY train one dense layer: their time is
that of what is around the arithmetic.
"""

import itertools
import json
import os
import sys
import time
import types
from typing import Any, Iterator

import numpy as np

from benchmarks.device import memory
from benchmarks.device import turn

# Imports stand inside the functions: each way pays for its own alone.
# pylint: disable=import-outside-toplevel

_MEAN, _STD = 13.0, 28.0  # of each channel
_NUM_BATCHES = 4  # that are there
_TINY_CALLS = 10  # of an epoch
WARM = 'warm'  # printed before the timing

Job = dict[str, Any]  # batch, size, precision, xla, steps, seconds, variant


def _ours(job: Job) -> Iterator[tuple[int, float]]:
  """This project's step, with augmentation, dropout by slot and clipping."""
  from hpa_records.runtime import process
  process.take()
  from trainer import config as config_lib
  from trainer.network import build
  from trainer.training.optimization import optimizer as optimizer_lib
  from trainer.training import step
  from trainer import strategy as strategy_lib
  turn.wait(turn.START)
  config = config_lib.Config('',
                             '',
                             activation='prelu',
                             variant=job.get('variant', 'original'),
                             batch_size=job['batch'],
                             precision=job['precision'],
                             xla=job['xla'])
  strategy = strategy_lib.make('auto')
  spec = _make_spec(job)
  with strategy.scope():
    model = build.build(config, spec, {
        'mean': [_MEAN] * spec.num_channels,
        'std': [_STD] * spec.num_channels
    }, build.is_compiled(config, strategy))
    optimizer = optimizer_lib.make_optimizer(config, model)
  steps = job['steps']
  stepper = step.Stepper(strategy, model, optimizer, config, steps)
  batches = _make_batches(strategy, job, steps)
  rates = np.full(steps, 0.01, np.float32)
  for number in itertools.count():
    begun = time.perf_counter()
    stepper.begin(number, 0, rates)
    losses, _ = stepper.train(steps, batches)
    losses.numpy()
    yield steps, time.perf_counter() - begun


def _make_batches(strategy, job: Job, steps: int):
  """Returns batches of steps, as of a dataset in the device's memory."""
  from hpa_records.sampling import epoch_plan
  from trainer.training import device_cache

  class Resident(device_cache.DeviceCache):
    """Images that were made here, on the device."""

    def __init__(self):  # pylint: disable=super-init-not-called
      pixels, labels = _made(job)
      self.strategy = strategy
      self.records = types.SimpleNamespace(index=range(len(pixels)))
      with strategy.scope():
        self._pixels = device_cache.make_variable(pixels)
        self._labels = device_cache.make_variable(labels)

  batches = device_cache.CachedBatches(Resident(), job['batch'], steps)
  count = steps * job['batch']
  element = np.random.default_rng(0).integers(0, epoch_plan.NUM_ELEMENTS, count)
  batches.load(
      epoch_plan.Epoch(
          np.arange(count) % (_NUM_BATCHES * job['batch']),
          np.zeros(count, np.int64), element))
  return batches


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

  spec = _make_spec(job)
  image = keras.Input(spec.image_shape, dtype='uint8')
  x = layers.Rescaling(1 / _STD, -_MEAN / _STD)(image)
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
  model = keras.Model(image, layers.Dense(spec.num_classes, dtype='float32')(x))
  model.compile(keras.optimizers.SGD(0.01, 0.9, clipnorm=5.0),
                keras.losses.BinaryCrossentropy(from_logits=True))
  pixels, labels = _made(job)
  data = tf.data.Dataset.from_tensor_slices(
      (pixels, labels)).batch(job['batch']).cache().repeat().prefetch(2)
  while True:
    begun = time.perf_counter()
    model.fit(data, steps_per_epoch=job['steps'], verbose=0)
    yield job['steps'], time.perf_counter() - begun


def _make_spec(job: Job):
  """Returns the spec of the batch: the default dataset's, at the job's size."""
  from hpa_records.datasets import description
  return description.default().spec(job['size'])


def _made(job: Job) -> tuple[np.ndarray, np.ndarray]:
  """Returns pixels [N, H, W, C] uint8 and labels [N, K] float32."""
  rng, spec = np.random.default_rng(0), _make_spec(job)
  count = _NUM_BATCHES * job['batch']
  pixels = rng.integers(0, 256, (count, *spec.image_shape), np.uint8)
  labels = rng.random((count, spec.num_classes)) < 0.06
  return pixels, labels.astype(np.float32)


def _tiny_network(job: Job):
  """Returns a network of one dense layer."""
  import keras
  keras.utils.set_random_seed(0)
  spec = _make_spec(job)
  image = keras.Input(spec.image_shape, dtype='uint8')
  x = keras.layers.Rescaling(1 / _STD, -_MEAN / _STD)(image)
  x = keras.layers.Flatten()(x)
  return keras.Model([image], keras.layers.Dense(spec.num_classes)(x))


def _tiny_ours(job: Job) -> Iterator[tuple[int, float]]:
  """The calls of an epoch, their losses checked, as the trainer makes them."""
  from hpa_records.runtime import process
  process.take()
  from trainer import config as config_lib
  from trainer.training import calls
  from trainer.training import interruption
  from trainer.training.optimization import optimizer as optimizer_lib
  from trainer.training import state as state_lib
  from trainer.training import step
  from trainer import strategy as strategy_lib
  config = config_lib.Config('',
                             '',
                             batch_size=job['batch'],
                             clip_norm=0.0,
                             steps_per_call=job['steps'])
  strategy = strategy_lib.make('auto')
  with strategy.scope():
    model = _tiny_network(job)
    optimizer = optimizer_lib.make_optimizer(config, model)
  steps = _TINY_CALLS * job['steps']
  batches = _make_batches(strategy, job, steps)
  stepper = step.Stepper(strategy, model, optimizer, config, steps)
  running = calls.Calls(stepper, config, strategy, interruption.Interruption())
  while True:
    begun, state = time.perf_counter(), state_lib.State.start(config)
    stepper.begin(0, 0, np.full(steps, 0.01, np.float32))
    running.begin(batches, 0, steps * job['batch'])
    while running.left:
      running.start()
      while running.num_running > (running.left > 0):
        running.read(state)
    yield steps, time.perf_counter() - begun


def _tiny_bare(job: Job) -> Iterator[tuple[int, float]]:
  """A loop over one resident batch, with nothing around it."""
  from hpa_records.runtime import process
  process.take()
  from hpa_records.runtime.tensorflow import tf
  from trainer.augmentation import dihedral
  from trainer.recipe import optimization
  from trainer.training.optimization import optimizer as optimizer_lib
  pixels, labels = _made(job)
  model = _tiny_network(job)
  optimizer = optimizer_lib.make_optimizer(
      optimization.Optimization(learning_rate=0.01), model)
  dihedral.warm_up()
  image, label, element = (tf.Variable(each) for each in (
      pixels[:job['batch']], labels[:job['batch']],
      np.arange(job['batch'], dtype=np.int32) % dihedral.NUM_ELEMENTS))

  @tf.function
  def run(count):
    total = 0.0
    for _ in tf.range(count):
      with tf.GradientTape() as tape:
        logits = model([dihedral.transform(image, element)], training=True)
        loss = tf.reduce_mean(
            tf.nn.sigmoid_cross_entropy_with_logits(label, logits))
      optimizer.apply(tape.gradient(loss, model.trainable_variables),
                      model.trainable_variables)
      total += loss
    return total

  while True:
    begun = time.perf_counter()
    run(tf.constant(job['steps'])).numpy()
    yield job['steps'], time.perf_counter() - begun


def _tiny_keras(job: Job) -> Iterator[tuple[int, float]]:
  """Keras's fit with steps_per_execution, no augmentation."""
  import keras
  import tensorflow as tf
  model = _tiny_network(job)
  model.compile(keras.optimizers.SGD(0.01, 0.9),
                keras.losses.BinaryCrossentropy(from_logits=True),
                steps_per_execution=job['steps'])
  pixels, labels = _made(job)
  data = tf.data.Dataset.from_tensor_slices(
      (pixels, labels)).batch(job['batch']).cache().repeat().prefetch(2)
  steps = _TINY_CALLS * job['steps']
  while True:
    begun = time.perf_counter()
    model.fit(data, steps_per_epoch=steps, verbose=0)
    yield steps, time.perf_counter() - begun


TINY = {'ours': _tiny_ours, 'bare': _tiny_bare, 'keras': _tiny_keras}
WAYS = {
    'ours': _ours,
    'keras': _keras,
    **{
        f'tiny_{name}': way for name, way in TINY.items()
    }
}


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
