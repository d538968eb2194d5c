"""os_error: the cause, and the remedy that helps."""

import errno
import os

import pytest

from hpa_records import os_error


@pytest.mark.parametrize('number,remedy', [
    (errno.EMFILE, 'ulimit -n'),
    (errno.EIO, 'the disk or the network failed'),
    (errno.EACCES, 'check the rights'),
    (errno.EISDIR, 'check the file'),
])
def test_a_file_that_cannot_be_read_is_told(number, remedy):
  error = OSError(number, os.strerror(number))
  told = str(os_error.describe_read('a/b', error))
  assert told.startswith(f'Cannot read a/b: {os.strerror(number)}; ')
  assert remedy in told and 'convert' not in told


def test_a_text_that_names_the_cause_is_enough():
  told = os_error.explain_text('UNKNOWN: x.tfrecord; Too many open files [Op:]')
  assert told.startswith('Too many open files; raise the limit')
  assert not os_error.explain_text('truncated record at 0')
