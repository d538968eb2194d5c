"""A network with a projection in place of its logits.

SIFLoc's is one dense layer without activation, on the average of the last maps.

Source: Outliers1106/SIFLoc, pretrain.py: the hidden layer that its config.py
names is not used.
"""

from collections.abc import Mapping, Sequence

from hpa_records.format import spec as spec_lib
from hpa_records.runtime import tensorflow
from hpa_records.runtime.tensorflow import keras
from trainer.network import applications
from trainer.network import build
from trainer.network import depth
from trainer.pretraining import settings as settings_lib

NAME = 'projection'


@tensorflow.keras_defaults()
def make(settings: settings_lib.Settings, spec: spec_lib.Spec,
         pixels: Mapping[str, Sequence[float]],
         fast: bool) -> tuple[keras.Model, keras.Model]:
  """Returns a network with a projection, and its part before that.

  Args:
    settings: of the run.
    spec: of the images.
    pixels: as of build.build.
    fast: as of build.build.

  Returns:
    Two models with the same inputs and layers: of the projections [B, D]
    float32, and of the features [B, n], the input of the network's logits.

  Raises:
    errors.DataError: the images are too small or too large for the network.
  """
  network = build.build(settings.training, spec, pixels, fast)
  features = network.get_layer(applications.LOGITS).input
  dense = keras.layers.Dense(
      settings.projection,
      kernel_initializer=keras.initializers.GlorotUniform(settings.seed %
                                                          2**31),
      name=NAME,
      dtype='float32')
  return (keras.Model(network.inputs, dense(features), name=network.name),
          keras.Model(network.inputs, features, name=network.name))


def list_encoder(settings: settings_lib.Settings,
                 model: keras.Model) -> list[keras.layers.Layer]:
  """Returns the layers with weights that a training can start from.

  Those are all but the projection and, in some networks, layers of classes.

  Args:
    settings: of the run.
    model: the first of make.
  """
  left = {NAME, *depth.list_of_classes(settings.model)}
  return [
      each for each in model.layers if each.weights and each.name not in left
  ]
