"""The environment of the extra [loops]: PyTorch, Grain and JAX.

`make env-loops` makes it in .venv-loops; it is kept between runs.
"""

import fcntl
import functools
import os
import pathlib
import subprocess
import sys

import pytest

_ROOT = pathlib.Path(__file__).parents[2]
_OLDEST = (3, 11)  # Python that the newest JAX is for


@functools.cache
def find_python() -> str:
  """Returns the environment's Python, made first if it is not there."""
  if sys.version_info[:2] < _OLDEST:
    pytest.skip('the newest JAX has no wheel for Python '
                f'{sys.version_info[0]}.{sys.version_info[1]}')
  folder = os.open(_ROOT, os.O_RDONLY)
  try:
    fcntl.flock(folder, fcntl.LOCK_EX)  # other workers of pytest wait
    subprocess.run(['make', 'env-loops', f'PYTHON={sys.executable}'],
                   cwd=_ROOT,
                   check=True)
  finally:
    os.close(folder)
  return str(_ROOT / '.venv-loops' / 'bin' / 'python')


@functools.cache
def has_torch() -> bool:
  """Returns whether the environment has PyTorch, which Linux may lack."""
  done = subprocess.run([find_python(), '-c', 'import torch'],
                        check=False,
                        capture_output=True)
  return not done.returncode
