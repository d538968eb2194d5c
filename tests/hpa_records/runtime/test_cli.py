"""cli and progress: exit codes, one line, a readable log."""

import os
import pathlib
import subprocess
import sys

import pytest

from hpa_records.runtime import progress

_ROOT = pathlib.Path(__file__).parents[3]

_SCRIPT = '''
from absl import flags
from hpa_records.runtime import cli
from hpa_records.runtime import errors
flags.DEFINE_integer("n", 0, "")
def main():
  {body}
cli.run(main)
'''

_SUBCOMMANDS = '''
from absl import flags
from hpa_records.runtime import cli
N = flags.DEFINE_integer("n", 0, "")
cli.run(subcommands={{"one": lambda: print("one", N.value),
                         "two": lambda: print("two", N.value)}})
'''


def _run(body, *flags, script=_SCRIPT):
  code = script.format(body=body)
  return subprocess.run([sys.executable, '-c', code, *flags],
                        check=False,
                        capture_output=True,
                        text=True)


@pytest.mark.parametrize('body,flags,code,lines', [
    ('pass', [], 0, 0),
    ('raise errors.DataError("Expected a, received b.")', [], 2, 1),
    ('raise KeyboardInterrupt', [], 130, 1),
    ('raise MemoryError', [], 1, 1),
    ('raise OSError(24, "Too many open files")', [], 1, 1),
    ('raise RuntimeError("can\'t start new thread")', [], 1, 1),
    ('pass', ['--n=x'], 2, 1),
    ('pass', ['--m=1'], 2, 1),
    ('pass', ['--nohelpfull=1'], 2, 1),
    ('pass', ['word'], 2, 1),
])
def test_exit_codes_and_lines(body, flags, code, lines):
  done = _run(body, *flags)
  assert (done.returncode, len(done.stderr.splitlines())) == (code, lines)


def test_a_long_value_is_not_repeated():
  done = _run('pass', f'--n={"x" * 10**5}')
  assert done.returncode == 2 and len(done.stderr) < 1000
  assert '--n=xxx' in done.stderr and '--help lists' in done.stderr


def test_a_folder_that_is_gone_is_told(tmp_path):
  (tmp_path / 'gone').mkdir()
  done = subprocess.run(
      f'cd {tmp_path}/gone; rmdir ../gone; exec {sys.executable} '
      f'{_ROOT}/tools/inspect_records.py --records=x',
      shell=True,
      check=False,
      capture_output=True,
      text=True)
  assert done.returncode == 2
  assert done.stderr.startswith('The current folder was removed;')
  assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize('words,said', [
    (['one'], 'one 0'),
    (['two', '--n=3'], 'two 3'),
    (['--n=3', 'two'], 'two 3'),
])
def test_a_word_chooses_the_subcommand(words, said):
  done = _run('', *words, script=_SUBCOMMANDS)
  assert (done.returncode, done.stdout.strip()) == (0, said)


@pytest.mark.parametrize('words,received', [
    ([], 'none'),
    (['three'], "'three'"),
    (['one', 'two'], "'two'"),
    (['--n=3'], 'none'),
])
def test_another_word_or_none_is_refused_in_one_line(words, received):
  done = _run('', *words, script=_SUBCOMMANDS)
  assert (done.returncode, done.stdout) == (2, '')
  assert f'received {received}; write ' in done.stderr
  assert done.stderr.count('\n') == 1


def test_a_bug_of_ours_keeps_its_traceback():
  done = _run('raise RuntimeError("ours")')
  assert done.returncode == 1
  assert 'Traceback' in done.stderr and 'RuntimeError: ours' in done.stderr


def _run_in_shell(line, body, **environment):
  """Runs a line of bash in which COMMAND is a command with that body."""
  code = _SCRIPT.format(body=body)
  return subprocess.run([
      'bash', '-o', 'pipefail', '-c',
      line.replace('COMMAND', '"$0" -c "$1"'), sys.executable, code
  ],
                        check=False,
                        capture_output=True,
                        text=True,
                        env=os.environ | environment)


_PRINT_MUCH = 'print("a line\\n" * 100000); print("more")'


@pytest.mark.parametrize('flag', ['--help', '--helpshort', '--helpfull'])
def test_help_ends_with_0(flag):
  done = _run('pass', flag)
  assert (done.returncode, done.stderr) == (0, '')
  assert '--n' in done.stdout


