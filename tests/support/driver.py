"""A library that answers as the NVIDIA driver of a machine with GPUs does."""

import pathlib
import shutil
import subprocess

import pytest

_SOURCE = '''
int cuInit(unsigned flags) { return %d; }
int cuDeviceGetCount(int *count) { *count = %d; return 0; }
'''


def build(folder: pathlib.Path, error: int = 0, count: int = 1) -> str:
  """Returns folder, after libcuda.so.1 was compiled there, for LD_LIBRARY_PATH.

  Skips the test if there is no C compiler.

  Args:
    folder: that exists.
    error: of cuInit; 0 is none.
    count: of GPUs.
  """
  compiler = shutil.which('cc')
  if not compiler:
    pytest.skip('no C compiler')
  source = folder / 'driver.c'
  source.write_text(_SOURCE % (error, count), encoding='ascii')
  subprocess.run(
      [compiler, '-shared', '-fPIC', '-o', folder / 'libcuda.so.1', source],
      check=True)
  return str(folder)
