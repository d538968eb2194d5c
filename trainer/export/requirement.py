"""The packages of the extra [export], looked for before work begins."""

import importlib.util

from hpa_records.runtime import errors

_PACKAGES = ('onnx', 'tf2onnx')


def check() -> None:
  """Checks that all packages are installed.

  Raises:
    errors.DataError: some are not; says which, and how to install them.
  """
  missing = [
      name for name in _PACKAGES if importlib.util.find_spec(name) is None
  ]
  if missing:
    raise errors.DataError(
        f'{" and ".join(missing)} {"is" if len(missing) == 1 else "are"} not '
        'installed, which an export needs: pip install "hpa-records[export]".')
