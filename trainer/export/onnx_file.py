"""Plain networks to one ONNX model of the whole ensemble.

tf2onnx converts the graph. All of it is in float32 and in operations of ONNX's
own domain, PReLU in one of them. The eight symmetries are a batch of eight
times the images, so that each network is in the file once.
"""

import collections
from collections.abc import Mapping, Sequence
import importlib
from typing import Any

import numpy as np

from hpa_records.runtime import errors
from hpa_records.runtime import process
from hpa_records.runtime import tensorflow
from hpa_records.runtime.tensorflow import keras
from hpa_records.runtime.tensorflow import tf
from trainer.export import forward
from trainer.model import views
from trainer.network import plain

OPSET = 17
PIXELS = 'pixels'
_MOST_BYTES = 2**31 - 2**24  # of weights; a protobuf file has less than 2 GiB


def check_size(networks: Sequence[keras.Model]) -> None:
  """Refuses networks that one ONNX file does not hold.

  Raises:
    errors.DataError: their weights are too large together.
  """
  num_bytes = 4 * sum(each.count_params() for each in networks)
  if num_bytes > _MOST_BYTES:
    raise errors.DataError(
        f'The weights of {len(networks)} networks are {num_bytes / 1e9:.2f} GB '
        f'of the {_MOST_BYTES / 1e9:.2f} GB that an ONNX file holds; export '
        'fewer folds (--folds=0).')


def convert(networks: Sequence[keras.Model],
            tta: str,
            metadata: Mapping[str, str],
            map_of: int | None = None,
            is_apart: bool = False) -> bytes:
  """Returns an ONNX model of the mean over networks.

  Its input is 'pixels' [B, H, W, C] uint8, its output 'probabilities' [B, K]
  float32; B is free.

  Args:
    networks: of plain.build, of one input shape.
    tta: one of views.TTA, the views of an image.
    metadata: texts of the model by key (metadata_props).
    map_of: index of a network whose class activation maps, if it has them, are
      outputs, too:
      'map1', 'map2' and so on, [B, K, h, w] float32, >= 0 and of any scale, one
      for each feature map that the network averages. They are those of
      network.activation_map for the image as it is.
    is_apart: whether 'probabilities' are those of each network, one after the
      other, [B, networks * K].
  """
  elements = views.list_elements(tta)
  bodies = [_open(each) for each in networks]
  num_classes = networks[0].output.shape[-1]

  def compute(pixels):
    count = tf.shape(pixels)[0]
    images = forward.turn_all(tf.cast(pixels, tf.float32), elements)
    total, apart, outputs = 0.0, [], {}
    for i, body in enumerate(bodies):
      *features, found = keras.tree.flatten(body(images, training=False))
      found = tf.reshape(found, [len(elements), -1, num_classes])
      apart.append(forward.pool(found, tta))
      total += apart[-1]
      if i == map_of:
        found = forward.compute_maps(networks[i],
                                     [each[:count] for each in features])
        outputs = {f'map{n}': each for n, each in enumerate(found, 1)}
    found = tf.concat(apart, axis=1) if is_apart else total / len(bodies)
    return {plain.PROBABILITIES: found, **outputs}

  signature = [
      tf.TensorSpec([None, *networks[0].input.shape[1:]], tf.uint8, PIXELS)
  ]
  with process.quiet():  # tf2onnx and TensorFlow's optimizer
    model, _ = importlib.import_module('tf2onnx').convert.from_function(
        tensorflow.traced(compute, input_signature=signature),
        input_signature=signature,
        opset=OPSET,
        custom_op_handlers={'Erfc': (_replace_erfc, [])})
  _join_prelus(model.graph)
  for tensor in (*model.graph.input, *model.graph.output):
    tensor.type.tensor_type.shape.dim[0].dim_param = 'batch'
  for key, text in metadata.items():
    model.metadata_props.add(key=key, value=text)
  return model.SerializeToString()


def _open(network: keras.Model) -> keras.Model:
  """Returns a network with the outputs [*maps, averages, probabilities].

  Without maps that is [probabilities].
  """
  parts = plain.find_parts(network)
  averages = [parts.averages] if parts.maps else []
  return keras.Model(network.input, [*parts.maps, *averages, network.output])


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


def _join_prelus(graph: Any) -> None:
  """Writes each PReLU as one operation.

  Keras's is relu(x) + (-slope) * relu(-x), five passes over the largest
  tensors.

  Args:
    graph: onnx.GraphProto, changed in place.
  """
  onnx = importlib.import_module('onnx')
  makers = {name: node for node in graph.node for name in node.output}
  tensors = {each.name: each for each in graph.initializer}
  takers = collections.Counter(
      name for node in graph.node for name in node.input)

  def find(name, operation):
    """Returns the node of an operation that makes a tensor for one taker."""
    node = makers.get(name)
    is_such = node and node.op_type == operation and takers[name] == 1
    return node if is_such else None

  for total in [each for each in graph.node if each.op_type == 'Add']:
    for first, second in (total.input, [*total.input][::-1]):
      positive, scaled = find(first, 'Relu'), find(second, 'Mul')
      if not (positive and scaled):
        continue
      slope, rectified = sorted(scaled.input, key=lambda name: name in makers)
      negative = find(rectified, 'Relu')
      minus = negative and find(negative.input[0], 'Neg')
      if slope not in tensors or not minus or minus.input != positive.input:
        continue
      values = -onnx.numpy_helper.to_array(tensors[slope])
      name = f'{total.name}_slope'
      graph.initializer.append(onnx.numpy_helper.from_array(values, name))
      total.op_type = 'PRelu'
      total.input[:] = [positive.input[0], name]
      for node in (positive, scaled, negative, minus):
        graph.node.remove(node)
      break
  used = {name for node in graph.node for name in node.input}
  for name in tensors.keys() - used:
    graph.initializer.remove(tensors[name])
