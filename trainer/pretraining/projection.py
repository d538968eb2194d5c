"""A network with a projection in place of its logits.

SIFLoc's is one dense layer without activation, on the average of the last maps.
For ArcFace batch norm and the cosines of the centers come after it, as after
the last dense layer of bestfitting's network.

Source: Outliers1106/SIFLoc, pretrain.py: the hidden layer that its config.py
names is not used; CellProfiling/HPA-competition-solutions, bestfitting/src/
networks/resnet_ml.py.
"""

from collections.abc import Mapping, Sequence

from hpa_records.format import spec as spec_lib
from hpa_records.runtime import tensorflow
from hpa_records.runtime.tensorflow import keras
from trainer.network import applications
from trainer.network import build
from trainer.network import depth
from trainer.pretraining import arcface
from trainer.pretraining import settings as settings_lib

NAME, NORM, COSINES = 'projection', 'projection_norm', 'cosines'


@tensorflow.keras_defaults()
def make(settings: settings_lib.Settings,
         spec: spec_lib.Spec,
         pixels: Mapping[str, Sequence[float]],
         fast: bool,
         num_identities: int = 0) -> tuple[keras.Model, keras.Model]:
  """Returns a network with a projection, and its part that is scored.

  Args:
    settings: of the run.
    spec: of the images.
    pixels: as of build.build.
    fast: as of build.build.
    num_identities: I, of arcface.

  Returns:
    Two models with the same inputs and layers: of what the loss takes, the
    projections [B, D] float32, and of the features [B, n], the input of the
    network's logits. With arcface the first is of the cosines [B, I], and the
    second of the normalised projections [B, D], the embedding.

  Raises:
    errors.DataError: the images are too small or too large for the network.
  """
  network = build.build(settings.training, spec, pixels, fast)
  features = network.get_layer(applications.LOGITS).input
  seeds = [(settings.seed + number) % 2**31 for number in range(2)]
  found = keras.layers.Dense(
      settings.projection,
      kernel_initializer=keras.initializers.GlorotUniform(seeds[0]),
      name=NAME,
      dtype='float32')(features)
  if settings.loss == settings_lib.ARCFACE:
    features = keras.layers.BatchNormalization(synchronized=True,
                                               name=NORM,
                                               dtype='float32')(found)
    found = arcface.Cosines(num_identities,
                            seeds[1],
                            name=COSINES,
                            dtype='float32')(features)
  return (keras.Model(network.inputs, found, name=network.name),
          keras.Model(network.inputs, features, name=network.name))


def list_encoder(settings: settings_lib.Settings,
                 model: keras.Model) -> list[keras.layers.Layer]:
  """Returns the layers with weights that a training can start from.

  Those are all but the projection, what comes after it and, in some networks,
  layers of classes.

  Args:
    settings: of the run.
    model: the first of make.
  """
  left = {NAME, NORM, COSINES, *depth.list_of_classes(settings.model)}
  return [
      each for each in model.layers if each.weights and each.name not in left
  ]
