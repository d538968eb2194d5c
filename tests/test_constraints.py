"""The versions in constraints/, and what make installs with them."""

import configparser
import importlib.metadata
import pathlib
import re
import shutil
import subprocess
import sys

from packaging import requirements
from packaging import utils
import pytest

from tools import check_python

_ROOT = pathlib.Path(__file__).parent.parent
_FOLDER = _ROOT / 'constraints'
_NEWEST = '2.21'
_EXTRAS = ('cpu', 'gpu', 'remote', 'export', 'tfds', 'beam', 'embed',
           'features', 'test', 'fuzz')
_FILES = {
    'tensorflow-2.17': (*_EXTRAS, 'io'),
    'tensorflow-2.18': _EXTRAS,
    'tensorflow-2.19': _EXTRAS,
    'tensorflow-2.20': _EXTRAS,
    'tensorflow-2.21': _EXTRAS,
    'tpu': ('tpu', 'test-tpu'),
    'loops': ('loops',),
    'peers': ('peers',),
}
# No variables of a make that runs these tests.
_ENVIRONMENT = {'PATH': '/usr/bin:/bin'}
# Markers of one machine each; the Python's version is set beside them.
_LINUX = {
    'sys_platform': 'linux',
    'platform_system': 'Linux',
    'platform_machine': 'x86_64'
}
_MAC = {
    'sys_platform': 'darwin',
    'platform_system': 'Darwin',
    'platform_machine': 'arm64'
}


def _options():
  parser = configparser.ConfigParser()
  parser.read(_ROOT / 'setup.cfg')
  return parser


def _parse(text):
  return [
      requirements.Requirement(line)
      for line in text.splitlines()
      if line and not line.startswith('#')
  ]


def _read_pins(name):
  return _parse((_FOLDER / f'{name}.txt').read_text())


def _applying(parsed, environment):
  return [
      requirement for requirement in parsed
      if requirement.marker is None or requirement.marker.evaluate(environment)
  ]


def _find_machines(name):
  """Returns the environments, as markers see them, that a file is for."""
  newest = check_python.NEWEST[1]
  if name.startswith('tensorflow-'):
    oldest, platforms = check_python.OLDEST[1], (_LINUX, _MAC)
  else:
    oldest, platforms = {'tpu': 10, 'loops': 11, 'peers': 11}[name], (_LINUX,)
  return [{
      **platform, 'python_version': f'3.{minor}',
      'python_full_version': f'3.{minor}.1'
  } for platform in platforms for minor in range(oldest, newest + 1)]


def _find_issues(pins, required, machine):
  """Returns the requirements on a machine that no single pin satisfies."""
  versions = {}
  for pin in _applying(pins, machine):
    versions.setdefault(utils.canonicalize_name(pin.name),
                        []).append(str(pin.specifier).removeprefix('=='))
  return [
      f'{requirement}: {found}' for requirement in _applying(required, machine)
      if len(
          found := versions.get(utils.canonicalize_name(requirement.name), []))
      != 1 or not requirement.specifier.contains(found[0])
  ]


@pytest.mark.parametrize('name', _FILES)
def test_the_pins_satisfy_the_ranges_of_setup_cfg(name):
  options = _options()
  required = _parse('\n'.join([
      options['options']['install_requires'],
      *(options['options.extras_require'][extra] for extra in _FILES[name])
  ]))
  for machine in _find_machines(name):
    assert not _find_issues(_read_pins(name), required, machine), machine


@pytest.mark.parametrize('pins', ['', 'pandas==1.5.3', 'pandas==2.3.3\n' * 2])
def test_a_pin_that_is_missing_too_old_or_double_is_found(pins):
  assert _find_issues(_parse(pins), _parse('pandas>=2.0'), _LINUX)


def test_each_supported_tensorflow_has_a_file():
  cpu = _parse(_options()['options.extras_require']['cpu'])[0].specifier
  supported = {
      f'tensorflow-2.{minor}' for minor in range(100)
      if cpu.contains(f'2.{minor}.0')
  }
  assert supported == set(_FILES) - {'tpu', 'loops', 'peers'}
  assert {path.stem for path in _FOLDER.iterdir()} == set(_FILES)
  for name in supported:
    version = next(
        pin.specifier for pin in _read_pins(name) if pin.name == 'tensorflow')
    assert str(version).startswith(f'=={name.removeprefix("tensorflow-")}.')


def test_every_extra_is_pinned_but_io_s_gpu():
  extras = set(_options()['options.extras_require'])
  assert extras - {'io-gpu'} == {
      extra for extras in _FILES.values() for extra in extras
  }


@pytest.mark.parametrize('name', _FILES)
def test_a_file_holds_versions_alone(name):
  text = (_FOLDER / f'{name}.txt').read_text()
  assert 'make constraints' in text.splitlines()[1]
  assert '://' not in text and '--' not in text
  for pin in _read_pins(name):
    assert re.fullmatch('==[^,*]+', str(pin.specifier)), pin


