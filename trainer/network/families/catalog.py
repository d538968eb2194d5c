"""The families by the name of --model."""

from collections.abc import Callable, Mapping
import dataclasses
import types
from typing import Any

from trainer.network.families import alexnet
from trainer.network.families import deeploc
from trainer.network.families import deepyeast
from trainer.network.families import densenet
from trainer.network.families import fcn
from trainer.network.families import mcnn
from trainer.network.families import mil
from trainer.network.families import resnet
from trainer.network.families import se_resnext


@dataclasses.dataclass(frozen=True)
class Family:
  """A network up to its logits.

  Attributes:
    connect: of an image, a Keras tensor [B, H, W, C], it returns the input of
      the logits, [B, n]. With of_classes it also takes the number of classes.
      All its layers have names.
    stem_end: the last layer before the second convolution or the first block.
    smallest_px: of an image.
    logits_norm: options of batch norm behind the logits; None without.
    of_classes: layers before the logits whose weights belong to classes.
  """
  connect: Callable[..., Any]
  stem_end: str
  smallest_px: int
  logits_norm: Mapping[str, Any] | None = None
  of_classes: tuple[str, ...] = ()


# Three pools by 2 leave a pixel of 8; M-CNN has 1/128 of an image.
FAMILIES = types.MappingProxyType({
    'deeploc':
        Family(deeploc.connect, 'conv1_1_act', 8, deeploc.NORM),
    'deeploc_gapnet':
        Family(deeploc.connect_gapnet, 'conv1_1_act', 8),
    'deepyeast':
        Family(deepyeast.connect, 'conv1_1_act', 8),
    'fcn':
        Family(fcn.connect, 'conv1_1_act', 8),
    'mcnn':
        Family(mcnn.connect, 'column6_conv1_act', 128),
    'mil':
        Family(mil.connect, 'conv1_act', 32,
               of_classes=('pixels', 'noisy_and')),
    'resnet18':
        Family(resnet.connect, 'pool1', 16),
    'se_resnext50':
        Family(se_resnext.connect, 'pool1', 32),
    'densenet121_bestfitting':
        Family(densenet.connect, 'pool1', 32),
    'alexnet':
        Family(alexnet.connect, 'pool1', 67),
})
