"""Plain networks to a SavedModel, which TensorFlow alone loads and serves.

Signatures:
  pixels: 'pixels' [B, H, W, C] uint8 → probabilities, labels.
  serving_default: 'files' [B, C] string, the bytes of a PNG or JPEG file of
    8-bit gray for each channel → the same. They are resized as the converter
    does, to within one gray level: it computes in integers and rounds once an
    axis, TensorFlow in float32 (docs/export.md has what was measured). Where
    the converter does more than that (percentiles, one pixel size, stacked
    files), it is the same as pixels.
  embed: 'pixels' → averages [B, F, sum of c] and hidden [B, F, 256], the
    features of each of F folds for the image as it is; of other networks one of
    both. Their mean over folds would mean nothing: the units of two networks
    have no order in common.

The symmetries of an image are predicted one after the other, so memory is that
of one.
"""

from collections.abc import Sequence

import numpy as np

from hpa_records.images import how as how_lib
from hpa_records.runtime import process
from hpa_records.runtime import tensorflow
from hpa_records.runtime.tensorflow import keras
from hpa_records.runtime.tensorflow import tf
from trainer.export import forward
from trainer.model import views
from trainer.network import plain
from trainer.scoring import decision

PIXELS, FILES, EMBED = 'pixels', 'files', 'embed'
SERVING = 'serving_default'
LABELS = 'labels'
_PNG, _JPEG = b'\x89PNG\r\n\x1a\n', b'\xff\xd8\xff'
_PNG_DEPTH = 24  # offset of the byte with the bits of a sample, in IHDR


def write(path: str, networks: Sequence[keras.Model], tta: str,
          threshold: decision.Threshold, how: how_lib.How) -> None:
  """Writes a SavedModel of the mean over networks.

  Args:
    path: of its folder, which does not exist.
    networks: of plain.build, of one input shape.
    tta: one of views.TTA, the views of an image.
    threshold: above which a class is predicted.
    how: how the files of a sample became an image of the training.
  """
  size, channels = how.size_px, len(how.channels)
  of = _Ensemble(networks, tta, threshold, how)
  pixels = tf.TensorSpec([None, size, size, channels], tf.uint8, PIXELS)
  files = tf.TensorSpec([None, channels], tf.string, FILES)
  predict = tensorflow.traced(of.predict, input_signature=[pixels])
  embed = tensorflow.traced(of.embed, input_signature=[pixels])
  signatures = {SERVING: predict, PIXELS: predict, EMBED: embed}
  if reads_files(how):
    # Calls what is traced for pixels.
    signatures[SERVING] = tensorflow.traced(
        lambda files: predict(of.read_files(files)), input_signature=[files])
  # Of the networks the variables alone: Keras's own would be saved beside them.
  made = tf.Module()
  made.kept = [each.value for net in networks for each in net.variables]
  with process.quiet():
    tf.saved_model.save(made, path, signatures)


def reads_files(how: how_lib.How) -> bool:
  """Returns whether 8-bit files become an image by a resize alone."""
  return (how.intensity.name != 'percentiles' and not how.stored_um and
          how.stack is None)


