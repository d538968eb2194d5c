"""Real networks as plain data, for what draws them."""

import functools
from typing import Any

from hpa_records.runtime.tensorflow import keras
from tests.support import specs
from trainer.network import applications
from trainer.network import gapnet
from trainer.network import summary

GAPNETS = ('original', 'kaggle')
APPLICATIONS = ('densenet121', 'resnet50', 'xception', 'efficientnetv2_s',
                'convnext_tiny', 'deeploc', 'mcnn', 'mil', 'resnet18',
                'se_resnext50')
_SIZES = {'deeploc': 64}  # larger ones are refused
CONSTANTS = {'mean': (20.0,) * 4, 'std': (30.0,) * 4}


@functools.cache
def summarise(name: str) -> dict[str, Any]:
  """Returns the summary of one of GAPNETS or APPLICATIONS, for up to 299 px."""
  keras.utils.clear_session()  # or names count on from earlier networks
  if name in GAPNETS:
    model = gapnet.build(specs.make(299), name, 'prelu', **CONSTANTS)
  else:
    model = applications.build(name, specs.make(_SIZES.get(name, 299)),
                               **CONSTANTS)
  return summary.summarise(model)
