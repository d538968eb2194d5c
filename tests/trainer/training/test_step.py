"""step: the arithmetic of one training and one evaluation step."""

import dataclasses
import multiprocessing

import numpy as np
import pytest

from hpa_records.reading import dataset
from hpa_records.reading import how as how_lib
from hpa_records.reading import reader as reader_lib
from hpa_records.runtime import tensorflow
from hpa_records.runtime.tensorflow import tf
from hpa_records.sampling import epoch_plan
from tests.support import fakes
from tests.support import flag_files
from tests.support import prestarted
from tests.support import specs
from trainer import config as config_lib
from trainer import global_batch
from trainer.network import applications
from trainer.network import build
from trainer.network import depth
from trainer import strategy as strategy_lib
from trainer.training import device_cache
from trainer.training.optimization import batch_loss
from trainer.training.optimization import optimizer as optimizer_lib
from trainer.training import step

_B, _SIZE = 8, 16
_CONFIG = config_lib.Config(records='',
                            workdir='',
                            batch_size=_B,
                            activation='selu',
                            distribute='cpu',
                            clip_norm=0.0)


def _batch(seed=0, size=_SIZE, channels=4, classes=28):
  rng = np.random.default_rng(seed)
  return {
      'image': rng.integers(0, 256, (_B, size, size, channels), dtype=np.uint8),
      'labels': (rng.random((_B, classes)) < 0.2).astype(np.float32),
      'weight': np.ones(_B, np.float32),
      'element': rng.integers(0, epoch_plan.NUM_ELEMENTS, _B, dtype=np.int32),
      'slot': np.arange(_B, dtype=np.int32),
  }


def _iterate(batch):
  return iter(tf.data.Dataset.from_tensors(batch))


class _Trained:
  """A fresh network, trained on batches; its weights before and after."""

  def __init__(self,
               batches,
               config=_CONFIG,
               strategy=None,
               class_weights=None):
    strategy = strategy or strategy_lib.make('cpu')
    _, size, _, num_channels = batches[0]['image'].shape
    spec = specs.make(size, num_channels, batches[0]['labels'].shape[1])
    with strategy.scope():
      self.model = build.build(config, spec, {
          'mean': [100] * spec.num_channels,
          'std': [50] * spec.num_channels
      }, strategy_lib.compiles(strategy, config.xla))
      depth.freeze_layers(self.model, config.freeze)
      optimizer = optimizer_lib.make_optimizer(config, self.model)
    self.before = [np.array(w) for w in self.model.get_weights()]
    self.stepper = step.Stepper(strategy, self.model, optimizer, config,
                                len(batches), class_weights)
    stacked = {k: np.stack([b[k] for b in batches]) for k in batches[0]}
    data = tf.data.Dataset.from_tensor_slices(stacked)
    if strategy.num_replicas_in_sync > 1:
      data = strategy.experimental_distribute_dataset(data)
    iterator = iter(data)
    self.stepper.begin(0, 0, np.full(len(batches), config.learning_rate))
    self.losses, _ = (
        found.numpy() for found in self.stepper.train(len(batches), iterator))
    self.loss = float(self.losses.sum())
    self.after = [np.array(w) for w in self.model.get_weights()]

  def move(self):
    """Norm of the weights' change."""
    return np.sqrt(
        sum(((a - b)**2).sum() for a, b in zip(self.after, self.before)))


def _assert_same(first, second, tolerance=0.0):
  for a, b in zip(first.after, second.after):
    np.testing.assert_allclose(a, b, rtol=0, atol=tolerance)


@pytest.fixture(name='plain', scope='module')
def _plain():
  """A network trained on one batch, to compare others with."""
  return _Trained([_batch()])


def test_a_step_is_reproducible_and_moves_every_weight(plain):
  _assert_same(plain, _Trained([_batch()]))
  assert all((a != b).any() for a, b in zip(plain.after, plain.before))


@pytest.mark.parametrize('loss', ['bce', 'bestfitting'])
def test_what_fills_a_batch_up_changes_nothing(loss):
  config = dataclasses.replace(_CONFIG, loss=loss)
  blank, noise = _batch(), _batch()
  for batch in (blank, noise):
    batch['weight'][5:] = 0
  blank['image'][5:] = 0
  noise['labels'][5:] = 1
  _assert_same(_Trained([blank], config), _Trained([noise], config), 1e-6)


