"""bioimageio.yaml: the description of a model for bioimage.io's programs.

Written as JSON, which is YAML too; the tests validate it by bioimageio.spec and
run it by bioimageio.core. The version is one of 2025, which later releases
read.

Source: https://bioimage-io.github.io/spec-bioimage-io, model 0.5.4.
"""

from collections.abc import Sequence
import json
import os
import re
from typing import Any

import numpy as np

from hpa_records.format import spec as spec_lib
from hpa_records.storage import filesystem
from trainer.export import folder
from trainer.export import onnx_file
from trainer.network import plain

_FORMAT_VERSION = '0.5.4'
_OTHER_LETTERS = re.compile('[^A-Za-z0-9_+ ()-]')  # in the name of a model


def write(directory: str, *, name: str, description: str, spec: spec_lib.Spec,
          image: np.ndarray, probabilities: np.ndarray) -> None:
  """Writes bioimageio.yaml, and its test input and output.

  Args:
    directory: of the model, with README.md and model.onnx.
    name: of the model.
    description: in a sentence.
    spec: of the images and classes.
    image: [1, H, W, C] uint8, the test input.
    probabilities: [1, K] float32, what the ONNX model gives for it.
  """
  for file, array in zip(folder.TEST_NAMES, (image, probabilities)):
    np.save(os.path.join(directory, file), array)
  space = [{
      'type': 'space',
      'id': each,
      'size': spec.image_size
  } for each in 'yx']
  content = {
      'format_version': _FORMAT_VERSION,
      'type': 'model',
      'name': _OTHER_LETTERS.sub(' ', name),
      'description': description,
      'documentation': folder.CARD_NAME,
      'inputs': [
          _describe(directory, onnx_file.PIXELS, space, spec.channel_names,
                    folder.TEST_NAMES[0], image)
      ],
      'outputs': [
          _describe(directory, plain.PROBABILITIES, [], spec.classes,
                    folder.TEST_NAMES[1], probabilities)
      ],
      'weights': {
          'onnx': {
              **_refer(directory, folder.ONNX_NAME),
              'opset_version':
                  onnx_file.OPSET,
          }
      },
  }
  text = json.dumps(content, indent=1, ensure_ascii=False) + '\n'
  filesystem.write_atomically(os.path.join(directory, folder.BIOIMAGE_NAME),
                              text.encode())


def _describe(directory: str, name: str, space: list[dict[str, Any]],
              names: Sequence[str], file: str,
              array: np.ndarray) -> dict[str, Any]:
  """Returns the description of an input or output."""
  return {
      'id': name,
      'axes': [{
          'type': 'batch'
      }, *space, {
          'type': 'channel',
          'channel_names': list(names)
      }],
      'test_tensor': _refer(directory, file),
      'data': {
          'type': str(array.dtype)
      },
  }


def _refer(directory: str, file: str) -> dict[str, str]:
  return {
      'source': file,
      'sha256': filesystem.sha256(os.path.join(directory, file))
  }
