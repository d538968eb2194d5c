"""The extra [tpu] for real: TensorFlow for TPUs in an environment of its own.

It is made by `make env-tpu` in .venv-tpu and kept between runs. There is no TPU
here: the trainer's tests run on that TensorFlow's CPU device. All this takes
minutes and 2 GB, so it is left to make soak.
"""

import os
import pathlib
import subprocess
import sys

import pytest

_ROOT = pathlib.Path(__file__).parent.parent
_PYTHON = _ROOT / '.venv-tpu' / 'bin' / 'python'
_TESTS = ('test_strategy', 'augmentation', 'network/test_layers',
          'network/test_xla_layers', 'training/test_loss',
          'training/test_optimizer', 'training/test_step',
          'run/test_checkpoint', 'training/test_evaluate', 'training/test_loop')

pytestmark = pytest.mark.soak


@pytest.fixture(name='python', scope='module')
def _python():
  """The environment's Python; made first if it is not there."""
  subprocess.run(['make', 'env-tpu', f'PYTHON={sys.executable}'],
                 cwd=_ROOT,
                 check=True)
  return str(_PYTHON)


def _run(*command):
  environment = {
      name: value
      for name, value in os.environ.items()
      if not name.startswith(('PYTEST_', 'TF_', 'TPU_'))
  }
  return subprocess.run(command,
                        cwd=_ROOT,
                        check=False,
                        capture_output=True,
                        text=True,
                        env=environment)


def test_the_trainer_s_tests_pass(python):
  paths = [str(*_ROOT.glob(f'tests/trainer/{name}*')) for name in _TESTS]
  done = _run(python, '-m', 'pytest', '-q', '-p', 'no:cacheprovider', *paths)
  assert done.returncode == 0, done.stdout[-4000:]


def test_auto_does_not_take_tpu_system_for_a_tpu(python):
  done = _run(
      python, '-c', 'from trainer import strategy; '
      'print(strategy.describe(strategy.make("auto")))')
  assert done.stdout.splitlines()[-1:] == ['the CPU'], done.stderr


@pytest.mark.parametrize('flags,message', [
    ([], 'No TPU for --distribute=tpu: TensorFlow sees none'),
    (['--tpu=grpc://127.0.0.1:9'], 'reach the TPU --tpu=grpc://127.0.0.1:9: '),
])
def test_without_a_tpu_it_is_told_in_one_line(python, flags, message, tmp_path):
  done = _run(python, '-m', 'trainer.main', f'--records={tmp_path}',
              f'--workdir={tmp_path}', '--flagfile=tpu.flags', *flags)
  assert done.returncode == 2, done.stderr
  assert message in done.stderr and len(done.stderr.splitlines()) == 1
