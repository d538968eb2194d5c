"""Real networks as plain data, for what draws them."""

import functools
from typing import Any

from hpa_records.format import spec as spec_lib
from hpa_records.runtime.tensorflow import keras
from trainer.network import applications
from trainer.network import gapnet
from trainer.network import summary

GAPNETS = ('original', 'kaggle')
APPLICATIONS = ('densenet121', 'resnet50', 'xception')
CONSTANTS = {'mean': (20.0,) * 4, 'std': (30.0,) * 4}


def make_spec(image_size: int,
              num_channels: int = 4,
              num_classes: int = 28) -> spec_lib.Spec:
  """Returns a spec of images of a size, by default with Kaggle's numbers."""
  return spec_lib.Spec(
      tuple(f'class {i}' for i in range(num_classes)),
      tuple(spec_lib.Channel(f'channel {i}') for i in range(num_channels)),
      image_size)


@functools.cache
def summarise(name: str) -> dict[str, Any]:
  """Returns the summary of one of GAPNETS or APPLICATIONS for 299 px."""
  keras.utils.clear_session()  # or names count on from earlier networks
  if name in GAPNETS:
    model = gapnet.build(make_spec(299), name, 'prelu', **CONSTANTS)
  else:
    model = applications.build(name, make_spec(299), **CONSTANTS)
  return summary.summarise(model)