@pytest.mark.parametrize('line,code,said', [
    ('COMMAND | head -1', 141, 0),
    ('COMMAND --helpfull | true', 141, 0),
    ('COMMAND >&-', 0, 0),
    ('COMMAND 2>&-', 0, 0),
    ('COMMAND >/dev/full', 2, 1),
    ('COMMAND 2>/dev/full', 0, 0),
])
def test_output_that_nobody_takes_is_no_traceback(line, code, said):
  done = _run_in_shell(line, _PRINT_MUCH)
  assert (done.returncode, done.stderr.count('\n')) == (code, said), done.stderr


def test_wrong_input_is_told_though_output_is_closed():
  body = f'{_PRINT_MUCH}; raise errors.DataError("wrong")'
  done = _run_in_shell('COMMAND >/dev/null', body)
  assert (done.returncode, done.stderr) == (2, 'wrong\n')


def test_what_is_opened_does_not_become_a_closed_stdout(tmp_path):
  body = (f'f = open("{tmp_path}/f", "w"); import os; os.write(1, b"lost"); '
          'f.write("kept"); f.close()')
  assert _run_in_shell('COMMAND >&-', body).returncode == 0
  assert (tmp_path / 'f').read_text() == 'kept'


def test_an_ascii_terminal_gets_escapes():
  done = _run_in_shell('COMMAND',
                       'print("±"); raise errors.DataError("µ")',
                       PYTHONIOENCODING='ascii')
  assert (done.stdout, done.stderr) == ('\\xb1\n', '\\xb5\n')


@pytest.mark.parametrize('limit_kb,body', [
    (900000, 'pass'),
    (4000000, 'from hpa_records.runtime import tensorflow'),
])
def test_too_little_address_space_is_one_line(limit_kb, body):
  done = _run_in_shell(f'ulimit -v {limit_kb}; COMMAND', body)
  assert done.returncode == 2
  assert done.stderr.startswith(f'The limit of address space is {limit_kb} kB')
  assert done.stderr.count('\n') == 1


def test_ctrl_c_during_imports_is_one_line(tmp_path):
  (tmp_path / 'slow.py').write_text(
      'import os, signal; os.kill(os.getpid(), signal.SIGINT); '
      'print("went on")')
  code = 'from hpa_records.runtime import cli; cli.start("slow")'
  done = subprocess.run([sys.executable, '-c', code],
                        env={
                            **os.environ, 'PYTHONPATH': f'{tmp_path}:{_ROOT}'
                        },
                        check=False,
                        capture_output=True,
                        text=True)
  assert (done.returncode, done.stdout) == (130, '')
  assert done.stderr.startswith('Interrupted;') and done.stderr.count('\n') == 1


def test_without_a_terminal_progress_is_a_plain_line(capsys):
  with progress.Bar('convert', 10, 'samples') as shown:
    shown.advance(4)
    shown.advance(6, 'loss 0.5')
  said = capsys.readouterr().err
  assert said.startswith('convert: 10/10 samples, ')
  assert said.endswith('/s, 0 s left, loss 0.5\n') and said.count('\n') == 1


def test_a_block_that_fails_does_not_claim_to_be_done(capsys):
  with pytest.raises(RuntimeError):
    with progress.Bar('convert', 10, 'samples') as shown:
      shown.advance(4)
      raise RuntimeError('stopped')
  assert not capsys.readouterr().err


def test_a_command_ends_while_tensorflow_reads_ahead():
  # At Python's own end TensorFlow would wait for the reading for ever.
  body = ('import time; from hpa_records.runtime.tensorflow import tf; '
          'slow = lambda x: (time.sleep(.02), x)[1]; '
          'data = tf.data.Dataset.range(10**6).map(lambda x: tf.numpy_function('
          'slow, [x], tf.int64)).prefetch(8); '
          'strategy = tf.distribute.MirroredStrategy(["CPU:0"]); '
          'kept = iter(strategy.experimental_distribute_dataset(data)); '
          'next(kept); __import__("builtins").kept = kept; print("read")')
  code = ('from hpa_records.runtime import cli; '
          f'cli.run(lambda: exec({body!r}, {{}}))')
  done = subprocess.run([sys.executable, '-c', code],
                        cwd=_ROOT,
                        check=False,
                        capture_output=True,
                        text=True)
  assert (done.returncode, done.stdout) == (0, 'read\n'), done.stderr
