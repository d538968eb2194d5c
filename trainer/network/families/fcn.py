"""A fully convolutional network: a score map of each class, averaged.

    convolutions of deepyeast: 64 64 P 128 128 P 256 256 256 256 P, norm, relu
    1x1 convolutions 512 512, each with norm and relu
    score map: 1x1 convolution to the classes
    logits: the average of the score map

Averaging and a 1x1 convolution commute, so the last two are here an average and
a dense layer, with the same weights and results; the score map of a class is
its class activation map, but for the bias. Any image size fits.

Known: Liimatainen et al., Biomolecules 11:264, 2021, compare a network like
this with one "of similar architecture" that flattens; the systems that the
paper calls FCN-Seg have no published layers. Chosen by us: all of it. It is
DeepYeast with its dense layers as 1x1 convolutions.

Source of that conversion: Long et al., "Fully Convolutional Networks for
Semantic Segmentation", 2015; of the average: Lin et al., "Network In Network",
2014.
"""

from typing import Any

from hpa_records.runtime.tensorflow import keras
from trainer.network.families import chain
from trainer.network.families import deeploc

_MAPS = (512, 512)


def connect(image: Any) -> Any:
  """Returns the average [B, 512] of the last maps.

  Args:
    image: a Keras tensor, [B, H, W, C] float.
  """
  x = deeploc.convolve(image, {})
  for i, filters in enumerate(_MAPS, 1):
    x = chain.conv(x, filters, 1, f'point{i}')
    x = chain.norm(x, f'point{i}_norm')
    x = chain.activate(x, f'point{i}_act')
  return keras.layers.GlobalAveragePooling2D(name='avg_pool')(x)
