"""Weights of ImageNet for a network of Keras with C channels.

Keras loads its own file into its own network of three channels, and its layers
are then copied. Only the first convolution differs, in two ways.

Scale: Keras's networks were trained on inputs of different scales, ours is
standardized, of deviation 1 in each channel. So the kernel of each channel is
multiplied by the deviation of that channel in the inputs that the network was
trained on. An image that is standardized by the mean and deviation of ImageNet
then gives the activations of Keras's network. (Two networks take x/127.5 - 1 or
x/128 - 1, which is not 0 at ImageNet's mean: here their zero is our mean.)

Channels: the three kernels, as a function of a coordinate from 0 to 3 that is
red on [0, 1), green on [1, 2), blue on [2, 3), are cut into C equal parts, and
a channel gets the integral over its part. Three channels keep their kernels,
one channel gets their sum, and the sum over channels is the same for any C: an
image whose channels are equal gives the same activations, whatever C is. So it
is nearly for natural images, whose colours are correlated. Channels that are
independent give activations with a deviation smaller by about sqrt(3 / C); the
norm after the stem takes that out in training. The mean of the kernels for each
channel would have the same sum, but kernels of differences between colours
would be nearly 0.
"""

import os

import h5py
import numpy as np

from hpa_records.runtime import errors
from hpa_records.runtime import printable
from hpa_records.runtime import tensorflow
from hpa_records.runtime.tensorflow import keras
from trainer.network import applications
from trainer.start import h5_file

# Deviation of red, green and blue in ImageNet, of pixels from 0 to 1.
# Source: keras.applications.imagenet_utils.preprocess_input, mode 'torch'.
_STD = np.array([0.229, 0.224, 0.225])
# Deviation of the inputs in the order of the network's channels. Source:
# preprocess_input of each network, or its own scaling.
_INPUT_STD = {
    'densenet121': np.ones(3),
    'resnet50': 255 * _STD[::-1],  # blue first, minus the mean
    'xception': 255 / 127.5 * _STD,
    'efficientnetv2_s': 255 / 128 * _STD,
    'convnext_tiny': np.ones(3),
}
_BLUE_FIRST = ('resnet50',)
# Keras's network that another one continues.
_BODIES = {'densenet121_bestfitting': 'densenet121'}
_ENDINGS = ('.h5', '.hdf5')  # by which Keras reads a file as HDF5
# The name of a layer in a network with its head, and without.
_RENAMED = {'convnext_tiny_head_layernorm': 'layer_normalization_1'}


def load(name: str, num_channels: int,
         weights_file: str) -> dict[str, list[np.ndarray]]:
  """Returns weights by the name of their layer in applications.build.

  Args:
    name: of a network, one of applications.BUILDERS; or
      densenet121_bestfitting, whose head they do not have.
    num_channels: C, of its images.
    weights_file: path of a file with the weights of Keras's network, with its
      head or without; '' downloads Keras's own.

  Raises:
    errors.DataError: the download fails; or the file is missing, damaged or of
      another network.
  """
  name = _BODIES.get(name, name)
  with tensorflow.keras_defaults():
    body = (_load_file(name, weights_file) if weights_file else _download(name))
    found = {
        _RENAMED.get(key, key): layer.get_weights()
        for key, layer in applications.list_layers(body)
    }
  stem = next(iter(found.values()))  # which the image goes to
  kernel = stem[0] * _INPUT_STD[name][:, np.newaxis]
  if name in _BLUE_FIRST:
    kernel = kernel[:, :, ::-1]
  stem[0] = spread(kernel, num_channels)
  return found


def spread(kernel: np.ndarray, num_channels: int) -> np.ndarray:
  """Returns a kernel of C channels with the same sum over its channels.

  Args:
    kernel: [h, w, 3, filters], of red, green and blue.
    num_channels: C.

  Returns:
    [h, w, C, filters].
  """
  edges = np.linspace(0, 3, num_channels + 1)
  colour = np.arange(3)[:, np.newaxis]
  shares = (
      np.minimum(edges[1:], colour + 1) -  # [3, C]
      np.maximum(edges[:-1], colour)).clip(0)
  return np.einsum('hwkf,kc->hwcf', kernel, shares)


def _download(name: str) -> keras.Model:
  try:
    with tensorflow.keras_cache():
      return applications.BUILDERS[name](include_top=False, weights='imagenet')
  except Exception as error:  # Keras raises an Exception
    raise errors.DataError(
        f'Cannot download the weights of {name} '
        f'({printable.join_lines(str(error))}); pass a copy of that file as '
        '--weights_file.') from error


def _load_file(name: str, path: str) -> keras.Model:
  try:
    with open(path, 'rb') as file:
      num_bytes = os.fstat(file.fileno()).st_size
    # A file may be HDF5 and a .keras archive, which Keras takes it for by name.
    if not path.endswith(_ENDINGS) or not h5py.is_hdf5(path):
      raise ValueError(f'no HDF5 file ({" or ".join(_ENDINGS)})')
    with h5py.File(path, 'r') as stored:
      groups, _ = h5_file.list_objects(stored, num_bytes)
      h5_file.check_layers(stored, groups.values(), num_bytes)
    try:
      return _load(name, path, has_head=False)
    except ValueError:
      return _load(name, path, has_head=True)
  except Exception as error:  # h5py and Keras each raise their own
    raise errors.find_unread(path, error) or errors.DataError(
        f'--weights_file={path} is missing or damaged, or has not the weights '
        f'of Keras\'s {name} ({printable.join_lines(str(error)):.300}).'
    ) from error


def _load(name: str, path: str, has_head: bool) -> keras.Model:
  body = applications.BUILDERS[name](include_top=has_head, weights=None)
  body.load_weights(path)
  return body
