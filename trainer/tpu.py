"""The strategy of a TPU, and why there is none."""

import threading

from hpa_records.runtime import errors
from hpa_records.runtime import printable
from hpa_records.runtime import tensorflow
from hpa_records.runtime.tensorflow import tf
from trainer import accelerator

_TIMEOUT_S = 120.0  # a TPU may have to start first


def make(name: str) -> tf.distribute.Strategy:
  """Returns the strategy of a TPU; connects on a thread, which may hang.

  Args:
    name: name or address of the TPU; 'local' for that of this machine.

  Raises:
    errors.DataError: there is none, or it does not answer.
  """
  if name == 'local' and not tf.config.list_physical_devices('TPU'):
    refuse_unused()
  found: list[tf.distribute.Strategy | Exception] = []

  def connect():
    try:
      resolver = tf.distribute.cluster_resolver.TPUClusterResolver.connect(name)
      found.append(tf.distribute.TPUStrategy(resolver))
    except Exception as error:  # pylint: disable=broad-exception-caught
      found.append(error)

  print(f'Waiting for the TPU {name}, at most {_TIMEOUT_S:.0f} s.', flush=True)
  asking = threading.Thread(target=connect, daemon=True)
  asking.start()
  asking.join(_TIMEOUT_S)
  answer = found[0] if found else f'no answer in {_TIMEOUT_S:.0f} s'
  if isinstance(answer, tf.distribute.Strategy):
    return answer
  raise errors.DataError(
      f'Cannot reach the TPU --tpu={name}: '
      f'{printable.join_lines(str(answer))}; pass its name or grpc:// '
      'address, or choose another --distribute.')


def refuse_unused() -> None:
  """Raises the error for a machine whose TPU TensorFlow does not list.

  Raises:
    errors.DataError: always; says why, and what to do.
  """
  found = accelerator.has_tpu()
  if not tensorflow.IS_FOR_TPUS:
    head = 'This machine has a TPU, but this' if found else 'This'
    raise errors.DataError(
        f'{head} TensorFlow {tf.__version__} is built without TPU support; pip '
        'install "hpa-records[tpu]" in a new environment, or pass '
        '--distribute=cpu.')
  if found:
    raise errors.DataError(
        'This machine has a TPU, but TensorFlow lists none: another process '
        'uses it, or libtpu.so cannot be loaded; end that process, or pass '
        '--distribute=cpu.')
  raise errors.DataError(
      'No TPU for --distribute=tpu: this machine has none; choose a runtime or '
      'machine with a TPU, pass --tpu=NAME, or choose another --distribute.')
