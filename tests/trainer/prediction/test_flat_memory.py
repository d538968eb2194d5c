"""predict and embed: memory does not grow with the number of images."""

import os
import subprocess
import sys

from pyarrow import parquet
import pytest

from tests.support import runs

_FEW, _MANY = 1000, 10_000
_MOST_MORE_MIB = 60  # names and files of 9,000 samples; pixels would be 35 more
# ru_maxrss would have the peak of this process, which it was forked from.
_TELL = '''
import atexit, pathlib, re, runpy, sys
path = pathlib.Path(sys.argv.pop(1))
sys.argv.pop(0)
def tell():
  status = pathlib.Path('/proc/self/status').read_text()
  path.write_text(re.search('VmHWM: *\\t* *([0-9]+)', status)[1])
atexit.register(tell)
runpy.run_path(sys.argv[0], run_name='__main__')
'''


def _link_images(folder, source, count):
  """A folder of that many samples, whose files are links to four files."""
  folder.mkdir()
  for channel in ('red', 'green', 'blue', 'yellow'):
    file = source / f's0_{channel}.png'
    for number in range(count):
      os.link(file, folder / f'new{number:05d}_{channel}.png')
  return folder


def _find_peak_mib(tmp_path, script, *words):
  """Runs a command; returns the peak memory of its process."""
  done = subprocess.run(
      [sys.executable, '-c', _TELL, tmp_path / 'peak', script, *words],
      cwd=runs.ROOT,
      capture_output=True,
      text=True,
      check=False)
  assert done.returncode == 0, done.stderr
  return int((tmp_path / 'peak').read_text()) / 1024


@pytest.mark.soak
@pytest.mark.parametrize('script,ending,more', [
    ('predict', '.csv', ('--tta=none',)),
    ('embed', '.parquet', ()),
])
def test_ten_thousand_images_take_the_memory_of_one_thousand(
    made, tmp_path, script, ending, more):
  peaks = []
  for count in (_FEW, _MANY):
    images = _link_images(tmp_path / str(count), made.parent / 'train', count)
    output = tmp_path / f'{count}{ending}'
    peaks.append(
        _find_peak_mib(tmp_path, f'tools/{script}.py', f'--workdir={made}',
                       f'--images={images}', f'--output={output}', *more))
    if ending == '.csv':
      assert len(output.read_text().splitlines()) == count + 1
    else:
      assert parquet.read_metadata(output).num_rows == count
  print(f'{script}: peak memory of {_FEW} and {_MANY} images: {peaks} MiB')
  assert peaks[1] < peaks[0] + _MOST_MORE_MIB
