"""The packages of the extra [features], looked for before work begins."""

import importlib.util

from hpa_records.runtime import errors

_PACKAGES = {
    'mahotas': 'mahotas',
    'skimage': 'scikit-image',
    'sklearn': 'scikit-learn'
}


def check() -> None:
  """Checks that all packages are installed.

  Raises:
    errors.DataError: some are not; says which, and how to install them.
  """
  missing = [
      package for module, package in _PACKAGES.items()
      if importlib.util.find_spec(module) is None
  ]
  if missing:
    raise errors.DataError(
        f'{" and ".join(missing)} {"is" if len(missing) == 1 else "are"} not '
        'installed, which descriptors need: pip install '
        '"hpa-records[features]".')
