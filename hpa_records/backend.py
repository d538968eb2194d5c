"""TensorFlow and Keras: the one place that imports them.

Every module that needs one writes `from hpa_records.backend import tf`, so that
whichever is imported first, the same settings are made before it, and a
missing TensorFlow is told in one line. No TensorFlow comes with the package:
which one fits (cpu, gpu, tpu, or what a notebook already has) only the user
knows, and a wrong one is 2 GB.

oneDNN is on: TensorFlow leaves it off on AMD CPUs, where a train step of
GapNet-PL at 299 px then does 25 images/s instead of 36 (two cores).
"""

import contextlib
import importlib
import os
import sys
import tempfile

from hpa_records import schema

VERSIONS = ((2, 17), (2, 22))  # from, to below

# TensorFlow's own lines say nothing that an exception does not say again.
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
os.environ.setdefault('TF_ENABLE_ONEDNN_OPTS', '1')


class MissingTensorFlow(schema.DataError, ImportError):
  """There is no TensorFlow that this package works with."""


@contextlib.contextmanager
def _quiet():
  """Keeps stderr back, also that of C++; shows it if the block raises.

  What TensorFlow logs while it loads heeds no log level.
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
    with _quiet():
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


tf = _import('tensorflow')
# A folder that an uninstalled TensorFlow left behind imports as an empty one.
_check_version(getattr(tf, '__version__', '0.0'))
keras = _import('keras')
