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


def _run(body, *flags):
  code = _SCRIPT.format(body=body)
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
  assert said.endswith('/s, 0 s left loss 0.5\n') and said.count('\n') == 1


def test_a_block_that_fails_does_not_claim_to_be_done(capsys):
  with pytest.raises(RuntimeError):
    with progress.Bar('convert', 10, 'samples') as shown:
      shown.advance(4)
      raise RuntimeError('stopped')
  assert not capsys.readouterr().err
