"""Addresses that TensorFlow itself reads, for tf.data pipelines.

gs:// is built into TensorFlow; s3://, az:// and http(s):// come with a
compatible tensorflow-io (extra [io]). All else reads addresses by storage.
"""

import contextlib
import re
from typing import Iterator

from hpa_records.runtime import errors
from hpa_records.runtime import tensorflow
from hpa_records.storage import driver
from hpa_records.storage import storage_error

_INPUT = 'IteratorGetNext'  # in TensorFlow's errors of the input
# Around the reason in TensorFlow's messages: graph positions, an HTML page.
_WRAPPING = re.compile(r'\{\{.*?\}\}[ :]*|^: |\[Op:.*|\[\[.*| with body .*')
_STACK = '<stack traces unavailable>'


def is_readable(path: str) -> bool:
  """Returns whether tf.data reads files at a path, local or an address."""
  return (not driver.is_address(path) or
          tensorflow.has_scheme(path.partition('://')[0]))


def require_readable(path: str) -> None:
  """Checks that tf.data reads files at a path, local or an address.

  Raises:
    errors.DataError: it does not.
  """
  if not is_readable(path):
    scheme = path.partition('://')[0]
    raise errors.DataError(
        f'TensorFlow {tensorflow.tf.__version__} does not stream {scheme}:// '
        'without a compatible tensorflow-io; leave --reader out, or copy the '
        'records first with --stage_dir=DIR.')


@contextlib.contextmanager
def translate_errors(path: str) -> Iterator[None]:
  """Raises TensorFlow's errors of the input as one-line errors.

  Args:
    path: read by the block; a local path has no effect.

  Raises:
    StorageError: in place of TensorFlow's error.
  """
  if not driver.is_address(path):
    yield
    return
  # az:// raises RuntimeError where no server answers.
  try:
    yield
  except (tensorflow.tf.errors.OpError, RuntimeError) as error:
    message = getattr(error, 'message', str(error))
    if _INPUT not in message:
      raise
    raise storage_error.StorageError(
        f'Cannot access {path}: {type(error).__name__}: {_reason(message)}; '
        'check the address, the permissions and the network, then run the same '
        'command again.') from error


def _reason(message: str) -> str:
  """Returns the first line with a reason, without graph positions."""
  lines = message.rpartition(_STACK)[2].splitlines()
  reasons = [
      line for line in (_WRAPPING.sub('', l).strip() for l in lines) if line
  ]
  return (reasons or ['no reason given'])[0].rstrip('.')
