"""command and progress: exit codes, one line, a readable log."""

import subprocess
import sys

import pytest

from hpa_records import progress

_SCRIPT = '''
from absl import flags
from hpa_records import command, schema
flags.DEFINE_integer("n", 0, "")
def main():
  {body}
command.run(main)
'''

_SUBCOMMANDS = '''
from absl import flags
from hpa_records import command
N = flags.DEFINE_integer("n", 0, "")
command.run(subcommands={{"one": lambda: print("one", N.value),
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
    ('raise schema.DataError("Expected a, received b.")', [], 2, 1),
    ('raise KeyboardInterrupt', [], 130, 1),
    ('pass', ['--n=x'], 2, 1),
    ('pass', ['--m=1'], 2, 1),
    ('pass', ['word'], 2, 1),
])
def test_exit_codes_and_lines(body, flags, code, lines):
  done = _run(body, *flags)
  assert (done.returncode, len(done.stderr.splitlines())) == (code, lines)


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


def test_a_fault_of_ours_keeps_its_traceback():
  done = _run('raise RuntimeError("ours")')
  assert done.returncode == 1
  assert 'Traceback' in done.stderr and 'RuntimeError: ours' in done.stderr


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
