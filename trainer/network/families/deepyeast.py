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

from trainer.network.families import deeploc


def connect(image: Any) -> Any:
  """Returns the last hidden layer [B, 512].

  Args:
    image: a Keras tensor, [B, H, W, C] float.

  Raises:
    ValueError: the image is too large, as of chain.flatten.
  """
  return deeploc.connect_hidden(image, {})
