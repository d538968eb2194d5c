"""The models of a run as one network, which takes their weights as inputs.

So it is traced, and compiled by XLA, once a run.
"""

from collections.abc import Sequence

from hpa_records.runtime import tensorflow
from hpa_records.runtime.tensorflow import tf
from trainer.augmentation import dihedral
from trainer.network import build
from trainer.network import layers
from trainer.prediction import ensemble as ensemble_lib
from trainer.run import finished_run
from trainer import strategy as strategy_lib


class Network:
  """The network of a run, and what its folds do not share.

  Attributes:
    folds: of each fold the weights, tensors in the order of the network's
      variables, and the scaling [2, C] float32 of its training: factor and
      offset of each channel.
    features: lengths of the features by name; {} without them.
  """

  def __init__(self,
               ensemble: ensemble_lib.Ensemble,
               run: finished_run.Run,
               strategy: tf.distribute.Strategy,
               weights: str,
               with_features: bool = False):
    """Builds the network and reads the weights.

    Args:
      ensemble: of the run.
      run: whose finished folds are used.
      strategy: of the devices.
      weights: 'last' or 'best', of each model.
      with_features: whether predict returns features, too.

    Raises:
      errors.DataError: a checkpoint is missing, damaged, or of another network.
    """
    self._strategy, self._config = strategy, run.config
    is_compiled = strategy_lib.compiles(strategy, run.config.xla)
    with strategy.scope():
      self._model = build.build(run.config, run.spec,
                                run.folds[0].about['pixels'], is_compiled)
      self.features = {}
      if with_features:
        self.features, self._model = build.add_features(run.config, self._model)
      if self._has_scaling:
        self._model = build.skip_scaling(self._model)
    self.folds = [(list(
        map(tf.constant,
            ensemble.load_weights(run, fold, weights,
                                  self._model))), _find_scaling(fold))
                  for fold in run.folds]
    self._run = self._predict
    if is_compiled and not isinstance(strategy, tf.distribute.TPUStrategy):
      self._run = tensorflow.traced(self._predict, jit_compile=True)

  @property
  def _has_scaling(self) -> bool:
    """Whether each fold has its own scaling, not each image."""
    return self._config.input_scaling == 'dataset'

  @tensorflow.traced
  def predict(self, images, view: tf.Tensor, values: Sequence[tf.Tensor],
              scaling: tf.Tensor) -> list[tf.Tensor]:
    """Returns the features, [B, n] float32 each, and predictions of a batch.

    The predictions are [B, K] float32, 0..1.

    Args:
      images: [B, H, W, C] uint8, distributed.
      view: int32 scalar, the symmetry of the square that is applied.
      values: the weights of an entry of folds.
      scaling: of the same entry.
    """
    found = self._strategy.run(self._run, args=(images, view, values, scaling))
    return [self._strategy.gather(each, axis=0) for each in found]

  def _predict(self, images, view, values, scaling):
    elements = tf.fill([images.shape[0]], view)
    images = dihedral.transform(images, elements)
    if self._has_scaling:
      images = tf.cast(images, tf.float32) * scaling[0] + scaling[1]
    found = build.infer_with(self._model, values, images)
    *features, logits = found if self.features else [found]
    return [
        *(tf.cast(each, tf.float32) for each in features),
        build.find_probabilities(self._config, logits)
    ]


def _find_scaling(fold: finished_run.Fold) -> tf.Tensor:
  pixels = fold.about['pixels']
  return tf.constant(layers.find_scaling(pixels['mean'], pixels['std']),
                     tf.float32)
