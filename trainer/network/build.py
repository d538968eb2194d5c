"""The network of a configuration, and calls that every network supports."""

from collections.abc import Mapping, Sequence

from hpa_records.format import spec as spec_lib
from hpa_records.runtime import errors
from hpa_records.runtime import tensorflow
from hpa_records.runtime.tensorflow import keras
from hpa_records.runtime.tensorflow import tf
from trainer import config as config_lib
from trainer.network import applications
from trainer.network import gapnet
from trainer.network import layers
from trainer.recipe import optimization
from trainer import strategy as strategy_lib

_WITHOUT_NORM = ('convnext_tiny', 'deeploc_gapnet', 'mcnn', 'mil', 'alexnet')
# Keras's names of kernels, in Conv2D and Dense, and in SeparableConv2D.
_KERNELS = ('kernel', 'depthwise_kernel', 'pointwise_kernel')


def build(config: config_lib.Config, spec: spec_lib.Spec,
          pixels: Mapping[str, Sequence[float]], fast: bool) -> keras.Model:
  """Returns the network with fresh weights.

  Its inputs are 'image' [B, H, W, C] uint8 and an optional noise for each
  dropout layer, its output is logits [B, K] float32; infer calls it without
  noise.

  Args:
    config: of the run.
    spec: of the images and classes.
    pixels: mean and std of the training folds, C numbers each, 0..255.
    fast: whether to use the layers of xla_layers, which XLA compiles to faster
      code; weights and results are the same.

  Raises:
    errors.DataError: the images are too small or too large for the network.
  """
  options = {
      'mean': pixels['mean'],
      'std': pixels['std'],
      'input_scaling': config.input_scaling,
      'precision': config.precision,
      'seed': config.seed,
  }
  try:
    if config.model != 'gapnet_pl':
      return applications.build(config.model, spec, config.activation,
                                **options)
    return gapnet.build(spec,
                        config.variant,
                        config.activation,
                        **options,
                        fast=fast)
  except ValueError as error:
    raise errors.DataError(str(error)) from error


def has_norm(config: config_lib.Config) -> bool:
  """Returns whether the network has batch norm, which sums over replicas."""
  if config.model == 'gapnet_pl':
    return config.variant == 'kaggle'
  return config.model not in _WITHOUT_NORM


def is_compiled(config: config_lib.Config,
                strategy: tf.distribute.Strategy) -> bool:
  """Returns whether XLA compiles the network and its gradients in a train step.

  It cannot compile sums over several GPUs here, which batch norm and losses of
  a batch have inside.

  Args:
    config: of the run.
    strategy: of the run.
  """
  has_sums = strategy.num_replicas_in_sync > 1 and not isinstance(
      strategy, tf.distribute.TPUStrategy)
  return (strategy_lib.compiles(strategy, config.xla) and
          not (has_sums and
               (has_norm(config) or config.loss in optimization.OF_BATCH)))


def find_decayed(model: keras.Model, biases: bool) -> list[keras.Variable]:
  """Returns the variables that weight decay applies to.

  Those are all kernels, also the two of a separable convolution; never norms
  and the slopes of PReLU.

  Args:
    model: of build.
    biases: whether it applies to biases, too.
  """
  names = (*_KERNELS, 'bias') if biases else _KERNELS
  return [each for each in model.trainable_variables if each.name in names]


def noise_shapes(model: keras.Model) -> list[tuple[int, ...]]:
  """Returns the shape of each noise without its batch axis, in input order."""
  return [tuple(noise.shape[1:]) for noise in model.inputs[1:]]


def infer(model: keras.Model, image: tf.Tensor) -> tf.Tensor:
  """Returns logits [B, K] float32, without dropout.

  Of a network of add_features it returns all outputs, the logits last.

  Args:
    model: of build.
    image: [B, H, W, C] uint8.
  """
  return model([image] + [None] * len(noise_shapes(model)), training=False)


@tensorflow.keras_defaults()
def skip_scaling(model: keras.Model) -> keras.Model:
  """Returns the part of a network after its scaling, with the same variables.

  Its input is the scaled image, [B, H, W, C] float32.

  Args:
    model: of build or add_features.
  """
  scaled = model.get_layer(layers.SCALING).output
  outputs = model.outputs if len(model.outputs) > 1 else model.outputs[0]
  return keras.Model([scaled, *model.inputs[1:]], outputs)


@tensorflow.keras_defaults()
def add_features(config: config_lib.Config,
                 model: keras.Model) -> tuple[dict[str, int], keras.Model]:
  """Returns a network's features, and a network with them as outputs.

  Those of GapNet-PL are the averages of its feature maps, one after the other,
  and the last hidden layer, which dropout does not change in inference. Of
  another network they are the input of its last layer.

  Args:
    config: of the run.
    model: of build.

  Returns:
    Their lengths by name, and a network with the same variables and inputs. Its
    outputs are the features [B, n] each, and the logits [B, K].
  """
  logits = model.get_layer(applications.LOGITS)
  head = logits.input
  if config.model == 'gapnet_pl':
    found = {name: model.get_layer(name).output for name in gapnet.AVERAGES}
    found[gapnet.HIDDEN] = head
  else:
    found = {model.layers[model.layers.index(logits) - 1].name: head}
  made = keras.Model(model.inputs, [*found.values(), model.outputs[0]])
  return {name: each.shape[-1] for name, each in found.items()}, made


def infer_with(model: keras.Model, values: Sequence[tf.Tensor],
               image: tf.Tensor) -> tf.Tensor:
  """Returns logits [B, K] float32 with other weights than the model's own.

  Several sets of weights can share one network, traced and compiled once.

  Args:
    model: the network, of build, add_features or skip_scaling.
    values: one for each of model.variables.
    image: [B, H, W, C] uint8, or as of skip_scaling.
  """
  with keras.StatelessScope(list(zip(model.variables, values))):
    return infer(model, image)


def find_probabilities(config: config_lib.Config,
                       logits: tf.Tensor) -> tf.Tensor:
  """Returns the probabilities [B, K] float32, 0..1, of a network's logits.

  Args:
    config: of the run; its loss decides. With softmax they are those of classes
      that exclude each other, and sum to 1 over them.
    logits: [B, K] float32.
  """
  if config.is_single_label:
    return tf.nn.softmax(logits)
  return tf.sigmoid(logits)
