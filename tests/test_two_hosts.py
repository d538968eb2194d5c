"""Training on several hosts: a bucket, input workers and two trainers, each in
a network namespace with an address and a disk of its own; one is lost."""

import json
import os
import pathlib
import signal
import subprocess
import sys

import numpy as np
import pytest

from tests.support import fakes
from tests.support import hosts as hosts_lib
from tests.support import signalled

_ROOT = pathlib.Path(__file__).parents[1]
_BUCKET_PORT, _PORT = 5000, 2222
_EPOCHS = 2  # of three steps
_TRAIN = (sys.executable, '-m', 'trainer.main', '--batch_size=16',
          f'--epochs={_EPOCHS}', '--augment=all')
_SERVE = (sys.executable, 'tools/serve_input.py')
# Run on the host of the bucket, which is reached from no other network.
_UPLOAD = '''
import pathlib, sys
import boto3
client = boto3.client('s3')
client.create_bucket(Bucket='shared')
for path in pathlib.Path(sys.argv[1]).iterdir():
  client.upload_file(str(path), 'shared', f'records/{path.name}')
'''
_CONNECT = '''
import socket, sys
try:
  socket.create_connection((sys.argv[1], int(sys.argv[2])), 2).close()
  print('answers')
except TimeoutError:
  print('silent')
'''


class _Network:
  """Two hosts, and records in a bucket on a third.

  Attributes:
    one, two: the hosts.
    records: address of the records.
    local: folder of the same records, which no host is given.
    scratch: folder on each host's own disk.
  """

  def __init__(self, hosts, local, scratch):
    self._bucket, self.one, self.two = hosts
    self.local, self.scratch = local, scratch
    self._environment = {
        'AWS_ACCESS_KEY_ID': 'test',
        'AWS_SECRET_ACCESS_KEY': 'test',
        'AWS_DEFAULT_REGION': 'us-east-1',
        'AWS_ENDPOINT_URL': f'http://{self._bucket.address}:{_BUCKET_PORT}'
    }
    self._server = self._bucket.start(
        [sys.executable, '-m', 'moto.server', '-H0.0.0.0', f'-p{_BUCKET_PORT}'],
        self._environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE)
    for line in self._server.stderr:
      if 'Running on' in line:
        break
    self._bucket.run(sys.executable,
                     '-c',
                     _UPLOAD,
                     str(local),
                     environment=self._environment)
    self.records = 's3://shared/records'

  def close(self):
    """Ends the server of the bucket."""
    self._server.kill()
    self._server.communicate()

  def copied(self):
    """Flags with which a process reads a copy of the records on its own disk.
    """
    return [f'--records={self.records}', f'--stage_dir={self.scratch}']

  def start(self, host, command, environment=None):
    """Starts a command that finds the bucket."""
    return host.start(command, {
        **(environment or {}),
        **self._environment
    },
                      stdout=subprocess.PIPE,
                      stderr=subprocess.PIPE)

  def start_trainers(self, workdir, hook=None):
    """Starts the two workers of a TF_CONFIG; the hook is the chief's."""
    both = (self.one, self.two)
    workers = [f'{each.address}:{_PORT}' for each in both]
    started = []
    for index, host in enumerate(both):
      config = {
          'cluster': {
              'worker': workers
          },
          'task': {
              'type': 'worker',
              'index': index
          }
      }
      environment = {'TF_CONFIG': json.dumps(config)}
      environment |= hook or {} if index == 0 else {}
      command = [*_TRAIN, f'--workdir={workdir}', f'--records={self.records}']
      started.append(self.start(host, command, environment))
    return started

  def check_listened(self, host, other):
    """Checks that one port of a host answers, at its own address alone."""
    (port,) = host.listened()
    found = [
        other.run(sys.executable, '-c', _CONNECT, address, str(port)).strip()
        for address in (host.address, host.other)
    ]
    assert found == ['answers', 'silent']
    return port


@pytest.fixture(name='network', scope='module')
def _network(tmp_path_factory):
  folder = tmp_path_factory.mktemp('hosts')
  scratch = folder / 'scratch'
  scratch.mkdir()
  with hosts_lib.connect(('bucket', 'one', 'two'), scratch) as hosts:
    local = fakes.write_records(folder, 50, 32)
    network = _Network(hosts, pathlib.Path(local), scratch)
    yield network
    network.close()


