"""GPUs and TPUs of this machine that TensorFlow does not use, and why.

TensorFlow without CUDA or TPU support, or with a CUDA library missing, lists
the CPU alone, and what it logs does not name the library. A training would run
on the CPU unnoticed.
"""

import ctypes
import glob
import os
import pathlib
import re
import subprocess
import sys

_ROOT = '/'
_CUDA = 'libcuda.so.1'
_OF_DRIVER = (_CUDA, 'libnvidia-ml.so.1')
_NO_DEVICE = 100  # CUDA_ERROR_NO_DEVICE
_HIDE_ALL = ('', '-1')  # of CUDA_VISIBLE_DEVICES
_INSTALL_DRIVER = ('install the complete NVIDIA driver (in a container, with '
                   'NVIDIA_DRIVER_CAPABILITIES=compute,utility)')

# TensorFlow 2.17 to 2.21 write which library is missing at this level only.
_VERBOSE = {'TF_CPP_MIN_LOG_LEVEL': '0', 'TF_CPP_VMODULE': 'dso_loader=1'}
_LIST = 'import tensorflow as tf; tf.config.list_physical_devices()'
# TensorRT, which is libnvinfer, is optional.
_MISSING = re.compile(r"Could not load dynamic library '((?!libnvinfer)[^']+)'")

_GOOGLE = '0x1ae0'  # vendor of PCI devices, which also makes network cards
_TPUS = {'0x0027', '0x0056', '0x005e', '0x0062', '0x0063', '0x006f', '0x0076'}


def find_gpu_issue(has_cuda: bool, root: str = _ROOT) -> str:
  """Returns why TensorFlow does not use this machine's GPU, and what to do.

  Call it where TensorFlow lists no GPU. It may take as long as a start of
  TensorFlow.

  Args:
    has_cuda: whether this TensorFlow is built with CUDA.
    root: folder that contains dev.

  Returns:
    A sentence without its full stop; '' if this process may use no NVIDIA GPU,
    also because CUDA_VISIBLE_DEVICES hides all.
  """
  if os.environ.get('CUDA_VISIBLE_DEVICES') in _HIDE_ALL:
    return ''
  is_device = bool(glob.glob(os.path.join(root, 'dev/nvidia[0-9]*')))
  try:
    cuda = ctypes.CDLL(_CUDA)
  except OSError:
    return _explain_missing([_CUDA]) if is_device else ''
  count = ctypes.c_int()
  error = cuda.cuInit(0) or cuda.cuDeviceGetCount(ctypes.byref(count))
  if error == _NO_DEVICE or not (is_device if error else count.value):
    return ''
  if error:
    return ('The NVIDIA driver of this machine does not start (CUDA error '
            f'{error}); restart the machine or install the driver again')
  if not has_cuda:
    return ('This machine has an NVIDIA GPU, but this TensorFlow is built '
            'without CUDA; pip install "hpa-records[gpu]" in a new environment')
  return _explain_missing(_find_missing_libraries())


def _explain_missing(libraries: list[str]) -> str:
  """Returns the sentence about libraries; [] if they are not the reason."""
  if not libraries:
    return ('This machine has an NVIDIA GPU, but TensorFlow lists none; '
            f'run python -c "{_LIST}" for the reason')
  is_of_driver = set(libraries) <= set(_OF_DRIVER)
  remedy = (_INSTALL_DRIVER
            if is_of_driver else 'pip install "hpa-records[gpu]"')
  return ('This machine has an NVIDIA GPU, but TensorFlow cannot load '
          f'{", ".join(libraries)}; {remedy}')


def _find_missing_libraries() -> list[str]:
  """Returns the CUDA libraries that TensorFlow cannot load, without doubles.

  A new process asks TensorFlow itself, since it searches in folders of its own
  too, and once a process.
  """
  done = subprocess.run([sys.executable, '-c', _LIST],
                        check=False,
                        stdin=subprocess.DEVNULL,
                        stdout=subprocess.DEVNULL,
                        stderr=subprocess.PIPE,
                        text=True,
                        errors='replace',
                        env=os.environ | _VERBOSE)
  return list(dict.fromkeys(_MISSING.findall(done.stderr)))


def has_tpu(root: str = _ROOT) -> bool:
  """Returns whether this process may use a TPU of this machine.

  A container sees the PCI devices of its machine, but only those device files
  that it may use; other accelerators have files of the same names.

  Args:
    root: folder that contains dev and sys.

  Source: PCI ids of TPU v2 to v7 as in JAX, jax/_src/hardware_utils.py.
  """
  top = pathlib.Path(root)
  files = (*top.glob('dev/accel[0-9]*'), *top.glob('dev/vfio/[0-9]*'))
  return bool(files) and any(
      _read(each / 'vendor') == _GOOGLE and _read(each / 'device') in _TPUS
      for each in top.glob('sys/bus/pci/devices/*'))


def _read(path: pathlib.Path) -> str:
  try:
    return path.read_text(encoding='ascii').strip()
  except (OSError, ValueError):
    return ''
