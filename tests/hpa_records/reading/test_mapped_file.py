"""Mapped files: what they hold, and what is left of whoever met a hole."""

import mmap
import os
import pathlib
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest

from hpa_records.reading import mapped_file

_ROOT = pathlib.Path(__file__).parents[3]
_NUM_BYTES = 50 * mmap.PAGESIZE + 7

_MEETS_A_HOLE = """
import mmap, os, sys
from hpa_records.reading import mapped_file
mapped_file.MappedFile(sys.argv[1])
with open(sys.argv[1], 'r+b') as file:
  other = mmap.mmap(file.fileno(), 0)
os.truncate(sys.argv[1], 0)
other[0]
"""


@pytest.fixture(name='path')
def _path(tmp_path):
  path = tmp_path / 'file'
  content = np.random.default_rng(0).integers(0, 256, _NUM_BYTES, np.uint8)
  path.write_bytes(content.tobytes())
  return path


def test_content_is_the_file_s(path):
  file = mapped_file.MappedFile(str(path))
  for offset, num_bytes in ((0, 1), (mmap.PAGESIZE + 5, 3 * mmap.PAGESIZE),
                            (_NUM_BYTES - 9, 9)):
    file.prefetch(offset, num_bytes)
  assert file.content.tobytes() == path.read_bytes() and not file.is_torn
  with pytest.raises(ValueError):
    file.content[0] = 1


def test_a_part_that_is_gone_reads_as_zeros_and_is_marked(path):
  expected = np.fromfile(path, np.uint8)
  file, whole = mapped_file.MappedFile(str(path)), 9 * mmap.PAGESIZE
  os.truncate(path, whole)
  assert np.array_equal(file.content[:whole], expected[:whole])
  assert not file.is_torn
  found = np.empty(_NUM_BYTES, np.uint8)
  found[:] = file.content
  assert file.is_torn
  assert np.array_equal(found[:whole], expected[:whole])
  assert not found[whole:].any()


@pytest.mark.parametrize('seed', range(20))
def test_a_file_that_is_cut_while_threads_copy_is_marked(path, seed):
  file = mapped_file.MappedFile(str(path))

  def copy():
    found = np.empty(_NUM_BYTES, np.uint8)
    while not file.is_torn:
      found[:] = file.content

  threads = [threading.Thread(target=copy) for _ in range(3)]
  for each in threads:
    each.start()
  os.truncate(path, int(np.random.default_rng(seed).integers(_NUM_BYTES // 2)))
  for each in threads:
    each.join(240)
  assert file.is_torn and not any(each.is_alive() for each in threads)


def test_a_hole_in_someone_else_s_file_ends_the_process(path):
  done = subprocess.run([sys.executable, '-c', _MEETS_A_HOLE,
                         str(path)],
                        cwd=_ROOT,
                        check=False)
  assert done.returncode == -signal.SIGBUS
