"""flag_file: byte-order marks, comments, nested files."""

from absl import flags
import pytest

from hpa_records.runtime import errors
from hpa_records.runtime import flag_file


@pytest.mark.parametrize('data,found', [
    (b'--a=1\n--b=x y\n', ['--a=1', '--b=x y']),
    (b'\xef\xbb\xbf# comment\r\n--a=1\r\n\r\n', ['--a=1']),
    (b'  # comment\n // too\n  --a=1  ', ['--a=1']),
    (b'', []),
])
def test_lines_are_flags(tmp_path, data, found):
  path = tmp_path / 'run.flags'
  path.write_bytes(data)
  for words in ([f'--flagfile={path}'], ['--flagfile', str(path)]):
    assert flag_file.expand(['--z=0', *words, 'w']) == ['--z=0', *found, 'w']


def test_files_include_files_and_home_is_expanded(tmp_path, monkeypatch):
  monkeypatch.setenv('HOME', str(tmp_path))
  (tmp_path / 'one').write_text('--a=1\n--flagfile=~/two\n--c=3')
  (tmp_path / 'two').write_text('--b=2')
  assert flag_file.expand(['--flagfile=~/one']) == ['--a=1', '--b=2', '--c=3']


def test_the_number_of_nested_files_is_limited(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  for i in range(40):
    (tmp_path / str(i)).write_text(f'--flagfile={i + 1}\n' * 2)
  (tmp_path / '40').write_text('')
  with pytest.raises(errors.DataError, match='More than 100 flag files'):
    flag_file.expand(['--flagfile=0'])


def test_files_are_split_from_flags():
  words = ['--a', '--b=1', '--flagfile', 'x', '-flagfile=y z', '--flagfile=']
  assert flag_file.split(words) == ([
      '--flagfile=x', '--flagfile=y z', '--flagfile='
  ], ['--a', '--b=1'])


def test_arguments_after_two_dashes_are_kept():
  assert flag_file.expand(['--', '--flagfile=x']) == ['--', '--flagfile=x']


@pytest.mark.parametrize('data,message', [
    (None, 'No flag file .*'),
    ('--a=1'.encode('utf-16'), 'is not UTF-8 text'),
    (b'--a=~\0x', 'is not UTF-8 text'),
    (b'--flagfile=run.flags', 'includes itself'),
    (b'#' * (2**20 + 1), 'more than 1,048,576 characters'),
])
def test_invalid_flag_files_are_refused(tmp_path, monkeypatch, data, message):
  monkeypatch.chdir(tmp_path)
  if data is not None:
    (tmp_path / 'run.flags').write_bytes(data)
  with pytest.raises(errors.DataError, match=message):
    flag_file.expand(['--flagfile=run.flags'])


def test_a_flag_file_needs_a_name():
  with pytest.raises(flags.Error, match='needs the name'):
    flag_file.expand(['--flagfile'])


def test_a_missing_included_file_is_named(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  path = tmp_path / 'elsewhere' / 'demo.flags'
  path.parent.mkdir()
  path.write_text('--flagfile=prelu.flags')
  with pytest.raises(errors.DataError,
                     match=f'No flag file prelu.flags, included by {path}'):
    flag_file.expand([f'--flagfile={path}'])