def test_loss_is_the_mean_over_real_examples():
  config = dataclasses.replace(_CONFIG, learning_rate=1e-12)
  whole, part = _batch(), _batch()
  part['weight'][3:] = 0
  single = []
  for i in range(3):
    one = _batch()
    one['weight'][:] = 0
    one['weight'][i] = 1
    single.append(_Trained([one], config).loss)
  assert _Trained([part], config).loss == pytest.approx(np.mean(single),
                                                        rel=1e-6)
  assert _Trained([whole], config).loss != pytest.approx(np.mean(single))


def test_a_step_with_a_loss_of_the_batch_has_that_of_its_images():
  config = dataclasses.replace(_CONFIG, loss='lovasz_hinge')
  batch = _batch()
  batch['weight'][-3:] = 0
  trained = _Trained([batch], dataclasses.replace(config, learning_rate=1e-12))
  logits = build.infer(trained.model, batch['image'])[:-3]
  # The network drops units in training, so the losses are near alone.
  want = batch_loss.hinge(batch['labels'][:-3], logits).numpy().mean()
  assert trained.loss == pytest.approx(want, rel=0.2)


def test_the_noise_of_probact_moves_sigma_and_is_that_of_the_step():
  config = dataclasses.replace(_CONFIG, activation='probact')
  batches = [_batch(0), _batch(1)]
  whole = _Trained(batches, config)
  _assert_same(whole, _Trained(batches, config))
  _assert_same(whole,
               _Trained(batches, dataclasses.replace(config, accumulate=2)),
               1e-6)
  sigma, = (
      each.numpy() for each in whole.model.variables if each.name == 'sigma')
  assert sigma != 0


@pytest.mark.parametrize('xla', [
    'off',
    pytest.param(
        'on',
        marks=[
            pytest.mark.soak,
            pytest.mark.skipif(
                tensorflow.IS_FOR_TPUS,
                reason='TensorFlow for TPUs does not compile for the CPU')
        ])
])
def test_a_batch_in_parts_gives_the_step_of_the_whole(xla):
  config = dataclasses.replace(_CONFIG, l2=1e-3, clip_norm=1.0, xla=xla)
  batches = [_batch(0), _batch(1)]
  batches[1]['weight'][-3:] = 0  # padding
  whole = _Trained(batches, config)
  for parts in (2, _B):
    cut = _Trained(batches, dataclasses.replace(config, accumulate=parts))
    _assert_same(cut, whole, 1e-6)
    np.testing.assert_allclose(cut.losses, whole.losses, rtol=1e-5)
  assert whole.move() > 1e-2


def test_evaluation_takes_the_average_without_smoothing_and_weights():
  plain = _Trained([_batch()] * 3)
  weights = np.linspace(0.5, 1.5, 28, dtype=np.float32)
  config = dataclasses.replace(_CONFIG, ema=0.9, label_smoothing=0.1)
  trained = _Trained([_batch()] * 3, config, class_weights=weights)
  assert trained.loss != pytest.approx(plain.loss, rel=1e-3)
  predictions, losses = (
      each[0] for each in trained.stepper.evaluate(1, _iterate(_batch())))
  after = trained.model.get_weights()
  for each, weight in zip(trained.stepper.average.read(), after):
    assert (each.numpy() != weight).any()
  trained.stepper.average.copy_to_model()
  logits = build.infer(trained.model, _batch()['image'])
  np.testing.assert_allclose(predictions, tf.sigmoid(logits), atol=1e-6)
  want = tf.nn.sigmoid_cross_entropy_with_logits(_batch()['labels'], logits)
  np.testing.assert_allclose(losses, np.mean(want, axis=1), rtol=1e-5)


@pytest.mark.parametrize(
    'xla', ['off', pytest.param('on', marks=pytest.mark.soak)])
