"""host: limits of a container, from files of control groups."""

import pytest

from hpa_records.runtime import host

_HERE = host.num_cores(), host.memory_bytes()


def _write(root, files):
  for name, text in files.items():
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
  return str(root)


_V2 = 'sys/fs/cgroup/'
_OWN = {'proc/self/cgroup': '0::/pod/box\n'}


@pytest.mark.parametrize('files,cores', [
    ({}, _HERE[0]),
    ({
        f'{_V2}cpu.max': 'max 100000\n'
    }, _HERE[0]),
    ({
        f'{_V2}pod/box/cpu.max': '50000 100000\n'
    }, 1),
    ({
        f'{_V2}pod/box/cpu.max': '100001 100000\n'
    }, min(2, _HERE[0])),
    ({
        f'{_V2}pod/cpu.max': '10000 100000\n',
        f'{_V2}pod/box/cpu.max': 'max 100000\n'
    }, 1),
    ({
        f'{_V2}pod/box/cpu.max': 'nonsense'
    }, _HERE[0]),
])
def test_the_smallest_quota_counts_rounded_up(tmp_path, files, cores):
  assert host.num_cores(_write(tmp_path, _OWN | files)) == cores


def test_cgroup_v1_files_are_read(tmp_path):
  root = _write(
      tmp_path, {
          'proc/self/cgroup': '5:memory:/box\n4:cpu,cpuacct:/box\n0::/\n',
          f'{_V2}cpu,cpuacct/box/cpu.cfs_quota_us': '20000\n',
          f'{_V2}cpu,cpuacct/box/cpu.cfs_period_us': '100000\n',
          f'{_V2}memory/box/memory.limit_in_bytes': '1048576\n',
      })
  assert (host.num_cores(root), host.memory_bytes(root)) == (1, 2**20)


def test_without_a_cgroup_v1_quota_all_cores_count(tmp_path):
  root = _write(
      tmp_path, {
          'proc/self/cgroup': '4:cpu:/\n',
          f'{_V2}cpu/cpu.cfs_quota_us': '-1\n',
          f'{_V2}cpu/cpu.cfs_period_us': '100000\n',
      })
  assert (host.num_cores(root), host.memory_bytes(root)) == _HERE


def test_memory_is_the_smallest_limit_and_its_free_part(tmp_path):
  root = _write(
      tmp_path, _OWN | {
          'proc/meminfo': 'MemTotal: 900 kB\nMemAvailable:  800000 kB\n',
          f'{_V2}pod/memory.max': '3000000\n',
          f'{_V2}pod/memory.current': '2000000\n',
          f'{_V2}pod/memory.stat': 'anon 1\ninactive_file 500000\n',
          f'{_V2}pod/box/memory.max': 'max\n',
      })
  assert host.memory_bytes(root) == 3000000
  assert host.free_memory_bytes(root) == 1500000


def test_free_memory_is_the_kernels_value(tmp_path):
  assert host.free_memory_bytes(str(tmp_path)) is None
  assert 0 < host.free_memory_bytes() <= host.memory_bytes()
