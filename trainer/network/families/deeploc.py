"""DeepLoc, and the form of it that GapNet-PL was compared with.

Kraus et al., "Automated analysis of high-content microscopy data with deep
learning", Molecular Systems Biology 13:924, 2017.

    layer                         deeploc            deeploc_gapnet
    3x3 convolutions, padded      64 64              32 32
    max-pool 2                    norm               no norm
    3x3                           128 128            64 64
    max-pool 2
    3x3                           256 256 256 256    96 96 96 96
    max-pool 2
    flatten, dense                512 512            128 128
    logits                        with norm          without
    activation                    relu               selu
    kernels                       normal of          normal of deviation
                                  deviation .1, cut  sqrt(1/fan_in), cut
    biases                        .1                 0

Known: all of this; batch norm has epsilon 1e-3 and a moving decay of .5. Chosen
by us: without the alpha dropout of .3 behind each dense layer of the second
form, as all networks here (applications.py); the logits start by Glorot.

Sources: okraus/DeepLoc, DeepLoc_train.py and nn_layers.py; ml-jku/gapnet-pl,
architectures.py.
"""

from typing import Any

from hpa_records.runtime.tensorflow import keras
from trainer.network import layers
from trainer.network.families import chain

_MAPS = ((64, 64), (128, 128), (256,) * 4)
_UNITS = (512, 512)
_GAPNET_MAPS = ((32, 32), (64, 64), (96,) * 4)
_GAPNET_UNITS = (128, 128)
NORM = {'momentum': 0.5, 'epsilon': 1e-3}


def _start() -> dict[str, Any]:
  """Returns the initial weights of a layer."""
  return {
      'kernel_initializer': keras.initializers.TruncatedNormal(stddev=0.1),
      'bias_initializer': keras.initializers.Constant(0.1)
  }


def connect(image: Any) -> Any:
  """Returns the last hidden layer [B, 512] of DeepLoc.

  Args:
    image: a Keras tensor, [B, H, W, C] float.

  Raises:
    ValueError: the image is too large, as of chain.flatten.
  """
  return connect_hidden(image, NORM, _start)


def connect_hidden(image: Any, norm: dict[str, float], start=dict) -> Any:
  """Returns the last hidden layer [B, 512] behind DeepLoc's convolutions.

  Args:
    image: as of connect.
    norm: options of batch norm.
    start: returns the initial weights of a layer.

  Raises:
    ValueError: as of connect.
  """
  x = chain.flatten(convolve(image, norm, start), _UNITS[0])
  for i, units in enumerate(_UNITS, 1):
    x = keras.layers.Dense(units, name=f'dense{i}', **start())(x)
    x = chain.norm(x, f'dense{i}_norm', **norm)
    x = chain.activate(x, f'dense{i}_act')
  return x


def convolve(x: Any, norm: dict[str, float], start=dict) -> Any:
  """Returns the maps of DeepLoc's convolutions, [B, H/8, W/8, 256].

  Args:
    x: a Keras tensor, [B, H, W, C] float.
    norm: options of batch norm.
    start: returns the initial weights of a layer.
  """
  for i, block in enumerate(_MAPS, 1):
    for j, filters in enumerate(block, 1):
      name = f'conv{i}_{j}'
      x = chain.conv(x, filters, 3, name, **start())
      x = chain.norm(x, f'{name}_norm', **norm)
      x = chain.activate(x, f'{name}_act')
    x = chain.pool(x, f'pool{i}')
  return x


def connect_gapnet(image: Any) -> Any:
  """Returns the last hidden layer [B, 128] of the GapNet authors' form.

  Args:
    image: as of connect.

  Raises:
    ValueError: as of connect.
  """

  def start():
    # VarianceScaling corrects for the cut, the original does not.
    scale = layers.CUT_NORMAL_STD**2
    return {'kernel_initializer': keras.initializers.VarianceScaling(scale)}

  x = image
  for i, block in enumerate(_GAPNET_MAPS, 1):
    for j, filters in enumerate(block, 1):
      name = f'conv{i}_{j}'
      x = chain.conv(x, filters, 3, name, **start())
      x = chain.activate(x, f'{name}_act', 'selu')
    x = chain.pool(x, f'pool{i}')
  x = chain.flatten(x, _GAPNET_UNITS[0])
  for i, units in enumerate(_GAPNET_UNITS, 1):
    x = keras.layers.Dense(units, name=f'dense{i}', **start())(x)
    x = chain.activate(x, f'dense{i}_act', 'selu')
  return x
