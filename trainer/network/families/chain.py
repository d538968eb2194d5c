"""Layers under names, as the families connect them; applications replaces them.

An activation is a layer of its own, relu or selu, whose place another may take.
"""

from collections.abc import Callable, Sequence
import math
from typing import Any

from hpa_records.runtime.tensorflow import keras

MOST_PARAMETERS = 100 * 10**6  # of a dense layer behind maps


def conv(x: Any,
         filters: int,
         size: int,
         name: str,
         strides: int = 1,
         **options) -> Any:
  """Returns a convolution of x [B, H, W, C], padded to the same size.

  Args:
    x: a Keras tensor.
    filters: channels of the result.
    size: of the kernel.
    name: of the layer.
    strides: the result has 1/strides of the size, rounded up.
    **options: of keras.layers.Conv2D.
  """
  options = {'padding': 'same', **options}
  return keras.layers.Conv2D(filters, size, strides, name=name, **options)(x)


def norm(x: Any, name: str, **options) -> Any:
  """Returns x with batch norm; the options are of Keras's layer."""
  return keras.layers.BatchNormalization(name=name, **options)(x)


def activate(x: Any, name: str, kind: str = 'relu') -> Any:
  """Returns x behind an activation."""
  return keras.layers.Activation(kind, name=name)(x)


def pool(x: Any,
         name: str,
         size: int = 2,
         strides: int = 2,
         padding: str = 'same') -> Any:
  """Returns x [B, H, W, C] max-pooled."""
  return keras.layers.MaxPooling2D(size, strides, padding, name=name)(x)


def average_stages(x: Any, stages: Sequence[tuple[int, int]],
                   connect: Callable[[Any, int, int, str], Any]) -> Any:
  """Returns the average [B, n] of x behind the stages of a residual network.

  Args:
    x: a Keras tensor [B, H, W, C].
    stages: channels and number of blocks of each, the last n; all but the first
      begin with a stride of 2.
    connect: returns a block of (x, channels, strides, name).
  """
  for i, (filters, count) in enumerate(stages, 2):
    for j in range(1, count + 1):
      strides = 2 if i > 2 and j == 1 else 1
      x = connect(x, filters, strides, f'block{i}_{j}')
  return keras.layers.GlobalAveragePooling2D(name='avg_pool')(x)


def flatten(x: Any, units: int) -> Any:
  """Returns maps x [B, H, W, C] as [B, H * W * C], for a dense layer.

  Args:
    x: a Keras tensor.
    units: of the dense layer behind it.

  Raises:
    ValueError: that layer would have more than MOST_PARAMETERS.
  """
  count = math.prod(x.shape[1:]) * units
  if count > MOST_PARAMETERS:
    raise ValueError(
        f'the dense layer behind the {_format(x.shape[1:])} maps would have '
        f'{count:,} parameters, more than {MOST_PARAMETERS:,}, since this '
        'network averages nothing over space; convert to a smaller '
        '--image_size, or pass another --model.')
  return keras.layers.Flatten(name='flatten')(x)


def _format(shape: Sequence[int]) -> str:
  return 'x'.join(map(str, shape))