def test_rates_by_depth_scale_the_change_of_each_layer(xla):
  config = dataclasses.replace(_CONFIG, xla=xla)
  plain = _Trained([_batch()], config)
  slow = _Trained([_batch()], dataclasses.replace(config, stem_rate=0.01))
  layers = [each for each in plain.model.layers if each.weights]
  factors = [
      factor
      for factor, layer in zip(np.geomspace(0.01, 1, len(layers)), layers)
      for _ in layer.weights
  ]
  assert factors[0] == pytest.approx(0.01) and factors[-1] == 1
  for factor, before, after, slowed in zip(factors, plain.before, plain.after,
                                           slow.after):
    np.testing.assert_allclose(slowed - before,
                               factor * (after - before),
                               rtol=1e-3,
                               atol=1e-7)


def test_frozen_layers_keep_their_weights_and_moments():
  config = dataclasses.replace(_CONFIG,
                               variant='kaggle',
                               init_from='elsewhere',
                               freeze='all_but_head',
                               l2=0.1)
  trained = _Trained([_batch(size=149)], config)
  moved = [(a != b).any() for a, b in zip(trained.after, trained.before)]
  assert moved == [False] * (len(moved) - 2) + [True, True]


def test_dropout_follows_the_slot(plain):
  batch = _batch()
  batch['slot'] += _B
  with pytest.raises(AssertionError):
    _assert_same(plain, _Trained([batch]), 1e-6)


def test_one_mask_of_dropout_for_a_batch():
  config = dataclasses.replace(_CONFIG, dropout_mask='batch')
  stepper = _Trained([_batch()], config).stepper

  def draw(first, number):
    slots = np.arange(first, first + _B, dtype=np.int32)
    # pylint: disable-next=protected-access
    noise = stepper._gradients.noise(slots, np.int64(0), np.int64(number))
    return np.stack(noise)

  noise = draw(0, 0)
  assert noise.shape == (2, _B, 256)
  np.testing.assert_array_equal(noise,
                                np.broadcast_to(noise[:, :1], (2, _B, 256)))
  assert (noise[0] != noise[1]).any()
  np.testing.assert_array_equal(draw(_B, 0), noise)
  assert (draw(0, 1) != noise).any()


def test_transform_is_the_one_that_the_batch_names():
  batch, turned = _batch(), _batch()
  batch['element'][:] = 1
  turned['element'][:] = 0
  turned['image'] = np.rot90(turned['image'], 1, axes=(1, 2)).copy()
  _assert_same(_Trained([batch]), _Trained([turned]))


def test_gradients_are_clipped_by_global_norm(plain):
  batch = _batch()
  limit = float(plain.move()) / 0.1 / 2  # half of the gradient's norm
  clipped = _Trained([batch], dataclasses.replace(_CONFIG, clip_norm=limit))
  assert clipped.move() == pytest.approx(0.1 * limit, rel=1e-5)
  loose = _Trained([batch], dataclasses.replace(_CONFIG, clip_norm=10 * limit))
  _assert_same(plain, loose, 1e-7)


def test_weight_decay_pulls_kernels_by_its_gradient(plain):
  decayed = _Trained([_batch()], dataclasses.replace(_CONFIG, l1=1e-2, l2=1e-3))
  for a, b, start in zip(plain.after, decayed.after, plain.before):
    pull = 0.1 * (1e-2 * np.sign(start) + 2e-3 * start) if start.ndim > 1 else 0
    np.testing.assert_allclose(a - b, pull, atol=1e-6)


def test_weight_decay_reaches_biases_if_it_is_asked_to():
  batches = [_batch(0), _batch(1)]  # biases are 0 at first
  config = dataclasses.replace(_CONFIG, l2=1e-3, momentum=0.0)
  first = _Trained(batches[:1], config)
  kernels, all_weights = (_Trained(
      batches, dataclasses.replace(config, decay_biases=biases))
                          for biases in (False, True))
  for a, b, start in zip(kernels.after, all_weights.after, first.after):
    pull = 0.1 * 2e-3 * start if start.ndim == 1 else 0
    np.testing.assert_allclose(a - b, pull, atol=1e-7)
  assert any((a != b).any() for a, b in zip(kernels.after, all_weights.after))


