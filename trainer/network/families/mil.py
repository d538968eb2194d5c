"""Multiple instance learning: class probabilities of pixels, by noisy-AND.

Kraus et al., "Classifying and segmenting microscopy images with deep multiple
instance learning", Bioinformatics 32:i52, 2016, in the form of the GapNet
authors.

    average-pool 3, stride 2
    3x3 convolutions 32 64 M 64 M 128 M 128 M, padded, with relu
      (M: max-pool 3, stride 2)
    1x1 convolution 1000, relu
    1x1 convolution to the classes, sigmoid: probabilities of each pixel
    noisy-AND (layer.NoisyAnd); dense to the logits

Known: these layers, and the slope 10 and first threshold .1 of noisy-AND in
hti-cnn; kernels start by a Glorot normal there. In gapnet-pl the dense layer
reads the flattened map of 299 px in place of noisy-AND, which only a second
loss sees: it has 513,532 parameters, with 78,428 in that layer. Chosen by us:
the dense layer behind noisy-AND, as in Kraus' paper and in hti-cnn, 812
parameters; so 435,916 at any image size; no loss on noisy-AND itself, and
no dropout.

Sources: ml-jku/gapnet-pl, architectures.py; ml-jku/hti-cnn, models.py.
"""

from typing import Any

from hpa_records.runtime.tensorflow import keras
from trainer.network.families import chain
from trainer.network.families import layer


def connect(image: Any, num_classes: int) -> Any:
  """Returns the pooled probabilities [B, K].

  Args:
    image: a Keras tensor, [B, H, W, C] float.
    num_classes: K.
  """

  def conv(x, filters, size, name, **options):
    start = keras.initializers.GlorotNormal()
    return chain.conv(x,
                      filters,
                      size,
                      name,
                      kernel_initializer=start,
                      **options)

  x = keras.layers.AveragePooling2D(3, 2, 'same', name='average_pool')(image)
  for i, (filters, is_pooled) in enumerate(
      ((32, False), (64, True), (64, True), (128, True), (128, True)), 1):
    x = chain.activate(conv(x, filters, 3, f'conv{i}'), f'conv{i}_act')
    if is_pooled:
      x = chain.pool(x, f'pool{i}', 3)
  x = chain.activate(conv(x, 1000, 1, 'point'), 'point_act')
  x = conv(x, num_classes, 1, 'pixels', activation='sigmoid')
  return layer.NoisyAnd(name='noisy_and', dtype='float32')(x)
