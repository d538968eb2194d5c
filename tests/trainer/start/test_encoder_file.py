"""encoder_file: what a stranger may have written into encoder.npz."""

import json

import numpy as np
import pytest

from hpa_records.runtime import errors
from trainer.start import encoder_file

_NETWORK = {'model': 'fcn', 'activation': 'relu', 'variant': ''}


def _write(path, **about):
  content = {'epoch': 3, 'network': _NETWORK, 'channels': ['a'], **about}
  np.savez(
      path, **{
          'weights/conv/001': np.ones(2),
          'weights/conv/000': np.zeros(2),
          'ids': np.array(['s0']),
          'about': json.dumps(content)
      })
  return str(path)


def test_layers_have_their_weights_in_order(tmp_path):
  found = encoder_file.read(_write(tmp_path / 'encoder.npz'))
  assert (found.epoch, found.channels) == (3, ('a',))
  np.testing.assert_array_equal(found.values['conv'], [[0, 0], [1, 1]])


@pytest.mark.parametrize('about,message', [
    ({
        'epoch': 0
    }, 'epoch: received 0'),
    ({
        'epoch': 10**300
    }, 'epoch: received 1000'),
    ({
        'network': {
            **_NETWORK, 'activation': 're\nlu'
        }
    }, 'activation: received'),
    ({
        'network': {
            **_NETWORK, 'model': 'x' * 9000
        }
    }, "model: received 'xxxx"),
    ({
        'channels': ['\x1b[31m']
    }, 'name of a channel'),
])
def test_texts_and_numbers_of_a_stranger_are_one_line(tmp_path, about, message):
  path = _write(tmp_path / 'encoder.npz', **about)
  with pytest.raises(errors.DataError, match=message) as error:
    encoder_file.read(path)
  assert str(error.value).isprintable() and len(str(error.value)) < 400