def test_the_original_s_flags_make_the_original_s_steps():
  config = dataclasses.replace(flag_files.load('original.flags'),
                               batch_size=_B,
                               distribute='cpu')
  batch = _batch()
  batch['element'][:] = 0
  trained = _Trained([batch], config)
  model = build.build(config, specs.make(_SIZE), {
      'mean': [100] * 4,
      'std': [50] * 4
  }, False)
  # pylint: disable-next=protected-access
  noise = trained.stepper._gradients.noise(batch['slot'], np.int64(0),
                                           np.int64(0))
  weights = model.trainable_variables
  with tf.GradientTape() as tape:
    logits = model([tf.constant(batch['image']), *noise], training=True)
    loss = tf.reduce_mean(
        tf.reduce_sum(tf.nn.sigmoid_cross_entropy_with_logits(
            batch['labels'], logits),
                      axis=1))
    for each in weights:
      loss += 1e-7 * tf.reduce_sum(tf.abs(each))
      loss += 1e-5 * tf.reduce_sum(tf.square(each)) / 2
  gradients = tape.gradient(loss, weights)
  clipped, norm = tf.clip_by_global_norm(gradients, 5.0)
  assert norm > 5
  for start, gradient, found in zip(trained.before, clipped, trained.after):
    np.testing.assert_allclose(found - start, -1e-2 * gradient, atol=1e-6)


def test_steps_in_one_call_are_the_steps_one_by_one(plain):
  batches = [_batch(0), _batch(1), _batch(2)]
  together = _Trained(batches)
  assert together.loss > plain.loss > 0
  _assert_same(together, _Trained(batches))


def test_each_step_has_its_rate_and_its_loss(plain):
  batches = [_batch(0), _batch(1)]
  both = _Trained(batches)
  assert both.losses.shape == (2,) and both.losses[0] == plain.losses[0]
  slow = _Trained(batches[:1], dataclasses.replace(_CONFIG, learning_rate=1e-3))
  assert slow.move() == pytest.approx(plain.move() / 100, rel=1e-3)


# The network on a device of its own, as on a GPU; prints what crosses to the
# host, and to the device, in a call of as many steps as there are batches.
_ON_A_DEVICE = '''
import dataclasses
import sys
from hpa_records.runtime import process
process.take()
from hpa_records.runtime.tensorflow import tf
cpu = tf.config.list_physical_devices('CPU')[0]
tf.config.set_logical_device_configuration(
    cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from tensorflow.python.eager import context
from hpa_records.reading import dataset
from tests.trainer.training import test_step
config = dataclasses.replace(test_step._CONFIG, xla='on')
strategy = tf.distribute.OneDeviceStrategy('/cpu:1')
records = dataset.load(sys.argv[2])
stepper, batches = test_step._prepare(records, config, strategy, sys.argv[1])
context.context().enable_run_metadata()
if sys.argv[1] == 'evaluated':
  found = stepper.evaluate(4, batches)
else:
  found = stepper.train(4, batches)
for graph in context.context().export_run_metadata().partition_graphs:
  for node in graph.node:
    if node.op in ('_Send', '_HostSend'):
      ends = [node.attr[end].s.decode()[-5:] for end in
              ('send_device', 'recv_device')]
      print(*ends, 'control' if '/ctrl/' in node.input[0] else node.input[0])
'''


def _run_on_a_device(*arguments):
  """Returns what crossed to the host, and what to the device."""
  done = prestarted.run(['-c', _ON_A_DEVICE, *arguments])
  assert done.returncode == 0, done.stderr
  crossed = [line.split() for line in done.stdout.splitlines()]
  return [[what
           for begin, end, what in crossed
           if (begin, end) == way]
          for way in (('CPU:1', 'CPU:0'), ('CPU:0', 'CPU:1'))]


@pytest.fixture(name='folder', scope='module')
def _folder(tmp_path_factory):
  return fakes.write_records(tmp_path_factory.mktemp('step'), 40, _SIZE)


def _prepare(records, config, strategy, kind='cached'):
  """A stepper, and batches of all records: 'read', or on its device."""
  reader = reader_lib.Reader(records, 0, how_lib.How())
  once = epoch_plan.once(np.arange(len(records.index)))
  with strategy.scope():
    model = build.build(config, records.spec, records.pixels(0), False)
    optimizer = optimizer_lib.make_optimizer(config, model)
  stepper = step.Stepper(strategy, model, optimizer, config, 5)
  stepper.begin(0, 0, np.full(5, 0.1))
  if kind == 'read':
    return stepper, iter(
        global_batch.distribute(
            strategy, _B, lambda share: reader.training(
                once, epoch_plan.Key(0, 0, 0), share)))
  cache = device_cache.DeviceCache(strategy, reader, records)
  batches = device_cache.CachedBatches(cache, _B, 5)
  batches.load(once)
  return stepper, batches


