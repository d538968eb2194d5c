"""byte_ranges: ranges that come, and servers that fail."""

import gc
import subprocess
import sys
import threading
import tracemalloc

import numpy as np
import pytest

from hpa_records.storage import byte_ranges
from hpa_records.storage import direct_request
from hpa_records.storage import driver
from hpa_records.storage import filesystem
from hpa_records.storage import storage_error
from tests.support import web_server

_BYTES = np.random.default_rng(0).integers(256, size=10**6, dtype=np.uint8)


@pytest.fixture(name='server')
def _server(tmp_path):
  for name in 'ab':
    (tmp_path / name).write_bytes(_BYTES.tobytes())
  with web_server.serve(tmp_path) as server:
    yield server


def _fetch(addresses, starts, ends):
  """Each range's bytes; raises the first error."""
  found = {}
  for place, data, error in byte_ranges.Fetch(addresses, starts,
                                              ends).results():
    if error:
      raise error
    found[place] = data
  return [found[i] for i in range(len(starts))]


@pytest.mark.parametrize('scheme', ['http', 'memory'])
def test_ranges_of_several_files_in_any_order(server, scheme):
  address = server.address if scheme == 'http' else 'memory://byte_ranges'
  if scheme == 'memory':
    for name in 'ab':
      filesystem.write_atomically(f'{address}/{name}', _BYTES.tobytes())
  rng = np.random.default_rng(1)
  starts = rng.integers(10**6 - 5000, size=200)
  ends = starts + rng.integers(1, 5000, size=200)
  paths = [f'{address}/{"ab"[i]}' for i in rng.integers(2, size=200)]
  for start, end, data in zip(starts, ends,
                              _fetch(paths, starts.tolist(), ends.tolist())):
    np.testing.assert_array_equal(data, _BYTES[start:end])


def test_neighbours_are_one_request_and_distant_ranges_are_not(server):
  starts = [0, 1000, 2000, 900000]
  _fetch([f'{server.address}/a'] * 4, starts, [at + 900 for at in starts])
  assert sorted(said for _, said in server.requests) == [
      'bytes=0-2899', 'bytes=900000-900899'
  ]


@pytest.mark.parametrize('status', [429, 500, 503])
def test_a_failure_that_passes_is_tried_again(server, status):
  _fetch([f'{server.address}/a'], [5], [9])  # it has answered before
  server.fault = lambda path, number: status if number <= 3 else 0
  data, = _fetch([f'{server.address}/a'], [5], [9])
  np.testing.assert_array_equal(data, _BYTES[5:9])
  assert len(server.requests) == 4


@pytest.mark.parametrize('status,message', [(403, 'is denied .HTTP 403'),
                                            (404, '/a does not exist')])
def test_a_failure_that_stays_is_not(server, status, message):
  server.fault = lambda path, number: status
  with pytest.raises(storage_error.StorageError, match=message) as caught:
    _fetch([f'{server.address}/a'], [5], [9])
  assert len(server.requests) == 1 and '\n' not in str(caught.value)


def test_an_error_leaves_the_other_ranges(server):
  paths = [f'{server.address}/{name}' for name in ('a', 'missing', 'b')]
  found = {
      place: error
      for place, _, error in byte_ranges.Fetch(paths, [0] * 3, [9] *
                                               3).results()
  }
  assert found[0] is found[2] is None and 'missing does not' in str(found[1])


def test_a_short_answer_is_an_error(server):
  server.lost_bytes = 2
  with pytest.raises(storage_error.StorageError,
                     match='Expected bytes 5-8 of .*/a, received 2 bytes'):
    _fetch([f'{server.address}/a'], [5], [9])


def test_bytes_after_the_end_of_a_file_are_an_error(server):
  with pytest.raises(storage_error.StorageError, match='received 5 bytes'):
    _fetch([f'{server.address}/a'], [10**6 - 5], [10**6 + 5])


def test_a_server_without_ranges_is_one_clear_error(server):
  server.has_ranges = False
  with pytest.raises(storage_error.StorageError,
                     match='does not support byte ranges'):
    _fetch([f'{server.address}/a'], [5], [9])


def test_what_was_taken_is_not_kept(server):
  count, size = 20, 40_000
  tracemalloc.start()
  try:
    before = tracemalloc.get_traced_memory()[0]
    fetch = byte_ranges.Fetch([f'{server.address}/a'] * count,
                              [2 * size * i // 2 for i in range(count)],
                              [size * i + size // 2 for i in range(count)])
    assert sum(len(data) for _, data, _ in fetch.results()) == count * size // 2
    kept = tracemalloc.get_traced_memory()[0] - before
  finally:
    tracemalloc.stop()
  assert kept < count * size // 4


def test_what_is_not_needed_any_more_is_not_requested(server):
  go_on, count = threading.Event(), 150  # more than in flight
  paths = [f'{server.address}/{i}' for i in range(count)]
  for i in range(count):
    (server.folder / str(i)).write_bytes(b'content')

  def block(path, number):
    del path, number
    go_on.wait(60)
    return 0

  server.fault = block
  rest = byte_ranges.Fetch(paths, [0] * count, [7] * count)
  del rest
  gc.collect()
  go_on.set()
  data, = _fetch([f'{server.address}/b'], [5], [9])
  np.testing.assert_array_equal(data, _BYTES[5:9])
  assert len(server.requests) < count


@pytest.mark.parametrize('change', ['none', 'no ranges', 'compressed'])
def test_the_short_way_gives_the_bytes_or_leaves_them_to_the_driver(
    server, change):
  path = f'{server.address}/a'
  found = driver.find_server(path)
  assert direct_request.fetch(path, 5, 9) is None  # it has not answered yet
  _fetch([path], [5], [9])
  server.has_ranges = change != 'no ranges'
  server.encoding = 'gzip' if change == 'compressed' else ''
  data = direct_request.fetch(path, 5, 10**6)
  if change == 'none':
    np.testing.assert_array_equal(data, _BYTES[5:])
    assert direct_request.fetch(path, 10**6 - 1, 10**6 + 1) is None
  else:
    assert data is None
  assert found.is_direct == (change != 'no ranges')


@pytest.mark.parametrize('needs', ['proxy', 'password'])
def test_proxies_and_passwords_are_the_driver_s(server, needs, tmp_path,
                                                monkeypatch):
  path = f'{server.address}/a'
  _fetch([path], [5], [9])
  direct_request._needs_nothing.cache_clear()  # pylint: disable=protected-access
  if needs == 'proxy':
    monkeypatch.setenv('http_proxy', 'http://127.0.0.1:9')
  else:
    (tmp_path / '.netrc').write_text('machine 127.0.0.1 login a password b')
    monkeypatch.setenv('HOME', str(tmp_path))
  assert direct_request.fetch(path, 5, 9) is None
  direct_request._needs_nothing.cache_clear()  # pylint: disable=protected-access


def test_a_program_ends_while_a_server_is_silent(server):
  path = f'{server.address}/a'
  go_on = threading.Event()
  server.fault = lambda path, number: number > 1 and go_on.wait(60) and 0
  code = f"""
from hpa_records.storage import byte_ranges
list(byte_ranges.Fetch(['{path}'], [5], [9]).results())
byte_ranges.Fetch(['{path}'] * 99, range(0, 990000, 10000), range(9, 990009, 10000))
kept = byte_ranges.Fetch(['{path}'], [5], [9])
"""
  try:
    subprocess.run([sys.executable, '-c', code], check=True, timeout=25)
  finally:
    go_on.set()
