"""AlexNet on one device: its convolutions are not in two groups.

Krizhevsky et al., "ImageNet Classification with Deep Convolutional Neural
Networks", 2012.

    11x11 convolution 96, stride 4, unpadded; max-pool 3, stride 2
    5x5 convolution 256; max-pool 3, stride 2
    3x3 convolutions 384 384 256; max-pool 3, stride 2
    flatten; dense 4096 4096; logits; relu behind all but the logits

Known: that Jiang and Cheng, SDPC 2019, used AlexNet with PReLU; their changes
and image size are not. Chosen by us: no groups; no local response
normalization, which later forms leave out; no dropout; He's normal for the
kernels. PReLU is --activation=prelu.
"""

from typing import Any

from hpa_records.runtime.tensorflow import keras
from trainer.network.families import chain

_UNITS = (4096, 4096)


def connect(image: Any) -> Any:
  """Returns the last hidden layer [B, 4096].

  Args:
    image: a Keras tensor, [B, H, W, C] float; H, W >= 67.

  Raises:
    ValueError: the image is too large, as of chain.flatten.
  """
  x = _conv(image, 96, 11, 'conv1', strides=4, padding='valid')
  x = _conv(_pool(x, 'pool1'), 256, 5, 'conv2')
  x = _pool(x, 'pool2')
  for i, filters in enumerate((384, 384, 256), 3):
    x = _conv(x, filters, 3, f'conv{i}')
  x = chain.flatten(_pool(x, 'pool5'), _UNITS[0])
  for i, units in enumerate(_UNITS, 1):
    x = keras.layers.Dense(units, name=f'dense{i}', **_start())(x)
    x = chain.activate(x, f'dense{i}_act')
  return x


def _start() -> dict[str, Any]:
  return {'kernel_initializer': keras.initializers.HeNormal()}


def _conv(x: Any, filters: int, size: int, name: str, **options) -> Any:
  x = chain.conv(x, filters, size, name, **_start(), **options)
  return chain.activate(x, f'{name}_act')


def _pool(x: Any, name: str) -> Any:
  return chain.pool(x, name, 3, 2, 'valid')
