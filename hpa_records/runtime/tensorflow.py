"""TensorFlow and Keras: the only module that imports them.

Every module that needs one writes
`from hpa_records.runtime.tensorflow import tf`. So the same settings are made
before the first import, and a missing TensorFlow is a one-line error. The
package does not install TensorFlow: only the user knows which one fits (cpu,
gpu, tpu, or a notebook's own), and a wrong one is 2 GB.

In a command oneDNN is on: TensorFlow leaves it off on AMD CPUs, where a train
step of GapNet-PL at 299 px then does 25 images/s instead of 36 (two cores). A
program that uses this package as a library sets TF_ENABLE_ONEDNN_OPTS=1 itself.
"""

import atexit
import contextlib
import ctypes
import functools
import importlib
import importlib.metadata
import logging
import os
import re
from typing import Iterator
import warnings

from hpa_records.runtime import errors
from hpa_records.runtime import process

_LEAST_SPACE = 5 * 10**9  # bytes; with 4.1e9 a training does not start
VERSIONS = ((2, 17), (2, 22))  # first supported, first unsupported
# Of TensorFlow's messages: positions in a graph; lines without a reason.
_PLACES = re.compile(r'\{\{.*?\}\}|\[\[.*?\]\]|\[Op:.*')
_NO_REASONS = ('Graph execution error', 'Detected at', 'File "', 'Additional ',
               ':{', ':UNKNOWN')


class MissingTensorFlow(errors.DataError, ImportError):
  """TensorFlow is missing or of an unsupported version."""


def _import(name: str):
  if process.is_ours():
    process.require_address_space(_LEAST_SPACE)
  try:
    with process.ended_by_interrupt(), process.quiet():
      return importlib.import_module(name)
  except ModuleNotFoundError as error:
    if error.name in ('jax', 'torch', 'openvino'):
      raise _other_backend(error.name) from None
    if error.name not in ('tensorflow', 'keras'):
      raise
    raise MissingTensorFlow(
        f'{error.name} is not installed; TensorFlow 2.17 to 2.21 with Keras 3 '
        'is needed: pip install "hpa-records[cpu]", or [gpu], or [tpu].'
    ) from None
  except OSError as error:
    raise errors.DataError(
        f'Cannot import {name}: {errors.explain(error)}.') from error


def _other_backend(name: str) -> errors.DataError:
  return errors.DataError(
      f'Expected the Keras backend tensorflow, received {name} (KERAS_BACKEND '
      'or keras.json); set KERAS_BACKEND=tensorflow before Keras is imported.')


def _check_version(version: str) -> None:
  release = tuple(int(part) for part in version.split('.')[:2])
  if not VERSIONS[0] <= release < VERSIONS[1]:
    raise MissingTensorFlow(
        f'Expected TensorFlow 2.17 to 2.21, received {version}; pip install '
        '"hpa-records[cpu]", or [gpu], or [tpu].')


def _is_installed(distribution: str) -> bool:
  try:
    importlib.metadata.distribution(distribution)
  except importlib.metadata.PackageNotFoundError:
    return False
  return True


@functools.cache
def has_scheme(scheme: str) -> bool:
  """Returns whether TensorFlow reads addresses of a scheme.

  Loads tensorflow-io for schemes that TensorFlow itself does not know.

  Args:
    scheme: without '://'.
  """
  if scheme in tf.io.gfile.get_registered_schemes():
    return True
  with (contextlib.suppress(ImportError), warnings.catch_warnings(),
        process.quiet()):
    warnings.simplefilter('ignore')
    importlib.import_module('tensorflow_io')
    if process.is_ours():
      atexit.register(_skip_destructors)
  # Beside a TensorFlow that it was not built for, tensorflow-io imports with a
  # warning and registers no scheme.
  return scheme in tf.io.gfile.get_registered_schemes()


def _skip_destructors() -> None:
  """Has the process exit after Python's own shutdown, with its exit code.

  A process that has read from s3:// otherwise aborts with 'pure virtual method
  called' (signal 6) when its C++ objects are destroyed (tensorflow/io issue
  1912). exit() runs handlers in reverse order, so this one is registered last.
  """
  libc = ctypes.CDLL(None)
  if hasattr(libc, 'on_exit'):  # glibc only; passes the exit code
    libc.on_exit(ctypes.cast(libc._exit, ctypes.c_void_p), None)  # pylint: disable=protected-access


tf = _import('tensorflow')
# A folder left by an uninstalled TensorFlow imports as an empty package.
_check_version(getattr(tf, '__version__', '0.0'))
if process.is_ours():
  # The run itself reports the devices of its strategy.
  logging.getLogger('tensorflow').setLevel(logging.WARNING)
  logging.getLogger('absl').setLevel(logging.WARNING)
keras = _import('keras')
if keras.config.backend() != 'tensorflow':
  raise _other_backend(keras.config.backend())
# This build compiles for TPUs only. The device TPU_SYSTEM cannot be used as the
# test: a second process does not see it.
IS_FOR_TPUS = _is_installed('tensorflow-tpu')

# A tf.function whose Python runs as it stands. AutoGraph would rewrite it and
# all that it calls, which is longer than tracing; loops over tensors are
# tf.while_loop.
traced = functools.partial(tf.function, autograph=False)


def compiled(function):
  """Returns a function as of traced, which XLA compiles.

  With TensorFlow for TPUs it is compiled as part of the TPU step that calls it.
  """
  return traced(function, jit_compile=None if IS_FOR_TPUS else True)


@contextlib.contextmanager
def keras_cache() -> Iterator[None]:
  """Has Keras download into ~/.keras while a block runs.

  A command starts Keras below /dev/null (process.take), where none can be.
  """
  config = importlib.import_module('keras.src.backend.config')
  before = config._KERAS_DIR  # pylint: disable=protected-access
  home = os.path.expanduser('~/.keras')
  with contextlib.suppress(OSError):  # then Keras takes /tmp/.keras
    os.makedirs(home, exist_ok=True)
  config._KERAS_DIR = home  # pylint: disable=protected-access
  try:
    yield
  finally:
    config._KERAS_DIR = before  # pylint: disable=protected-access


@contextlib.contextmanager
def keras_defaults() -> Iterator[None]:
  """Restores Keras's default settings while a block builds a network.

  A keras.json or the calling program may have set others, such as float16 or
  channels first. They apply again when the block ends. Also a decorator.
  """
  config = keras.config
  before = (config.floatx(), config.epsilon(), config.image_data_format(),
            config.dtype_policy())
  _set_keras('float32', 1e-7, 'channels_last', 'float32')
  try:
    yield
  finally:
    _set_keras(*before)


def _set_keras(floatx: str, epsilon: float, data_format: str, policy) -> None:
  keras.config.set_floatx(floatx)
  keras.config.set_epsilon(epsilon)
  keras.config.set_image_data_format(data_format)
  keras.config.set_dtype_policy(policy)


def find_reason(error: Exception) -> str:
  """Returns the line of a TensorFlow error that states the reason."""
  for line in str(error).splitlines():
    line = _PLACES.sub('', line).strip()
    if line and not line.startswith(_NO_REASONS):
      return line[:200].rstrip('.')
  return type(error).__name__
