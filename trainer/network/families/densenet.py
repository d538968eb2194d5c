"""DenseNet-121 with the head of the winner of Kaggle's challenge, bestfitting.

    Keras's DenseNet-121 to its last relu
    average and maximum over space, joined: 2048
    norm; dense 1024, relu, norm; logits

Known: these layers. Chosen by us: without the two dropouts of .5 before the
dense layers; batch norm as in Keras, epsilon 1e-3 and momentum .99. ArcFace
belongs to a second network of his, a ResNet-50.

Source: CellProfiling/HPA-competition-solutions, bestfitting/src.
"""

from typing import Any

from hpa_records.runtime.tensorflow import keras
from trainer.network.families import chain

_UNITS = 1024


def connect(image: Any) -> Any:
  """Returns the last hidden layer [B, 1024].

  Args:
    image: a Keras tensor, [B, H, W, C] float.
  """
  x = keras.applications.DenseNet121(include_top=False,
                                     weights=None,
                                     input_tensor=image).output
  x = keras.layers.Concatenate(name='pooled')([
      keras.layers.GlobalAveragePooling2D(name='avg_pool')(x),
      keras.layers.GlobalMaxPooling2D(name='max_pool')(x)
  ])
  x = chain.norm(x, 'pooled_norm')
  x = keras.layers.Dense(_UNITS, name='dense')(x)
  return chain.norm(chain.activate(x, 'dense_act'), 'dense_norm')
