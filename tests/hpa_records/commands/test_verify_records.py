"""commands/verify_records: what it prints and how it ends."""

import pytest

from tests.support import forgery
from tests.support import prestarted


@pytest.fixture(name='folder')
def _folder(tmp_path):
  return forgery.write_dataset(tmp_path)


def _run_tool(*flags):
  return prestarted.run(['tools/verify_records.py', *flags])


def test_tool_says_in_one_line_that_all_is_sound(folder):
  done = _run_tool(f'--records={folder}', '--deep', '--workers=1')
  assert done.returncode == 0, done.stderr
  assert done.stdout.startswith('20 records in 5 shards are valid (every field')
  assert len(done.stdout.splitlines()) == 1


def test_tool_ends_with_2_and_a_line_an_issue(folder):
  paths = sorted(folder.glob('*.tfrecord'))
  paths[0].write_bytes(b'')
  paths[1].unlink()
  done = _run_tool(f'--records={folder}')
  assert done.returncode == 2 and not done.stdout
  assert f'at {folder}; copy or convert it again. 2 issues:\n' in done.stderr
  for path in paths[:2]:
    assert f'\n  {path.name}: ' in done.stderr
  assert 'Traceback' not in done.stderr


@pytest.mark.parametrize('flags,message', [
    ([], 'pass --records=PATH'),
    (['--records=nowhere'], 'in nowhere: manifest.json is missing'),
    (['--records=.', '--workers=-1'], '--workers'),
])
def test_wrong_flags_end_with_one_line_and_exit_code_2(flags, message):
  done = _run_tool(*flags)
  assert done.returncode == 2
  assert message in done.stderr and len(done.stderr.splitlines()) == 1
