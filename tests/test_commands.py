"""All commands: --help, --version, lists, and installed from a wheel."""

import configparser
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import sysconfig
import venv

import pytest

import hpa_records
from tests.support import prestarted
from tests.support import signalled

_ROOT = pathlib.Path(__file__).parent.parent
_PACKAGES = ('hpa_records', 'trainer')
_COMMANDS = [
    f'{package}.commands.{path.stem}' for package in _PACKAGES
    for path in sorted((_ROOT / package / 'commands').glob('[!_]*.py'))
]
_MODULES = {'train': 'trainer.main', 'pretrain': 'trainer.pretrain'}
# Flags of hpa-train that a command sets.
_SET = {'run_paper': ('fold',), 'run_table5': ('model', 'activation')}


def _python(*words):
  done = subprocess.run([sys.executable, *words],
                        cwd=_ROOT,
                        check=False,
                        capture_output=True,
                        text=True)
  assert (done.returncode, done.stderr) == (0, ''), done.stderr
  return done.stdout


def _words(command):
  """How the command is started from a checkout."""
  name = command.rpartition('.')[2]
  if name in _MODULES:
    return ['-m', _MODULES[name]]
  return [f'tools/{name}.py']


def _script(command):
  return f'hpa-{command.rpartition(".")[2].replace("_", "-")}'


@pytest.mark.parametrize('command', _COMMANDS)
def test_help_is_short_with_a_sentence_an_example_and_all_flags(command):
  page = _python(*_words(command), '--help')
  lines = page.splitlines()
  assert len(lines) <= 160 and max(map(len, lines)) <= 80
  assert lines[0].endswith('.') and lines[1] == ''
  assert lines[2].startswith(f'  {_script(command)} ')
  assert '\nOther\n  --flagfile' in page and '--verbosity' not in page
  defined = _python(
      '-c', f'import {command}; from hpa_records.runtime import help_page; '
      'print(*help_page.list_flags())').split()
  shown = [line[4:] for line in lines if line.startswith('  --')]
  for name in defined:
    count = sum(each.split('=')[0].split(' ')[0] == name for each in shown)
    hidden = name in _SET.get(command.rpartition('.')[2], ())
    assert count == (0 if hidden else 1), name


@pytest.mark.parametrize('command', _COMMANDS)
def test_version_is_that_of_the_package(command):
  said = _python(*_words(command), '--version', '--no_such_flag')
  assert said == f'hpa-records {hpa_records.__version__}\n'


def test_each_package_lists_its_commands():
  lines = [
      line for package in _PACKAGES
      for line in _python('-m', package).splitlines()
  ]
  assert [line.split()[0] for line in lines
         ] == [_script(each) for each in _COMMANDS]
  assert all(line.endswith('.') and len(line) <= 80 for line in lines)


def _list_in_shell(package, line):
  return subprocess.run(
      ['bash', '-o', 'pipefail', '-c', line, sys.executable, package],
      cwd=_ROOT,
      check=False,
      capture_output=True,
      text=True)


@pytest.mark.parametrize('package', _PACKAGES)
def test_a_list_whose_reader_is_gone_ends_quietly(package):
  done = _list_in_shell(package, '"$0" -m "$1" | true')
  assert (done.returncode, done.stderr) == (141, '')


@pytest.mark.parametrize('package', _PACKAGES)
@pytest.mark.parametrize('rest,message', [
    ('make_records --csv=x', "received 'make_records'"),
    ('> /dev/full', 'No space left on device'),
])
def test_a_list_that_cannot_be_or_is_not_meant_is_one_line(
    package, rest, message):
  done = _list_in_shell(package, f'"$0" -m "$1" {rest}')
  assert (done.returncode, done.stdout) == (2, '')
  assert message in done.stderr and done.stderr.count('\n') == 1


_LOOK = """
import os, signal, sys
print(sys.argv, os.getcwd(), os.environ['SET'], 'tensorflow' in sys.modules,
      __name__, sys.stdin.read(), sys.stdout.isatty(), flush=True)
"""


@pytest.mark.parametrize('end', [
    '', 'sys.exit(3)', 'sys.exit("said")', 'raise ValueError("said")',
    'import no_such', 'os._exit(4)', 'signal.raise_signal(signal.SIGTERM)',
    'signal.raise_signal(signal.SIGKILL)'
])
def test_a_prestarted_process_is_as_any_other(end, tmp_path):
  found = []
  for python in ((sys.executable,), prestarted.find_python()):
    done = subprocess.run([*python, '-c', _LOOK + end, 'a'],
                          input='heard',
                          cwd=tmp_path,
                          env=os.environ | {'SET': 'b'},
                          check=False,
                          capture_output=True,
                          text=True)
    said = done.stderr.splitlines()[-1:]
    found.append((done.returncode, done.stdout, said))
  assert found[0] == found[1] and 'heard' in found[0][1]


