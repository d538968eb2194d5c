"""projection: SIFLoc's network, and what of networks is kept."""

import numpy as np
import pytest

from tests.support import specs
from trainer.pretraining import projection
from trainer.pretraining import settings as settings_lib

_PIXELS = {'mean': [13.0] * 4, 'std': [28.0] * 4}


def _make(model, size_px=32):
  settings = settings_lib.Settings(records='r', workdir='w', model=model)
  return settings, *projection.make(settings, specs.make(size_px), _PIXELS,
                                    False)


def test_the_parameters_are_those_of_sifloc():
  _, model, features = _make('resnet18')
  trained = sum(np.prod(each.shape) for each in model.trainable_variables)
  assert trained == 11_245_312
  assert features.output_shape == (None, 512)


@pytest.mark.parametrize('model,left', [
    ('gapnet_pl', {'projection'}),
    ('deeploc', {'projection'}),
    ('mil', {'projection', 'pixels', 'noisy_and'}),
])
def test_layers_of_classes_are_left_out(model, left):
  settings, made, _ = _make(model)
  kept = {each.name for each in projection.list_encoder(settings, made)}
  assert {each.name for each in made.layers if each.weights} - kept == left
