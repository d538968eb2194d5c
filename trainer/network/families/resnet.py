"""ResNet-18 as SIFLoc has it, with a first convolution of stride 1.

Tu et al., "SIFLoc: a self-supervised pre-training method for enhancing the
recognition of protein subcellular localization in immunofluorescence
microscopic images", Briefings in Bioinformatics 23(2), 2022.

    7x7 convolution 64, stride 1, norm, relu; max-pool 3, stride 2
    blocks: 64 64 | 128 128 | 256 256 | 512 512, each 3x3, norm, relu, 3x3,
      norm, sum with the input, relu; the first of 128, 256 and 512 has stride
      2 in its second 3x3, and a 1x1 convolution with norm for the input
    average; logits

Known: all of this; no biases; batch norm has epsilon 1e-4 and momentum .9;
kernels start by He's uniform; padded as TensorFlow does. Chosen by us: nothing.

Source: Outliers1106/SIFLoc, src/resnet.py.
"""

from typing import Any

from hpa_records.runtime.tensorflow import keras
from trainer.network.families import chain

_NORM = {'momentum': 0.9, 'epsilon': 1e-4}
_STAGES = ((64, 2), (128, 2), (256, 2), (512, 2))


def connect(image: Any) -> Any:
  """Returns the average [B, 512] of the last maps.

  Args:
    image: a Keras tensor, [B, H, W, C] float.
  """
  x = chain.activate(_conv(image, 64, 7, 'conv1'), 'conv1_act')
  x = chain.pool(x, 'pool1', 3)
  return chain.average_stages(x, _STAGES, _block)


def _block(x: Any, filters: int, strides: int, name: str) -> Any:
  shortcut = x
  if x.shape[-1] != filters:
    shortcut = _conv(x, filters, 1, name.replace('block', 'skip'), strides)
  x = chain.activate(_conv(x, filters, 3, f'{name}_conv1'), f'{name}_act1')
  x = _conv(x, filters, 3, f'{name}_conv2', strides)
  x = keras.layers.Add(name=f'{name}_add')([x, shortcut])
  return chain.activate(x, f'{name}_act2')


def _conv(x: Any, filters: int, size: int, name: str, strides: int = 1) -> Any:
  x = chain.conv(x,
                 filters,
                 size,
                 name,
                 strides,
                 use_bias=False,
                 kernel_initializer=keras.initializers.HeUniform())
  return chain.norm(x, f'{name}_norm', **_NORM)