def _plan(target, folder, *variables):
  """Returns the commands that make would run to make a target from bare."""
  return subprocess.run(
      ['make', '--dry-run', target, f'VENV={folder}', 'EXTRA=cpu', *variables],
      cwd=_ROOT,
      check=True,
      capture_output=True,
      text=True,
      env=_ENVIRONMENT).stdout


def _find_installed(plan):
  """Returns pairs of extras and constraints that a plan installs."""
  return set(re.findall(r'--constraint (\S+) +--editable "\.\[([^]]+)\]"',
                        plan))


def test_make_demo_installs_one_extra(tmp_path):
  newest = f'constraints/tensorflow-{_NEWEST}.txt'
  assert _find_installed(_plan('demo', tmp_path)) == {(newest, 'cpu')}


@pytest.mark.parametrize('target', ['test', 'lint', 'env-test'])
def test_tests_and_linters_add_theirs(target, tmp_path):
  newest = f'constraints/tensorflow-{_NEWEST}.txt'
  assert _find_installed(_plan(target, tmp_path)) == {(newest, 'cpu'),
                                                      (newest, 'cpu,test')}


def test_make_env_takes_another_tensorflow(tmp_path):
  assert _find_installed(_plan('env', tmp_path, 'TENSORFLOW=2.18')) == {
      ('constraints/tensorflow-2.18.txt', 'cpu')
  }


def _add_needed(name, extras, needed):
  """Adds to needed each (name, extras) that a package brings, as far as it is
  installed here."""
  for requirement in map(requirements.Requirement,
                         importlib.metadata.requires(name) or ()):
    key = utils.canonicalize_name(requirement.name), frozenset(
        requirement.extras)
    applies = requirement.marker is None or any(
        requirement.marker.evaluate({'extra': extra})
        for extra in ('', *extras))
    if key in needed or not applies:
      continue
    needed.add(key)
    try:
      _add_needed(requirement.name, requirement.extras, needed)
    except importlib.metadata.PackageNotFoundError:
      pass  # the TensorFlow of the other EXTRA


def test_the_demo_s_packages_bring_none_of_the_tests():
  needed = set()
  _add_needed('hpa-records', ('cpu', 'gpu'), needed)
  names = {name for name, _ in needed}
  assert {'keras', 'tensorboard'} <= names
  tests = _parse(_options()['options.extras_require']['test'])
  assert names & {utils.canonicalize_name(test.name) for test in tests} == {
      'setuptools'
  }, 'TensorFlow itself needs setuptools, and nothing else of the tests'


# It builds a project that is metadata alone, without network.
_BACKEND = '''
import zipfile
def build_editable(folder, config_settings=None, metadata_directory=None):
  name, info = 'tiny-1-py3-none-any.whl', 'tiny-1.dist-info/'
  with zipfile.ZipFile(f'{folder}/{name}', 'w') as wheel:
    wheel.writestr(info + 'METADATA', 'Metadata-Version: 2.1\\nName: tiny\\n'
                   'Version: 1\\nProvides-Extra: cpu\\nProvides-Extra: test')
    wheel.writestr(info + 'WHEEL', 'Wheel-Version: 1.0\\nGenerator: none\\n'
                   'Root-Is-Purelib: true\\nTag: py3-none-any')
    wheel.writestr(info + 'RECORD', '')
  return name
'''


@pytest.fixture(name='tiny')
def _make_tiny_project(tmp_path):
  """Returns a folder with this Makefile, where pip has no index, so no uv."""
  (tmp_path / 'constraints').mkdir()
  for name in ('Makefile', 'tools/check_python.py'):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    shutil.copy(_ROOT / name, path)
  (tmp_path / 'setup.cfg').touch()
  (tmp_path / f'constraints/tensorflow-{_NEWEST}.txt').touch()
  (tmp_path / 'backend.py').write_text(_BACKEND)
  (tmp_path / 'pyproject.toml').write_text(
      '[build-system]\nrequires = []\nbuild-backend = "backend"\n'
      'backend-path = ["."]\n')
  return tmp_path


def _make(target, folder):
  """Makes a target in a folder, returns what was written to stderr."""
  return subprocess.run(
      ['make', target, f'PYTHON={sys.executable}', 'EXTRA=cpu'],
      cwd=folder,
      check=True,
      capture_output=True,
      text=True,
      env=_ENVIRONMENT | {
          'PIP_NO_INDEX': '1'
      }).stderr


def _check_complete(folder):
  venv = folder / '.venv'
  assert {path.name for path in venv.glob('.installed*')
         } == {f'.installed-cpu-{_NEWEST}', '.installed-test'}
  subprocess.run([venv / 'bin/python', '-m', 'pip', 'show', 'tiny'],
                 check=True,
                 capture_output=True)


def test_pip_installs_where_uv_cannot_be_installed(tiny):
  said = _make('env-test', tiny)
  assert 'No matching distribution found for uv' in said
  _check_complete(tiny)


def test_an_environment_of_another_stamp_is_replaced(tiny):
  (tiny / '.venv/bin').mkdir(parents=True)
  (tiny / '.venv/bin/python').touch()
  (tiny / '.venv/.installed-cpu').touch()  # as it was before constraints/
  _make('env-test', tiny)
  _check_complete(tiny)
