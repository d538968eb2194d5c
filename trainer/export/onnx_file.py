"""Plain networks to one ONNX model of the whole ensemble.

tf2onnx converts the graph. All of it is in float32 and in operations of ONNX's
own domain; the eight symmetries are a batch of eight times the images, so that
each network is in the file once.
"""

from collections.abc import Mapping, Sequence
import importlib
from typing import Any

import numpy as np

from hpa_records.runtime import process
from hpa_records.runtime import tensorflow
from hpa_records.runtime.tensorflow import keras
from hpa_records.runtime.tensorflow import tf
from trainer.augmentation import dihedral
from trainer.export import forward
from trainer.network import plain

OPSET = 17
PIXELS = 'pixels'


def convert(networks: Sequence[keras.Model],
            symmetries: bool,
            metadata: Mapping[str, str],
            map_of: int | None = None) -> bytes:
  """Returns an ONNX model of the mean over networks.

  Its input is 'pixels' [B, H, W, C] uint8, its output 'probabilities' [B, K]
  float32; B is free.

  Args:
    networks: of plain.build, of one input shape.
    symmetries: whether the mean is also over the eight symmetries of the
      square.
    metadata: texts of the model by key (metadata_props).
    map_of: index of a network whose class activation maps are outputs, too:
      'map1', 'map2' and so on, [B, K, h, w] float32, >= 0 and of any scale, one
      for each feature map that the network averages. They are those of
      network.activation_map for the image as it is.
  """
  elements = range(dihedral.NUM_ELEMENTS if symmetries else 1)
  bodies = [_open(each) for each in networks]
  num_classes = networks[0].output.shape[-1]

  def compute(pixels):
    count = tf.shape(pixels)[0]
    images = forward.turn_all(tf.cast(pixels, tf.float32), elements)
    total, outputs = 0.0, {}
    for i, body in enumerate(bodies):
      *maps, averages, found = body(images, training=False)
      found = tf.reshape(found, [len(elements), -1, num_classes])
      total += tf.reduce_mean(found, axis=0)
      if i == map_of:
        of_image = [each[:count] for each in (*maps, averages)]
        found = forward.compute_maps(networks[i], of_image[:-1], of_image[-1])
        outputs = {f'map{n}': each for n, each in enumerate(found, 1)}
    return {plain.PROBABILITIES: total / len(bodies), **outputs}

  signature = [
      tf.TensorSpec([None, *networks[0].input.shape[1:]], tf.uint8, PIXELS)
  ]
  with process.quiet():  # tf2onnx and TensorFlow's optimizer
    model, _ = importlib.import_module('tf2onnx').convert.from_function(
        tensorflow.traced(compute, input_signature=signature),
        input_signature=signature,
        opset=OPSET,
        custom_op_handlers={'Erfc': (_replace_erfc, [])})
  for tensor in (*model.graph.input, *model.graph.output):
    tensor.type.tensor_type.shape.dim[0].dim_param = 'batch'
  for key, text in metadata.items():
    model.metadata_props.add(key=key, value=text)
  return model.SerializeToString()


def _open(network: keras.Model) -> keras.Model:
  """Returns a network with the outputs [*maps, averages, probabilities]."""
  parts = plain.find_parts(network)
  return keras.Model(network.input,
                     [*parts.maps, parts.averages, network.output])


def _replace_erfc(graph: Any, node: Any, name: str, _: Any) -> None:
  """Has tf2onnx write Keras's gelu, which is of erfc(x), by 1 - erf(x)."""
  one = graph.make_const(f'{name}_one', np.ones((), np.float32))
  erf = graph.make_node('Erf', node.input)
  dtypes, shapes = node.output_dtypes, node.output_shapes
  graph.remove_node(name)
  graph.make_node('Sub', [one.output[0], erf.output[0]],
                  outputs=node.output,
                  name=name,
                  dtypes=dtypes,
                  shapes=shapes)
