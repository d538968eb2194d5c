"""projection: SIFLoc's network, and what of networks is kept."""

import numpy as np
import pytest

from tests.support import specs
from trainer.network import build
from trainer.pretraining import projection
from trainer.pretraining import settings as settings_lib

_PIXELS = {'mean': [13.0] * 4, 'std': [28.0] * 4}


def _make(model, num_identities=0, **values):
  settings = settings_lib.Settings(records='r',
                                   workdir='w',
                                   model=model,
                                   **values)
  return settings, *projection.make(settings, specs.make(32), _PIXELS, False,
                                    num_identities)


def test_the_parameters_are_those_of_sifloc():
  _, model, features = _make('resnet18')
  trained = sum(np.prod(each.shape) for each in model.trainable_variables)
  assert trained == 11_245_312
  assert features.output_shape == (None, 512)


def test_arcface_has_cosines_and_scores_what_they_are_of():
  settings, model, embedding = _make('gapnet_pl',
                                     7,
                                     loss='arcface',
                                     identity='antibody',
                                     projection=20)
  assert model.output_shape == (None, 7)
  assert embedding.output_shape == (None, 20)
  assert model.get_layer('cosines').centers.shape == (20, 7)
  kept = {each.name for each in projection.list_encoder(settings, model)}
  assert {each.name for each in model.layers if each.weights} - kept == {
      'projection', 'projection_norm', 'cosines'
  }
  assert 'centers' not in {
      each.name for each in build.find_decayed(model, True)
  }


@pytest.mark.parametrize('model,left', [
    ('gapnet_pl', {'projection'}),
    ('deeploc', {'projection'}),
    ('mil', {'projection', 'pixels', 'noisy_and'}),
])
def test_layers_of_classes_are_left_out(model, left):
  settings, made, _ = _make(model)
  kept = {each.name for each in projection.list_encoder(settings, made)}
  assert {each.name for each in made.layers if each.weights} - kept == left
