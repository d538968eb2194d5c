"""errors: the cause, and its remedy."""

import errno
import os
import pickle

import pytest

from hpa_records.conversion.output import output_lock
from hpa_records.ingest import image_folder
from hpa_records.runtime import errors
from hpa_records.storage import path_check


@pytest.mark.parametrize('number,remedy', [
    (errno.EMFILE, 'ulimit -n'),
    (errno.EIO, 'the disk or the network failed'),
    (errno.EACCES, 'check the permissions'),
    (errno.EISDIR, 'pass a file'),
    (errno.ENOTDIR, 'a part of the path is a file: check the path'),
    (errno.ENXIO, 'check the path'),
])
def test_an_unreadable_file_has_its_remedy(number, remedy):
  error = OSError(number, os.strerror(number))
  told = str(errors.describe_read('a/b', error))
  assert told.startswith(f'Cannot read a/b: {os.strerror(number)}; ')
  assert remedy in told and 'convert' not in told and 'move' not in told


def test_remedies_are_found_from_a_message():
  told = errors.explain_text('UNKNOWN: x.tfrecord; Too many open files [Op:]')
  assert told.startswith('Too many open files; raise the limit')
  assert not errors.explain_text('truncated record at 0')


@pytest.mark.parametrize('number,remedy', [
    (errno.ENOSPC, 'free some space'),
    (errno.EDQUOT, 'quota'),
    (errno.EMFILE, 'ulimit -n'),
    (errno.EACCES, 'permissions'),
    (errno.EROFS, 'mount that disk for writing'),
    (errno.ENAMETOOLONG, 'shorter'),
    (errno.EIO, 'check them'),
    (errno.EISDIR, 'a folder of that name exists: move it'),
    (errno.ENOTDIR, 'is a file or a link: move it'),
])
def test_each_cause_of_a_failed_write_has_its_remedy(number, remedy):
  error = OSError(number, os.strerror(number), '/out/file')
  told = str(errors.describe_write('/out', error, 'Then go on.'))
  assert os.strerror(number) in told and '/out/file' in told
  assert remedy in told and told.endswith('Then go on.')
  assert '\n' not in told


def test_dangling_links_are_found(tmp_path):
  (tmp_path / 'disk').symlink_to(tmp_path / 'none')
  (tmp_path / 'loop').symlink_to(tmp_path / 'loop')
  for name in ('disk', 'loop'):
    link = str(tmp_path / name)
    for path in (link, f'{link}/a/b'):
      assert errors.find_dangling_link(path).startswith(f'{link} is a link')
    with pytest.raises(errors.DataError, match='which does not exist'):
      path_check.prepare_output(f'{link}/a/report.html')
  assert errors.find_dangling_link(str(tmp_path / 'new')) == ''


def test_a_newline_in_a_link_target_is_escaped(tmp_path):
  (tmp_path / 'disk').symlink_to('none\nAll is well.')
  told = errors.find_dangling_link(str(tmp_path / 'disk'))
  assert 'a link to none\\nAll is well., which' in told
  (tmp_path / '.unfinished').symlink_to('none\nAll is well.')
  with pytest.raises(errors.DataError) as error:
    output_lock.refuse_links(str(tmp_path))
  assert len(str(error.value).splitlines()) == 1
  listed = image_folder.scan(str(tmp_path), ['a_red.png'])
  assert not [each for each in listed.others.values() if '\n' in each]


@pytest.mark.parametrize('number', [errno.EACCES, errno.EIO, errno.EMFILE])
def test_unreadable_files_are_distinguished_from_damaged_ones(number):
  error = OSError(number, os.strerror(number))
  told = errors.find_unread('/run/file', error)
  assert isinstance(told, errors.UnreadError)
  assert f'Cannot read /run/file: {os.strerror(number)}; ' in str(told)
  try:
    raise errors.describe_read('/run/file', error) from error
  except errors.DataError as described:
    assert errors.find_unread('/run/file', described)
  for other in (FileNotFoundError(errno.ENOENT, 'none'), ValueError('half'),
                errors.DataError('half')):
    assert errors.find_unread('/run/file', other) is None


def test_the_errno_of_a_message_is_found():
  text = f'events.out; {os.strerror(errno.EFBIG)}'
  assert errors.find_number(text) == errno.EFBIG
  assert errors.find_number('damaged') == 0


@pytest.mark.parametrize('error', [
    errors.DataError('wrong: a', 'a'),
    errors.UnreadError('wrong: a', 'a'),
    pickle.loads(pickle.dumps(errors.UnreadError('wrong: a', 'a')))
])
def test_an_error_with_a_path_prints_its_message_alone(error):
  assert str(error) == 'wrong: a'
  assert error.args == ('wrong: a', 'a')
