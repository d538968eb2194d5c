"""accelerator: hardware that TensorFlow does not use, and why."""

import ctypes.util
import os
import subprocess
import sys

import pytest

from tests.support import driver
from trainer import accelerator

_FIND = ('import sys; from trainer import accelerator; '
         'print(accelerator.find_gpu_issue(bool(int(sys.argv[1])), '
         'sys.argv[2]))')
# What TensorFlow of these versions logged beside a driver and without CUDA.
_LOGS = {
    '2.17.1':
        '''I external/local_tsl/tsl/platform/default/dso_loader.cc:70] \
Could not load dynamic library 'libnvinfer.so.8.6.1'; dlerror: libnvinfer.so
I external/local_tsl/tsl/platform/default/dso_loader.cc:59] Successfully \
opened dynamic library libcuda.so.1
I external/local_tsl/tsl/platform/default/dso_loader.cc:70] Could not load \
dynamic library 'libcudart.so.12'; dlerror: libcudart.so.12: cannot open
I external/local_tsl/tsl/platform/default/dso_loader.cc:70] Could not load \
dynamic library 'libcudnn.so.8'; dlerror: libcudnn.so.8: cannot open shared''',
    '2.21.0':
        '''I0000 00:00:1795703666.923050   23608 dso_loader.cc:133] \
Successfully opened dynamic library libcuda.so.1
I0000 00:00:1795703666.923438   23614 dso_loader.cc:144] Could not load \
dynamic library 'libcudnn.so.9'; dlerror: libcudnn.so.9: cannot open shared
I0000 00:00:1795703666.928025   23608 dso_loader.cc:144] Could not load \
dynamic library 'libcudart.so.12'; dlerror: libcudart.so.12: cannot open
I0000 00:00:1795703666.928267   23608 dso_loader.cc:144] Could not load \
dynamic library 'libcudnn.so.9'; dlerror: libcudnn.so.9: cannot open shared''',
    'no NVML':
        '''I0000 00:00:1795703547.309087   23366 dso_loader.cc:144] Could \
not load dynamic library 'libnvidia-ml.so.1'; dlerror: libnvidia-ml.so.1: ca''',
    'none':
        ''
}


def _find(has_cuda, root, **environment):
  """Returns the issue that a new process finds."""
  done = subprocess.run(
      [sys.executable, '-c', _FIND,
       str(int(has_cuda)),
       str(root)],
      check=True,
      capture_output=True,
      text=True,
      env=os.environ | environment)
  return done.stdout.strip()


def _add_device(root):
  (root / 'dev').mkdir()
  (root / 'dev' / 'nvidia0').touch()
  return root


@pytest.mark.parametrize('error,count', [(0, 0), (100, 1), (34, 1)])
def test_a_driver_without_a_gpu_is_no_issue(tmp_path, error, count):
  path = driver.build(tmp_path, error, count)
  assert _find(False, tmp_path, LD_LIBRARY_PATH=path) == ''


@pytest.mark.parametrize('hidden', ['', '-1'])
def test_gpus_that_the_user_hides_are_no_issue(tmp_path, hidden):
  path = driver.build(_add_device(tmp_path))
  assert _find(False,
               tmp_path,
               LD_LIBRARY_PATH=path,
               CUDA_VISIBLE_DEVICES=hidden) == ''


def test_a_tensorflow_without_cuda_is_told(tmp_path):
  found = _find(False, tmp_path, LD_LIBRARY_PATH=driver.build(tmp_path))
  assert found == (
      'This machine has an NVIDIA GPU, but this TensorFlow is built without '
      'CUDA; pip install "hpa-records[gpu]" in a new environment')


def test_a_driver_that_does_not_start_is_told(tmp_path):
  path = driver.build(_add_device(tmp_path), error=803)
  assert 'does not start (CUDA error 803)' in _find(True,
                                                    tmp_path,
                                                    LD_LIBRARY_PATH=path)


@pytest.mark.skipif(ctypes.util.find_library('cuda') is not None,
                    reason='a driver is here')
def test_a_device_without_the_library_of_its_driver_is_told(tmp_path):
  assert accelerator.find_gpu_issue(True, str(tmp_path)) == ''
  found = accelerator.find_gpu_issue(True, str(_add_device(tmp_path)))
  assert 'cannot load libcuda.so.1; install the complete NVIDIA driver' in found


@pytest.mark.parametrize('log,want', [
    ('2.17.1', 'cannot load libcudart.so.12, libcudnn.so.8; pip install '
     '"hpa-records[gpu]"'),
    ('2.21.0', 'cannot load libcudnn.so.9, libcudart.so.12; pip install '
     '"hpa-records[gpu]"'),
    ('no NVML', 'cannot load libnvidia-ml.so.1; install the complete NVIDIA '
     'driver (in a container, with '
     'NVIDIA_DRIVER_CAPABILITIES=compute,utility)'),
    ('none', 'lists none; run python -c "import tensorflow as tf; '
     'tf.config.list_physical_devices()" for the reason'),
])
def test_the_libraries_that_tensorflow_cannot_load_are_named(
    tmp_path, log, want):
  (tmp_path / 'tensorflow.py').write_text(
      'import os, sys, types\n'
      'if (os.environ["TF_CPP_MIN_LOG_LEVEL"], os.environ["TF_CPP_VMODULE"]) '
      '== ("0", "dso_loader=1"):\n'
      f'  sys.stderr.write({_LOGS[log]!r})\n'
      'config = types.SimpleNamespace(list_physical_devices=list)\n',
      encoding='ascii')
  found = _find(True,
                tmp_path,
                LD_LIBRARY_PATH=driver.build(tmp_path),
                PYTHONPATH=os.pathsep.join([str(tmp_path), *sys.path]),
                TF_CPP_MIN_LOG_LEVEL='3')
  assert found == f'This machine has an NVIDIA GPU, but TensorFlow {want}'


@pytest.mark.parametrize(
    'file,vendor,device,want',
    [
        ('accel0', '0x1ae0', '0x0027', True),
        ('vfio/0', '0x1ae0', '0x0063', True),
        ('accel/accel0', '0x8086', '0x7d1d', False),  # an NPU of Intel
        ('vfio/0', '0x1ae0', '0x0042', False),  # a network card of Google
        ('null', '0x1ae0', '0x0063', False),  # not for this container
    ])
def test_a_tpu_is_a_pci_device_with_a_file(tmp_path, file, vendor, device,
                                           want):
  pci = tmp_path / 'sys/bus/pci/devices/0000:00:05.0'
  (tmp_path / 'dev' / file).parent.mkdir(parents=True)
  (tmp_path / 'dev' / file).touch()
  pci.mkdir(parents=True)
  (pci / 'vendor').write_text(f'{vendor}\n', encoding='ascii')
  (pci / 'device').write_text(f'{device}\n', encoding='ascii')
  assert accelerator.has_tpu(str(tmp_path)) == want
