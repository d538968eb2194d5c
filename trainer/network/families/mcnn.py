"""M-CNN: seven columns that see the image at seven scales.

Godinez et al., "A multi-scale convolutional neural network for phenotyping
high-content cellular images", Bioinformatics 33:2010, 2017.

    column n of 0 to 6: max-pool 2^n; three 5x5 convolutions of 16 16 16 32 32
      32 64 maps, padded, with relu; max-pool 2^(6-n)
    the columns joined: 208 maps of 1/64 of the size
    1x1 convolution 1024, relu; max-pool 2; flatten; dense 512, relu; logits

Known: these layers, from two repositories of the GapNet authors' group, which
agree; pools drop what does not fill a window; kernels start by Glorot, as
Keras's do. Not known: whether Godinez's own Caffe files are the same. Neither
form has norm or dropout.

Sources: ml-jku/gapnet-pl, pytorch_models/models.py; ml-jku/hti-cnn, models.py.
"""

from typing import Any

from hpa_records.runtime.tensorflow import keras
from trainer.network.families import chain

_MAPS = (16, 16, 16, 32, 32, 32, 64)
_UNITS = 512


def connect(image: Any) -> Any:
  """Returns the last hidden layer [B, 512].

  Args:
    image: a Keras tensor, [B, H, W, C] float; H, W >= 128.

  Raises:
    ValueError: the image is too large, as of chain.flatten.
  """
  columns = []
  for i, filters in enumerate(_MAPS):
    x = _shrink(image, 2**i, f'column{i}_pool1')
    for j in (1, 2, 3):
      x = chain.conv(x, filters, 5, f'column{i}_conv{j}')
      x = chain.activate(x, f'column{i}_conv{j}_act')
    columns.append(_shrink(x, 2**(6 - i), f'column{i}_pool2'))
  x = keras.layers.Concatenate(name='columns')(columns)
  x = chain.activate(chain.conv(x, 1024, 1, 'point'), 'point_act')
  x = chain.flatten(_shrink(x, 2, 'pool'), _UNITS)
  x = keras.layers.Dense(_UNITS, name='dense')(x)
  return chain.activate(x, 'dense_act')


def _shrink(x: Any, factor: int, name: str) -> Any:
  if factor == 1:
    return x
  return chain.pool(x, name, factor, factor, 'valid')
