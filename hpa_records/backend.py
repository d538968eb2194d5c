"""TensorFlow and Keras: the one place that imports them.

Every module that needs one writes `from hpa_records.backend import tf`, so that
whichever is imported first, the same settings are made before it, and a
missing TensorFlow is told in one line. No TensorFlow comes with the package:
which one fits (cpu, gpu, tpu, or what a notebook already has) only the user
knows, and a wrong one is 2 GB.

oneDNN is on: TensorFlow leaves it off on AMD CPUs, where a train step of
GapNet-PL at 299 px then does 25 images/s instead of 36 (two cores).
"""

import atexit
import contextlib
import ctypes
import functools
import glob
import importlib
import importlib.metadata
import logging
import os
import sys
import tempfile
import warnings

from hpa_records import schema

VERSIONS = ((2, 17), (2, 22))  # from, to below

# TensorFlow's own lines say nothing that an exception does not say again.
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
os.environ.setdefault('TF_ENABLE_ONEDNN_OPTS', '1')
# TensorFlow for TPUs waits minutes for a metadata server where there is none.
if not glob.glob('/dev/accel*') + glob.glob('/dev/vfio/[0-9]*'):
  os.environ.setdefault('TPU_SKIP_MDS_QUERY', '1')


class MissingTensorFlow(schema.DataError, ImportError):
  """There is no TensorFlow that this package works with."""


@contextlib.contextmanager
def quiet():
  """Keeps stderr back, also that of C++; shows it if the block raises.

  What TensorFlow logs while it loads heeds no log level; nor does, before 2.21,
  what it logs when XLA compiles for the first time.
  """
  sys.stderr.flush()
  kept = os.dup(2)
  with tempfile.TemporaryFile() as file:
    os.dup2(file.fileno(), 2)
    try:
      yield
    except BaseException:
      file.seek(0)
      os.write(kept, file.read())
      raise
    finally:
      os.dup2(kept, 2)
      os.close(kept)


def _import(name: str):
  try:
    with quiet():
      return importlib.import_module(name)
  except ModuleNotFoundError as error:
    if error.name not in ('tensorflow', 'keras'):
      raise
    raise MissingTensorFlow(
        f'Expected TensorFlow 2.17 to 2.21 with Keras 3, found no {error.name};'
        ' pip install "hpa-records[cpu]", or [gpu], or [tpu].') from None


def _check_version(version: str) -> None:
  release = tuple(int(part) for part in version.split('.')[:2])
  if not VERSIONS[0] <= release < VERSIONS[1]:
    raise MissingTensorFlow(
        f'Expected TensorFlow 2.17 to 2.21, found {version}; pip install '
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

  Loads tensorflow-io for those that TensorFlow itself does not know. Beside a
  TensorFlow that it was not built for, it imports with a warning and brings
  none; so TensorFlow is asked.

  Args:
    scheme: without '://'.
  """
  if scheme in tf.io.gfile.get_registered_schemes():
    return True
  # One name for the server's address, as the other drivers of S3 read it.
  if 'AWS_ENDPOINT_URL' in os.environ:
    os.environ.setdefault('S3_ENDPOINT', os.environ['AWS_ENDPOINT_URL'])
  with contextlib.suppress(ImportError), warnings.catch_warnings(), quiet():
    warnings.simplefilter('ignore')
    importlib.import_module('tensorflow_io')
    atexit.register(_skip_destructors)
  return scheme in tf.io.gfile.get_registered_schemes()


def _skip_destructors() -> None:
  """Makes the process end right after Python has, with Python's exit code.

  A process that has read from s3:// otherwise dies of 'pure virtual method
  called' and signal 6 when its C++ objects are destroyed (tensorflow/io issue
  1912). What exit() calls last is called first, hence not earlier than now.
  """
  libc = ctypes.CDLL(None)
  if hasattr(libc, 'on_exit'):  # glibc's; gives the handler the exit code
    libc.on_exit(ctypes.cast(libc._exit, ctypes.c_void_p), None)  # pylint: disable=protected-access


tf = _import('tensorflow')
# A folder that an uninstalled TensorFlow left behind imports as an empty one.
_check_version(getattr(tf, '__version__', '0.0'))
# Which devices a strategy has is told by the run itself.
logging.getLogger('tensorflow').setLevel(logging.WARNING)
logging.getLogger('absl').setLevel(logging.WARNING)
keras = _import('keras')
# Compiles for TPUs alone. Its device TPU_SYSTEM tells less: a second process
# does not get it.
IS_FOR_TPUS = _is_installed('tensorflow-tpu')


def compiled(function):
  """Returns a tf.function of a function, compiled by XLA wherever it runs.

  With TensorFlow for TPUs it is compiled where a step on a TPU calls it.
  """
  return tf.function(function, jit_compile=None if IS_FOR_TPUS else True)
