"""bioimageio.yaml: the description of a model for bioimage.io's programs.

Source: https://bioimage-io.github.io/spec-bioimage-io, model 0.5.
"""

from collections.abc import Sequence
import importlib
import os
import pathlib
import re

import numpy as np

from hpa_records.format import spec as spec_lib
from trainer.export import folder
from trainer.export import onnx_file
from trainer.network import plain

_OTHER_LETTERS = re.compile('[^A-Za-z0-9_+ ()-]')  # in the name of a model


def write(directory: str, *, name: str, description: str,
          spec: spec_lib.Spec, image: np.ndarray,
          probabilities: np.ndarray) -> None:
  """Writes bioimageio.yaml with its test input and output, validated.

  Args:
    directory: of the model, with README.md and model.onnx.
    name: of the model.
    description: in a sentence.
    spec: of the images and classes.
    image: [1, H, W, C] uint8, the test input.
    probabilities: [1, K] float32, what the ONNX model gives for it.
  """
  spec_module = importlib.import_module('bioimageio.spec')
  v0_5 = importlib.import_module('bioimageio.spec.model.v0_5')
  root = pathlib.Path(directory).resolve()
  for file, array in zip(folder.TEST_NAMES, (image, probabilities)):
    np.save(root / file, array)

  def refer(file: str):
    return v0_5.FileDescr(source=root / file)

  def describe_channels(names: Sequence[str]):
    return v0_5.ChannelAxis(channel_names=list(names))

  def describe_data(array: np.ndarray):
    return v0_5.IntervalOrRatioDataDescr(type=str(array.dtype))

  with spec_module.ValidationContext(root=root):
    made = v0_5.ModelDescr(
        name=_OTHER_LETTERS.sub(' ', name),
        description=description,
        documentation=refer(folder.CARD_NAME),
        inputs=[
            v0_5.InputTensorDescr(
                id=onnx_file.PIXELS,
                axes=[
                    v0_5.BatchAxis(),
                    *(v0_5.SpaceInputAxis(id=each, size=spec.image_size)
                      for each in 'yx'),
                    describe_channels(spec.channel_names),
                ],
                test_tensor=refer(folder.TEST_NAMES[0]),
                data=describe_data(image))
        ],
        outputs=[
            v0_5.OutputTensorDescr(
                id=plain.PROBABILITIES,
                axes=[v0_5.BatchAxis(),
                      describe_channels(spec.classes)],
                test_tensor=refer(folder.TEST_NAMES[1]),
                data=describe_data(probabilities))
        ],
        weights=v0_5.WeightsDescr(
            onnx=v0_5.OnnxWeightsDescr(source=root / folder.ONNX_NAME,
                                       opset_version=onnx_file.OPSET)))
    spec_module.save_bioimageio_yaml_only(
        made, os.path.join(directory, folder.BIOIMAGE_NAME))