class _Ensemble:
  """The functions of the signatures."""

  def __init__(self, networks: Sequence[keras.Model], tta: str,
               threshold: decision.Threshold, how: how_lib.How):
    self._networks, self._how = networks, how
    self._tta, self._elements = tta, views.list_elements(tta)
    self._threshold = threshold

  def predict(self, pixels: tf.Tensor) -> dict[str, tf.Tensor]:
    """Returns probabilities and labels of pixels [B, H, W, C] uint8."""
    turned = tf.stack([forward.turn(pixels, each) for each in self._elements])
    is_max = views.takes_maximum(self._tta)
    found = tf.map_fn(self._stack if is_max else self._average,
                      turned,
                      parallel_iterations=1,
                      fn_output_signature=tf.float32)
    found = forward.pool(found, self._tta)
    if is_max:  # of each network
      found = tf.reduce_mean(found, axis=0)
    found = tf.ensure_shape(found, [None, self._networks[0].output.shape[-1]])
    return {plain.PROBABILITIES: found, LABELS: self._decide(found)}

  def _stack(self, pixels: tf.Tensor) -> tf.Tensor:
    images = tf.cast(pixels, tf.float32)
    return tf.stack([each(images, training=False) for each in self._networks])

  def _average(self, pixels: tf.Tensor) -> tf.Tensor:
    images = tf.cast(pixels, tf.float32)
    return tf.add_n([each(images, training=False) for each in self._networks
                    ]) / len(self._networks)

  def _decide(self, found: tf.Tensor) -> tf.Tensor:
    """Returns decision.decide of probabilities, [B, K] int32."""
    if self._threshold is None:
      return tf.one_hot(tf.argmax(found, axis=1),
                        found.shape[1],
                        dtype=tf.int32)
    if isinstance(self._threshold, np.ndarray):
      found = tf.cast(found, tf.float64)
    return tf.cast(found > tf.constant(self._threshold, found.dtype), tf.int32)

  def read_files(self, files: tf.Tensor) -> tf.Tensor:
    """Returns the pixels of files, [B, C] string, [B, H, W, C] uint8."""
    size, channels = self._how.size_px, len(self._how.channels)
    return tf.map_fn(self._read,
                     files,
                     fn_output_signature=tf.TensorSpec([size, size, channels],
                                                       tf.uint8))

  def _read(self, files: tf.Tensor) -> tf.Tensor:
    """Returns the files of an image, [C] string, as [S, S, C] uint8."""
    planes = [_decode(files[i]) for i in range(len(self._how.channels))]
    checks = [
        tf.debugging.assert_equal(
            tf.shape(each), tf.shape(planes[0]),
            'Expected the files of all channels to have one size.')
        for each in planes[1:]
    ]
    with tf.control_dependencies(checks):
      planes = [tf.identity(each) for each in planes]
    return _resize(tf.concat(planes, axis=-1), self._how)

  def embed(self, pixels: tf.Tensor) -> dict[str, tf.Tensor]:
    """Returns the features of each fold, [B, F, ...] float32 each."""
    images = tf.cast(pixels, tf.float32)
    found: dict[str, list[tf.Tensor]] = {}
    for network in self._networks:
      parts = plain.find_parts(network)
      outputs = {}
      if parts.maps:
        outputs['averages'] = parts.averages
      if parts.hidden is not None:
        outputs['hidden'] = parts.hidden
      features = keras.Model(network.input, outputs)(images, training=False)
      for name, each in features.items():
        found.setdefault(name, []).append(each)
    return {name: tf.stack(each, axis=1) for name, each in found.items()}


def _decode(data: tf.Tensor) -> tf.Tensor:
  """Returns a PNG or JPEG file of 8-bit gray as [H, W, 1] uint8."""
  is_png = tf.equal(tf.strings.substr(data, 0, len(_PNG)), _PNG)
  is_jpeg = tf.equal(tf.strings.substr(data, 0, len(_JPEG)), _JPEG)
  # With zeros at the end, since a file may be shorter.
  head = tf.strings.substr(tf.strings.join([data, bytes(_PNG_DEPTH + 1)]), 0,
                           _PNG_DEPTH + 1)
  depth = tf.io.decode_raw(head, tf.uint8)[-1]
  checks = [
      tf.debugging.Assert(is_png | is_jpeg,
                          ['Expected a PNG or JPEG file, received others.']),
      tf.debugging.Assert(is_jpeg | (depth == 8), [
          'Expected 8-bit files, received a PNG of other bits a sample:', depth
      ])
  ]
  with tf.control_dependencies(checks):
    data = tf.identity(data)
  found = tf.cond(
      is_png,
      lambda: tf.io.decode_png(data),
      # As OpenCV and libjpeg-turbo decode by default.
      lambda: tf.io.decode_jpeg(data, dct_method='INTEGER_ACCURATE'))
  is_gray = tf.debugging.assert_equal(
      tf.shape(found)[-1], 1,
      'Expected files of one gray channel, received color.')
  with tf.control_dependencies([is_gray]):
    return tf.ensure_shape(tf.identity(found), [None, None, 1])


def _resize(image: tf.Tensor, how: how_lib.How) -> tf.Tensor:
  """Returns [H, W, C] uint8 as [S, S, C], as images.resize to within 1."""
  size = how.size_px

  def by_triangle():
    return tf.image.resize(image, [size, size], 'bilinear', antialias=True)

  def by_area():
    return tf.image.resize(image, [size, size], 'area')

  if how.resize == 'area':
    is_reduced = tf.reduce_min(tf.shape(image)[:2]) >= size
    found = tf.cond(is_reduced, by_area, by_triangle)
  else:
    found = by_triangle()
  return tf.cast(tf.floor(tf.clip_by_value(found, 0, 255) + 0.5), tf.uint8)
