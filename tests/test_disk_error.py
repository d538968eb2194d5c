"""disk_error: the line names the cause and the remedy that helps."""

import errno
import os

import pytest

from hpa_records import disk_error
from hpa_records import filesystem
from hpa_records import schema


@pytest.mark.parametrize('number,remedy', [
    (errno.ENOSPC, 'Free some space'),
    (errno.EDQUOT, 'quota'),
    (errno.EMFILE, 'ulimit -n'),
    (errno.EACCES, 'permissions'),
    (errno.EROFS, 'Mount that disk for writing'),
    (errno.ENAMETOOLONG, 'shorter'),
    (errno.EIO, 'Check that disk'),
])
def test_each_cause_has_its_remedy(number, remedy):
  error = OSError(number, os.strerror(number), '/out/file')
  told = str(filesystem.write_error('/out', error))
  assert os.strerror(number) in told and '/out/file' in told
  assert remedy in told and 'finished shards are kept' in told
  assert '\n' not in told


def test_links_that_lead_nowhere_are_found(tmp_path):
  (tmp_path / 'disk').symlink_to(tmp_path / 'none')
  (tmp_path / 'loop').symlink_to(tmp_path / 'loop')
  for name in ('disk', 'loop'):
    link = str(tmp_path / name)
    for path in (link, f'{link}/a/b'):
      assert disk_error.find_dangling_link(path).startswith(f'{link} is a link')
    with pytest.raises(schema.DataError, match='which does not exist'):
      filesystem.prepare_output(f'{link}/a/report.html')
  assert disk_error.find_dangling_link(str(tmp_path / 'new')) == ''
