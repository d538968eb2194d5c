"""DeepYeast: DeepLoc's convolutions with other norms and no norm of logits.

Pärnamaa and Parts, "Accurate Classification of Protein Subcellular Localization
from High-Throughput Microscopy Images Using Deep Learning", G3 7:1385, 2017.

    convolutions of deeploc, each with batch norm and relu
    flatten; dense 512, norm, relu; the same again; logits

Known: these layers, of the authors' later form in Keras, with Keras's defaults.
Chosen by us: without the dropout of .5 behind each dense layer.

Source: tanelp/deepyeast, models/deepyeast.py.
"""

from typing import Any

from hpa_records.runtime.tensorflow import keras
from trainer.network.families import chain
from trainer.network.families import deeploc

_UNITS = (512, 512)


def connect(image: Any, num_classes: int) -> Any:
  """Returns the last hidden layer [B, 512].

  Args:
    image: a Keras tensor, [B, H, W, C] float.
    num_classes: not used.

  Raises:
    ValueError: the image is too large, as of chain.flatten.
  """
  del num_classes
  x = chain.flatten(deeploc.convolve(image, {}), _UNITS[0])
  for i, units in enumerate(_UNITS, 1):
    x = keras.layers.Dense(units, name=f'dense{i}')(x)
    x = chain.norm(x, f'dense{i}_norm')
    x = chain.activate(x, f'dense{i}_act')
  return x