def test_a_prestarted_process_stops_goes_on_and_ends_with_its_client():
  code = ('import os, signal\nprint(os.getpid(), flush=True)\n'
          'signal.raise_signal(signal.SIGSTOP)\nprint("on", flush=True)\n'
          'signal.pause()')
  with subprocess.Popen([*prestarted.find_python(), '-c', code],
                        stdout=subprocess.PIPE,
                        text=True) as client:
    command = int(client.stdout.readline())
    signalled.wait_stopped(client)
    client.send_signal(signal.SIGCONT)
    assert client.stdout.readline() == 'on\n'
    os.kill(command, 0)
    client.kill()
    assert client.stdout.read() == ''  # which the command had, too


def test_each_command_has_a_console_script():
  parser = configparser.ConfigParser(delimiters='=')
  parser.read(_ROOT / 'setup.cfg')
  said = parser['options.entry_points']['console_scripts'].split('\n')
  scripts = dict(line.split(' = ') for line in said if line)
  assert scripts == {
      _script(each): each.replace('.commands.', '.__main__:')
      for each in _COMMANDS
  }


@pytest.fixture(name='installed', scope='module')
def _installed(tmp_path_factory):
  """An environment with the wheel of this checkout, which sees the packages of
  this one but not its editable install."""
  folder = tmp_path_factory.mktemp('wheel')
  source = folder / 'source'
  source.mkdir()
  for name in (*_PACKAGES, 'setup.cfg', 'pyproject.toml', 'README.md',
               'LICENSE'):
    copy = shutil.copytree if (_ROOT / name).is_dir() else shutil.copy
    copy(_ROOT / name, source / name)
  venv.create(folder / 'env')
  site = pathlib.Path(
      sysconfig.get_path('purelib', 'venv', {'base': str(folder / 'env')}))
  (site / 'others.pth').write_text(sysconfig.get_path('purelib'))
  pip = [sys.executable, '-m', 'pip', '--quiet']
  subprocess.run([
      *pip, 'wheel', '--no-deps', '--no-build-isolation',
      f'--wheel-dir={folder}', source
  ],
                 check=True)
  subprocess.run([
      *pip, f'--python={folder}/env/bin/python', 'install', '--no-deps',
      *folder.glob('*.whl')
  ],
                 check=True)
  return folder / 'env' / 'bin', site


def _run_away(folder, *words, code=0):
  """Runs a command of the wheel in another folder; returns what it said."""
  environment = {**os.environ}
  environment.pop('PYTHONPATH', None)
  done = subprocess.run(words,
                        cwd=folder,
                        env=environment,
                        check=False,
                        capture_output=True,
                        text=True)
  assert done.returncode == code, done.stderr
  return done.stderr if code else done.stdout


def test_a_wheel_holds_all_files_of_the_packages(installed):
  for package in _PACKAGES:
    wanted, found = ({
        path.relative_to(root)
        for path in (root / package).rglob('*')
        if path.is_file() and path.suffix != '.pyc'
    }
                     for root in (_ROOT, installed[1]))
    assert found == wanted


def test_commands_of_a_wheel_run_away_from_the_checkout(installed, tmp_path):
  binaries, site = installed
  for package in _PACKAGES:
    said = _run_away(tmp_path, binaries / 'python', '-c',
                     f'import {package}; print({package}.__file__)')
    assert said.strip() == str(site / package / '__init__.py')
  for command in _COMMANDS:
    said = _run_away(tmp_path, binaries / _script(command), '--version')
    assert said == f'hpa-records {hpa_records.__version__}\n'


@pytest.mark.soak
def test_a_wheel_does_the_main_job(installed, tmp_path):
  binaries, _ = installed
  for script, *words in (
      ('hpa-make-sample-data', '--output=data', '--num_samples=40',
       '--size_px=64', '--workers=2'),
      ('hpa-make-records', '--csv=data/train.csv', '--images=data/train',
       '--output=records', '--image_size=32', '--num_folds=2', '--workers=2'),
      ('hpa-verify-records', '--records=records', '--deep', '--workers=2'),
      ('hpa-train', '--records=records', '--workdir=run', '--epochs=1',
       '--batch_size=16', '--distribute=cpu'),
      ('hpa-report', '--workdir=run'),
  ):
    _run_away(tmp_path, binaries / script, *words)
  assert (tmp_path / 'run' / 'report.html').exists()
  # The trainer that it starts refuses it.
  said = _run_away(tmp_path,
                   binaries / 'hpa-run-paper',
                   '--records=records',
                   '--workdir=paper',
                   '--stage_dir=records',
                   code=2)
  assert '--stage_dir' in said and 'are the same path' in said
