"""Machines of a network, as namespaces of Linux: addresses, links and scratch
disks that exist inside them alone and end with the process that made them.

Each host is a user, network and mount namespace, so no rights are needed where
the system lets users make them, and nothing of this machine's own network is
touched.
"""

import contextlib
import dataclasses
import os
import pathlib
import subprocess
from typing import Any, Iterator, Mapping, Sequence

import pytest

_ROOT = pathlib.Path(__file__).parents[2]
# It lives while its input is open: until this process closes it, or ends.
_LIVE = ('sh', '-c', 'echo made; exec cat')


@dataclasses.dataclass(frozen=True)
class Host:
  """A machine.

  Attributes:
    name: in the line of an error.
    address: its IP address in the network.
    other: an IP address of it beside, which no one was told.
    holder: the process whose namespaces they are.
  """
  name: str
  address: str
  other: str
  holder: subprocess.Popen

  def start(self,
            command: Sequence[str],
            environment: Mapping[str, str] | None = None,
            **kwargs: Any) -> subprocess.Popen:
    """Starts a command on the host, in the root of the checkout.

    Args:
      command: its words.
      environment: variables beside those of this process.
      **kwargs: of Popen.
    """
    return subprocess.Popen(  # pylint: disable=consider-using-with
        [*self._enter(f'--wdns={_ROOT}'), *map(str, command)],
        env={
            **os.environ, 'no_proxy': '*',
            **(environment or {})
        },
        text=True,
        **kwargs)

  def run(self,
          *command: str,
          environment: Mapping[str, str] | None = None) -> str:
    """Runs a command on the host; returns its output.

    Raises:
      RuntimeError: it failed.
    """
    with self.start(command,
                    environment,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE) as process:
      out, err = process.communicate()
    if process.returncode:
      raise RuntimeError(f'{command} on {self.name}: {err}')
    return out

  def listened(self) -> list[int]:
    """Returns the TCP ports that are listened on."""
    lines = self.run('ss', '-ltnH').splitlines()
    return sorted({int(each.split()[3].rpartition(':')[2]) for each in lines})

  def _enter(self, *options: str) -> list[str]:
    return [
        'nsenter', f'--target={self.holder.pid}', '--user', '--net', '--mount',
        '--preserve-credentials', *options, '--'
    ]


def _hold(command: Sequence[str]) -> subprocess.Popen:
  """Starts a holder; returns when its namespaces are there.

  Raises:
    OSError: a program is missing, or the system does not permit it.
  """
  holder = subprocess.Popen(  # pylint: disable=consider-using-with
      [*command, '--net', '--mount', *_LIVE],
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      stderr=subprocess.PIPE,
      text=True)
  if holder.stdout.readline() != 'made\n':
    raise OSError(holder.communicate()[1].strip())
  return holder


def _release(holder: subprocess.Popen) -> None:
  holder.communicate()  # closes its input


@contextlib.contextmanager
def connect(names: Sequence[str],
            scratch: pathlib.Path) -> Iterator[list[Host]]:
  """Yields hosts joined by a bridge, which the first one has.

  Each has a disk of its own at one path. Skips the test where there can be no
  namespaces, but not in CI.

  Args:
    names: of the hosts.
    scratch: empty folder, on which each host sees a folder of its own.
  """
  with contextlib.ExitStack() as held:
    try:
      hosts = []
      for i, name in enumerate(names):
        command = ['unshare', '--map-root-user']
        if hosts:
          command = [
              'nsenter', f'--target={hosts[0].holder.pid}', '--user',
              '--preserve-credentials', 'unshare'
          ]
        holder = _hold(command)
        held.callback(_release, holder)
        hosts.append(Host(name, f'10.0.0.{i + 1}', f'10.0.1.{i + 1}', holder))
    except OSError as error:
      if os.environ.get('REQUIRE_NAMESPACES'):
        pytest.fail(f'Expected network namespaces, received: {error}')
      pytest.skip(f'needs namespaces, unshare, nsenter and ip: {error}')
    bridge = hosts[0]
    bridge.run('ip', 'link', 'add', 'eth0', 'type', 'bridge')
    for i, host in enumerate(hosts):
      if host is not bridge:
        bridge.run('ip', 'link', 'add', f'to{i}', 'type', 'veth', 'peer',
                   'name', 'eth0', 'netns', str(host.holder.pid))
        bridge.run('ip', 'link', 'set', f'to{i}', 'master', 'eth0', 'up')
      for address in (host.address, host.other):
        host.run('ip', 'address', 'add', f'{address}/24', 'dev', 'eth0')
      for device in ('lo', 'eth0'):
        host.run('ip', 'link', 'set', device, 'up')
      disk = scratch.parent / f'{scratch.name}-{host.name}'
      disk.mkdir()
      host.run('mount', '--bind', str(disk), str(scratch))
    yield hosts
