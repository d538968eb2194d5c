"""SE-ResNeXt-50 32x4d: ResNet-50 with grouped convolutions and SE layers.

    7x7 convolution 64, stride 2, norm, relu; max-pool 3, stride 2
    blocks: 3 of 256, 4 of 512, 6 of 1024, 3 of 2048 maps, each
      1x1 to half of them, norm, relu; 3x3 in 32 groups, norm, relu; 1x1, norm
      squeeze and excite: average, dense to 1/16, relu, dense, sigmoid, product
      sum with the input, relu; the first of 512, 1024 and 2048 has stride 2 in
      its 3x3; the first of each kind has a 1x1 convolution with norm for the
      input
    average; logits

Known: the network; Wang, ICVIP 2020, and others of the challenge used it, with
heads that are not known. Chosen by us: the plain head, an average and a linear
layer; padding as in PyTorch; batch norm and kernels as in Keras's ResNet-50
(epsilon 1.001e-5, momentum .99, Glorot). The relu and sigmoid of squeeze and
excite stay whatever --activation is.

Sources: Hu et al., "Squeeze-and-Excitation Networks", 2018; Xie et al.,
"Aggregated Residual Transformations for Deep Neural Networks", 2017;
Cadene/pretrained-models.pytorch, senet.py.
"""

from typing import Any

from hpa_records.runtime.tensorflow import keras
from trainer.network.families import chain
from trainer.network.families import layer

_NORM = {'epsilon': 1.001e-5}
_STAGES = ((256, 3), (512, 4), (1024, 6), (2048, 3))
_GROUPS = 32
_REDUCTION = 16


def connect(image: Any) -> Any:
  """Returns the average [B, 2048] of the last maps.

  Args:
    image: a Keras tensor, [B, H, W, C] float.
  """
  x = keras.layers.ZeroPadding2D(3, name='conv1_pad')(image)
  x = _conv(x, 64, 7, 'conv1', 2, padding='valid')
  x = chain.activate(x, 'conv1_act')
  x = keras.layers.ZeroPadding2D(1, name='pool1_pad')(x)
  x = chain.pool(x, 'pool1', 3, 2, 'valid')
  return chain.average_stages(x, _STAGES, _block)


def _block(x: Any, filters: int, strides: int, name: str) -> Any:
  shortcut = x
  if x.shape[-1] != filters:
    shortcut = _conv(x, filters, 1, name.replace('block', 'skip'), strides)
  width = filters // 2
  x = chain.activate(_conv(x, width, 1, f'{name}_conv1'), f'{name}_act1')
  # Padded alike on all sides; 'same' with stride 2 pads an even image on one.
  x = keras.layers.ZeroPadding2D(1, name=f'{name}_pad')(x)
  x = layer.GroupedConv2D(_GROUPS, strides, name=f'{name}_conv2')(x)
  x = chain.norm(x, f'{name}_conv2_norm', **_NORM)
  x = chain.activate(x, f'{name}_act2')
  x = _excite(_conv(x, filters, 1, f'{name}_conv3'), name)
  x = keras.layers.Add(name=f'{name}_add')([x, shortcut])
  return chain.activate(x, f'{name}_act3')


def _excite(x: Any, name: str) -> Any:
  filters = x.shape[-1]
  found = keras.layers.GlobalAveragePooling2D(keepdims=True,
                                              name=f'{name}_squeeze')(x)
  found = chain.conv(found,
                     filters // _REDUCTION,
                     1,
                     f'{name}_reduce',
                     activation='relu')
  found = chain.conv(found, filters, 1, f'{name}_expand', activation='sigmoid')
  return keras.layers.Multiply(name=f'{name}_excite')([x, found])


def _conv(x: Any,
          filters: int,
          size: int,
          name: str,
          strides: int = 1,
          **options) -> Any:
  x = chain.conv(x, filters, size, name, strides, use_bias=False, **options)
  return chain.norm(x, f'{name}_norm', **_NORM)