def test_the_host_waits_for_a_device_s_losses_alone(folder):
  crossed, _ = _run_on_a_device('read', folder)
  # For those of the steps before the last two. A stack of all stays there.
  assert crossed == ['control'] * 2


@pytest.mark.parametrize('call', ['cached', 'evaluated'])
def test_a_call_on_cached_pixels_copies_a_number_and_waits_for_nothing(
    folder, call):
  to_host, to_device = _run_on_a_device(call, folder)
  assert not to_host and to_device == ['count']


def test_cached_batches_give_the_bits_of_those_that_are_read(folder):
  records, strategy = dataset.load(folder), strategy_lib.make('cpu')
  stepper, cached = _prepare(records, _CONFIG, strategy)
  other, read = _prepare(records, _CONFIG, strategy, 'read')
  np.testing.assert_array_equal(
      stepper.train(5, cached)[0],
      other.train(5, read)[0])
  held_out = reader_lib.Reader(records, 0, how_lib.How()).evaluation(
      records.rows(None), epoch_plan.Share(_B))
  for found, want in zip(stepper.evaluate(5, cached),
                         other.evaluate(5, iter(held_out))):
    np.testing.assert_array_equal(found, want)


def test_evaluate_gives_probabilities_and_losses_of_each_example():
  trained, batch = _Trained([_batch()]), _batch()
  predictions, losses = (
      each[0] for each in trained.stepper.evaluate(1, _iterate(batch)))
  logits = build.infer(trained.model, batch['image']).numpy().astype(float)
  want = 1 / (1 + np.exp(-logits))
  np.testing.assert_allclose(predictions, want, atol=1e-6)
  entropy = -(batch['labels'] * np.log(want) +
              (1 - batch['labels']) * np.log(1 - want))
  np.testing.assert_allclose(losses, entropy.mean(axis=1), rtol=1e-5)


def _single(batch):
  """The batch with one label an example."""
  count, classes = batch['labels'].shape
  labels = np.eye(classes, dtype=np.float32)[np.arange(count) % classes]
  return batch | {'labels': labels}


def test_with_softmax_probabilities_exclude_each_other():
  config = dataclasses.replace(_CONFIG, loss='softmax')
  batch = _single(_batch())
  trained = _Trained([batch], config)
  predictions, losses = (
      each[0] for each in trained.stepper.evaluate(1, _iterate(batch)))
  logits = build.infer(trained.model, batch['image']).numpy().astype(float)
  odds = np.exp(logits)
  want = odds / odds.sum(axis=1, keepdims=True)
  np.testing.assert_allclose(predictions, want, atol=1e-6)
  np.testing.assert_allclose(losses,
                             -np.log(want[batch['labels'] > 0]),
                             rtol=1e-5)


@pytest.mark.parametrize('channels,classes,loss', [
    (1, 1, 'bce'),
    (1, 1, 'lovasz_softmax'),
    (3, 2000, 'focal_lovasz'),
    (6, 12, 'softmax'),
])
def test_any_channels_and_classes_are_trained_and_evaluated(
    channels, classes, loss):
  batch = _batch(channels=channels, classes=classes)
  if loss == 'softmax':
    batch = _single(batch)
  config = dataclasses.replace(_CONFIG, loss=loss)
  first, second = _Trained([batch] * 2, config), _Trained([batch] * 2, config)
  _assert_same(first, second)
  assert np.isfinite(first.losses).all() and first.move() > 0
  predictions, losses = (
      each[0] for each in first.stepper.evaluate(1, _iterate(batch)))
  assert predictions.shape == (_B, classes) and losses.shape == (_B,)
  assert 0 <= predictions.numpy().min() <= predictions.numpy().max() <= 1


_COMPILES = pytest.mark.skipif(
    tensorflow.IS_FOR_TPUS,
    reason='TensorFlow for TPUs does not compile for the CPU')