@pytest.fixture(name='alone', scope='module')
def _alone(network, tmp_path_factory):
  """The run on one host."""
  workdir = tmp_path_factory.mktemp('alone')
  subprocess.run(
      [*_TRAIN, f'--records={network.local}', f'--workdir={workdir}'],
      cwd=_ROOT,
      check=True,
      capture_output=True)
  return workdir


def _end(process):
  """Returns (exit code, stdout, stderr) of a process that ends by itself."""
  out, err = process.communicate(timeout=600)
  return process.returncode, out, err


def _weights(workdir):
  path = workdir / 'fold0' / 'checkpoints' / f'epoch-{_EPOCHS:05d}.npz'
  with np.load(path) as file:
    return {key: file[key] for key in file.files if key != 'state'}


def _assert_close(found, expected):
  assert found.keys() == expected.keys()
  assert max(np.abs(found[key] - expected[key]).max() for key in found) <= 1e-6


def _resume(network, workdir, alone):
  for code, _, said in map(_end, network.start_trainers(workdir)):
    assert code == 0, said
  _assert_close(_weights(workdir), _weights(alone))


def _assert_lost(ended, lost):
  code, _, said = ended
  assert code == 1 and 'Traceback' not in said
  assert f'The worker {lost.address}:{_PORT} of TF_CONFIG was lost: ' in said
  assert 'start the same command on all of them again' in said
  assert 'epoch-00002' not in said


@pytest.mark.soak
def test_a_lost_worker_is_told_and_the_same_command_ends_as_one_host(
    network, alone, tmp_path):
  # The chief stops in the second epoch, which it cannot end alone.
  hook = signalled.environment('*/epoch-00001.npz', 1, signal.SIGSTOP)
  hook = {key: hook[key] for key in hook if os.environ.get(key) != hook[key]}
  chief, other = network.start_trainers(tmp_path, hook)
  signalled.wait_stopped(chief)
  assert network.check_listened(network.one, network.two) == _PORT
  assert network.check_listened(network.two, network.one) == _PORT
  other.kill()
  _end(other)
  chief.send_signal(signal.SIGCONT)
  _assert_lost(_end(chief), network.two)
  _resume(network, tmp_path, alone)


@pytest.mark.soak
def test_a_lost_link_is_told_and_the_same_command_ends_as_one_host(
    network, alone, tmp_path):
  hook = signalled.environment('*/epoch-00001.npz', 1, signal.SIGSTOP)
  hook = {key: hook[key] for key in hook if os.environ.get(key) != hook[key]}
  chief, other = network.start_trainers(tmp_path, hook)
  signalled.wait_stopped(chief)
  network.two.run('ip', 'link', 'set', 'eth0', 'down')
  chief.send_signal(signal.SIGCONT)
  _assert_lost(_end(chief), network.two)
  _assert_lost(_end(other), network.one)
  network.two.run('ip', 'link', 'set', 'eth0', 'up')
  _resume(network, tmp_path, alone)


def test_an_input_worker_of_another_host_reads_from_the_bucket(
    network, tmp_path):
  one, two = network.one, network.two
  dispatcher = network.start(
      one, [*_SERVE, 'dispatcher', f'--host={one.address}', '--port=5050'])
  address = f'{one.address}:5050'
  assert dispatcher.stdout.readline() == f'Dispatcher at grpc://{address}.\n'
  worker = network.start(two, [
      *_SERVE, 'worker', f'--host={two.address}', f'--dispatcher={address}',
      *network.copied()
  ])
  assert worker.stdout.readline() == f'Worker of {address}.\n'
  assert network.check_listened(one, two) == 5050
  network.check_listened(two, one)
  trainer = network.start(one, [
      *_TRAIN, f'--workdir={tmp_path}', '--distribute=cpu', '--epochs=1',
      f'--data_service=grpc://{address}', *network.copied()
  ])
  code, said, issues = _end(trainer)
  assert code == 0, issues
  assert 'epoch 1/1' in said
  assert 'draws were lost' not in said
  for each in (worker, dispatcher):
    each.send_signal(signal.SIGTERM)
    assert _end(each)[0] == 0
