"""The JSON file of a benchmark: its numbers, the machine and this program."""

import importlib.metadata
import json
import platform
import re
from typing import Any

from hpa_records.inspection import figure
from hpa_records.runtime import host
from hpa_records.storage import filesystem
from hpa_records.storage import path_check

MARK = f'"program": "{figure.MARK}"'  # in each file
_PACKAGES = {
    'OpenCV': 'opencv-python-headless',
    'kornia_rs': 'kornia-rs',
    'cykooz_resizer': 'cykooz-resizer',
    'Pillow': 'Pillow',
    'NumPy': 'numpy',
}


def prepare(path: str, flag: str, mark: str = MARK) -> None:
  """Checks that a file can be written and that it replaces no other's.

  Args:
    path: local.
    flag: name of the flag that gives it, for messages.
    mark: text that a file has which may be replaced.

  Raises:
    errors.DataError: the path cannot be written, or has another file.
  """
  path_check.prepare_output(path, flag)
  with path_check.translate_write_errors(path, flag):
    path_check.refuse_foreign(path, mark, flag)


def write(path: str, flag: str, content: dict[str, Any]) -> None:
  """Writes the file, atomically.

  Args:
    path: prepared.
    flag: name of the flag that gives it, for messages.
    content: the numbers, and describe_machine as 'machine'.

  Raises:
    errors.DataError: the path cannot be written.
  """
  data = json.dumps({'program': figure.MARK, **content}, indent=2)
  with path_check.translate_write_errors(path, flag):
    filesystem.write_atomically(path, data.encode() + b'\n')


def describe_machine() -> str:
  """Returns processor, cores, and the versions that decide the speed."""
  name = platform.processor() or platform.machine()
  try:
    with open('/proc/cpuinfo', encoding='utf-8') as file:
      found = re.search(r'model name\s*: (.+)', file.read())
      name = found[1] if found else name
  except OSError:
    pass  # no Linux
  versions = [f'Python {platform.python_version()}']
  for title, package in _PACKAGES.items():
    versions.append(f'{title} {importlib.metadata.version(package)}')
  versions.append(f'TensorFlow {_tensorflow_version()}')
  return f'{name}, {host.num_cores()} cores; {", ".join(versions)}'


def _tensorflow_version() -> str:
  for package in ('tensorflow', 'tensorflow-cpu', 'tensorflow-tpu'):
    try:
      return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
      continue
  return 'unknown'