@_COMPILES
def test_a_compiled_run_gives_the_same_weights_and_scores():
  batches = [_batch(0), _batch(1), _batch(2)]
  plain = _Trained(batches)
  compiled = _Trained(batches, dataclasses.replace(_CONFIG, xla='on'))
  _assert_same(compiled, plain, 1e-6)
  np.testing.assert_allclose(compiled.losses, plain.losses, rtol=1e-5)
  for found, want in zip(*(each.stepper.evaluate(1, _iterate(batches[0]))
                           for each in (compiled, plain))):
    np.testing.assert_allclose(found, want, atol=1e-5)


_ON_DEVICE = {'uint8', 'int32', 'float32', 'bfloat16', 'bool', 'uint32'}


@_COMPILES
def test_a_compiled_run_of_other_channels_gives_the_same():
  batches = [_batch(seed, channels=5, classes=12) for seed in range(2)]
  plain = _Trained(batches)
  compiled = _Trained(batches, dataclasses.replace(_CONFIG, xla='on'))
  _assert_same(compiled, plain, 1e-6)


@_COMPILES
@pytest.mark.parametrize('precision,activation,loss,more', [
    pytest.param('float32', 'selu', 'asymmetric', {}, marks=pytest.mark.soak),
    pytest.param('float32',
                 'prelu',
                 'softmax', {'optimizer': 'lion'},
                 marks=pytest.mark.soak),
    pytest.param(
        'float32', 'probact', 'bestfitting', {}, marks=pytest.mark.soak),
    ('bfloat16', 'prelu', 'focal_lovasz', {
        'optimizer': 'adamw',
        'weight_decay': 0.1,
        'ema': 0.9,
        'accumulate': 2
    }),
])
def test_both_steps_compile_whole_with_static_shapes(precision, activation,
                                                     loss, more):
  config = dataclasses.replace(_CONFIG,
                               xla='on',
                               precision=precision,
                               activation=activation,
                               loss=loss,
                               **more)
  _check_compiles(config, _SIZE)


@_COMPILES
@pytest.mark.soak
@pytest.mark.parametrize('model', applications.SMALLEST_PX)
def test_both_steps_of_every_network_compile_whole(model):
  config = dataclasses.replace(_CONFIG, xla='on', model=model)
  # In a process of its own, which gives back what its kernels take.
  apart = multiprocessing.get_context('spawn').Process(
      target=_check_compiles, args=(config, applications.SMALLEST_PX[model]))
  apart.start()
  apart.join()
  assert apart.exitcode == 0


def _check_compiles(config, size):
  """Trains and evaluates a compiled batch, and checks every tensor of both."""
  batch = _batch(size=size)
  trained = _Trained([batch], config)
  stepper = trained.stepper
  predictions, _ = stepper.evaluate(1, _iterate(batch))
  assert np.isfinite(trained.loss) and np.isfinite(predictions).all()
  batch = {name: tf.constant(value) for name, value in batch.items()}
  graphs = _inside(
      tf.function(
          lambda: stepper._train_step(batch),  # pylint: disable=protected-access
          jit_compile=True).get_concrete_function().graph)
  graphs += _inside(
      tf.function(
          lambda: stepper._evaluation_step(batch),  # pylint: disable=protected-access
          jit_compile=True).get_concrete_function().graph)
  tensors = [
      tensor for graph in graphs for operation in graph.get_operations()
      for tensor in operation.outputs if tensor.dtype != tf.resource and
      # What a loop's condition is passed, and does not take.
      'redundant_placeholder' not in tensor.name
  ]
  assert len(tensors) > 200
  for tensor in tensors:
    assert tensor.shape.is_fully_defined(), tensor
    # Keys of the noise and shapes are 64 bits wide, and a few numbers.
    if tensor.dtype.name not in _ON_DEVICE:
      assert tensor.dtype.name in ('int64', 'uint64'), tensor
      assert tensor.shape.num_elements() <= 4, tensor


def _inside(graph):
  """A graph, and those of the functions that it calls."""
  found = [graph]
  for operation in graph.get_operations():
    for name in ('f', 'then_branch', 'else_branch', 'body', 'cond'):
      if name in operation.node_def.attr:
        called = operation.node_def.attr[name].func.name
        found += _inside(graph._get_function(called).graph)  # pylint: disable=protected-access
  return found
