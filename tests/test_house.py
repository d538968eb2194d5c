"""What a fresh machine meets: Python versions, a missing TensorFlow, make."""

import configparser
import pathlib
import re
import subprocess
import sys

import pytest

from tools import check_python

_ROOT = pathlib.Path(__file__).parent.parent
_NO_TENSORFLOW = 'import sys; sys.modules["tensorflow"] = None; '


def _options():
  parser = configparser.ConfigParser()
  parser.read(_ROOT / 'setup.cfg')
  return parser


def _python(code):
  return subprocess.run([sys.executable, '-c', code],
                        cwd=_ROOT,
                        check=False,
                        capture_output=True,
                        text=True)


@pytest.mark.parametrize(
    'module', ['hpa_records.reading.reader', 'trainer.network.gapnet'])
def test_without_tensorflow_importing_says_so_in_one_line(module):
  done = _python(f'{_NO_TENSORFLOW}import {module}')
  last = done.stderr.splitlines()[-1]
  assert 'TensorFlow 2.17 to 2.21 with Keras 3 is needed' in last
  assert 'pip install "hpa-records[cpu]"' in last
  assert 'During handling' not in done.stderr


def test_without_tensorflow_training_ends_with_that_line_and_code_2():
  done = _python(f'{_NO_TENSORFLOW}sys.argv[1:] = ["--records=r", '
                 '"--workdir=w"]; import runpy; '
                 'runpy.run_module("trainer.main", run_name="__main__")')
  assert done.returncode == 2
  assert done.stderr.startswith('tensorflow is not installed; TensorFlow 2.17 ')
  assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize('version,fits', [((3, 9, 18), False), ((3, 10), True),
                                          ((3, 13, 2), True), ((3, 14), False),
                                          ((2, 7), False)])
def test_pythons_outside_the_range_are_refused_in_one_line(version, fits):
  message = check_python.complaint(version, '/usr/bin/python')
  assert (message == '') == fits
  if not fits:
    assert f'received {version[0]}.{version[1]} at /usr/bin/python' in message
    assert '\n' not in message


def test_setup_cfg_has_the_same_range():
  said = _options()['options']['python_requires']
  low, high = re.fullmatch(r'>=3\.(\d+),<3\.(\d+)', said).groups()
  assert check_python.OLDEST == (3, int(low))
  assert check_python.NEWEST == (3, int(high) - 1)


def test_installing_brings_no_tensorflow_unless_asked():
  options = _options()
  assert 'tensorflow' not in options['options']['install_requires']
  for extra in ('cpu', 'gpu', 'tpu'):
    assert 'tensorflow' in options['options.extras_require'][extra]


def test_pip_finds_every_extra():
  # pip 23 looks for io_gpu as io-gpu, warns, and installs without it.
  for extra in _options()['options.extras_require']:
    assert re.fullmatch('[a-z0-9-]+', extra)


def test_pyproject_holds_the_build_system_alone():
  text = (_ROOT / 'pyproject.toml').read_text()
  assert re.findall(r'^\[.*\]$', text, re.MULTILINE) == ['[build-system]']


def test_make_lists_its_targets():
  done = subprocess.run(['make', 'help'],
                        cwd=_ROOT,
                        check=True,
                        capture_output=True,
                        text=True)
  for target in ('env', 'demo', 'test', 'lint'):
    assert f'make {target} ' in done.stdout


def test_make_env_refuses_a_wrong_python_in_one_line(tmp_path):
  python = tmp_path / 'python'
  python.write_text('#!/bin/sh\nexec "$REAL" -c "import sys; '
                    'sys.version_info = (3, 8); sys.argv = [\'$1\']; '
                    'exec(open(\'$1\').read())"\n')
  python.chmod(0o755)
  done = subprocess.run(
      ['make', 'env', f'PYTHON={python}', f'VENV={tmp_path}/venv'],
      cwd=_ROOT,
      capture_output=True,
      text=True,
      check=False,
      env={
          'REAL': sys.executable,
          'PATH': '/usr/bin:/bin'
      })
  assert done.returncode == 2
  assert 'Expected Python 3.10 to 3.13' in done.stderr
  assert not (tmp_path / 'venv').exists()
