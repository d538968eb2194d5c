"""Reads and decodes records for trainers on other machines.

  hpa-serve-input dispatcher --host=one --port=5050
  hpa-serve-input worker --host=two --dispatcher=one:5050
  hpa-train … --data_service=grpc://one:5050

This is a tf.data service: one dispatcher, any number of workers. Each sees the
records under the path that the trainer is given; with --records and --stage_dir
as the trainer has them, a worker copies them there first. They run until
SIGTERM or Ctrl-C. Each answers at the addresses of its --host alone: without
--host, on this machine only.

For a trusted network only: TensorFlow runs any graph that it is sent, as the
user who started it. Whoever reaches a port reads and writes that user's files;
have a firewall before it where the network is open.
"""

import contextlib
import sys
import time
from typing import Any, Iterator, Sequence

from absl import flags

from hpa_records.runtime import cli
from hpa_records.runtime import errors
from hpa_records.runtime import ports
from hpa_records.runtime import printable
from hpa_records.storage import path_check
from trainer.training import interruption

_PORT = flags.DEFINE_integer('port',
                             0,
                             'Port to listen on; 0 takes a free one.',
                             lower_bound=0,
                             upper_bound=65535)
_WORK_DIR = flags.DEFINE_string(
    'work_dir', '', 'Folder for a journal, from which a restarted dispatcher '
    'continues.')
_WORKER_TIMEOUT_S = flags.DEFINE_integer(
    'worker_timeout_s',
    60,
    'Seconds without a sign of a worker after which it is dropped.',
    lower_bound=1,
    upper_bound=2**31)
_DISPATCHER = flags.DEFINE_string('dispatcher', '',
                                  'host:port of the dispatcher.')
_HOST = flags.DEFINE_string(
    'host', '', 'Name or IP address under which others reach this machine; by '
    'default localhost, for this machine alone.')
_ALL_INTERFACES = flags.DEFINE_boolean(
    'all_interfaces', False, 'Answer at every address of this machine: for a '
    '--host that is none of them (NAT, a service of Kubernetes), and outside '
    'Linux.')
_RECORDS = flags.DEFINE_string('records', '',
                               'Address of records to copy before serving.')
_STAGE_DIR = flags.DEFINE_string('stage_dir', '',
                                 'Folder of the copy, as the trainer has it.')

_LOOK_EVERY_S = 0.2
_CONNECT_S = 10.0
_SCHEME = 'grpc://'  # as trainers write it


def main_dispatcher() -> None:
  """Runs the dispatcher until it is stopped."""
  own, answered = _find_own()
  ports.require_free(_PORT.value, '--port')
  journal = _WORK_DIR.value and path_check.require_path(_WORK_DIR.value,
                                                        'work_dir')
  if journal != printable.escape(journal):
    raise errors.DataError('TensorFlow takes only a printable path in UTF-8 '
                           f'as --work_dir, received {journal!r}; choose '
                           'another.')
  with _starting('--work_dir and --port', answered) as service:
    server = service.DispatchServer(
        service.DispatcherConfig(port=_PORT.value,
                                 work_dir=journal or None,
                                 fault_tolerant_mode=bool(journal),
                                 job_gc_check_interval_ms=500,
                                 worker_timeout_ms=_WORKER_TIMEOUT_S.value *
                                 1000))
  port = server.target.rpartition(':')[2]
  _wait(f'Dispatcher at {_SCHEME}{own}:{port}.', answered)


def main_worker() -> None:
  """Runs a worker until it is stopped."""
  if not _DISPATCHER.value:
    raise errors.DataError('--dispatcher is missing; pass '
                           '--dispatcher=host:port.')
  dispatcher = _DISPATCHER.value.removeprefix(_SCHEME)
  host, port = ports.split(dispatcher, '--dispatcher')
  if not _HOST.value and not ports.is_loopback(host):
    raise errors.DataError(
        f'The dispatcher {dispatcher} is on another machine, or not to be '
        'found; pass --host=NAME, under which trainers reach this worker.')
  if bool(_RECORDS.value) != bool(_STAGE_DIR.value):
    raise errors.DataError('--records and --stage_dir belong together; pass '
                           'both as the trainer has them, or neither.')
  records = stage_dir = ''
  if _RECORDS.value:
    records = path_check.require_path(_RECORDS.value, 'records')
    stage_dir = path_check.require_local(_STAGE_DIR.value, 'stage_dir')
    path_check.refuse_shared([('stage_dir', stage_dir)], [('records', records)],
                             closed=[('records', records)])
  own, answered = _find_own()
  ports.require_free(_PORT.value, '--port')
  if records:
    from hpa_records.reading import download  # pylint: disable=import-outside-toplevel
    print(f'Records in {download.stage(records, stage_dir)}.',
          file=sys.stderr,
          flush=True)
  _await(host, port)
  with _starting('--dispatcher and --port', answered) as service:
    server = service.WorkerServer(
        service.WorkerConfig(dispatcher_address=dispatcher,
                             worker_address=f'{own}:%port%',
                             port=_PORT.value))
  _wait(f'Worker of {dispatcher}.', answered)
  del server


def _find_own() -> tuple[str, list[str]]:
  """Returns this machine's name for others, and the addresses to answer at."""
  own = ports.require_host(_HOST.value or 'localhost', '--host')
  if _ALL_INTERFACES.value:
    return own, []
  try:
    return own, ports.own_addresses(own.strip('[]'))
  except OSError as error:
    raise errors.DataError(
        f'Cannot answer at {own} of --host alone ({error}); pass the IP address'
        ' of this machine that others reach, or --all_interfaces.') from error


def _await(host: str, port: int) -> None:
  """Waits for the dispatcher, with a message; TensorFlow would wait silently.
  """
  is_told = False
  while True:
    try:
      return ports.check_server(host, port, _CONNECT_S)
    except OSError as error:
      if not is_told:
        print(
            f'No dispatcher answers at {host}:{port} ({error}); waiting for '
            f'hpa-serve-input dispatcher --host={host} --port={port}.',
            file=sys.stderr,
            flush=True)
      is_told = True
      time.sleep(_LOOK_EVERY_S)


@contextlib.contextmanager
def _starting(flags_of_it: str, answered: Sequence[str]) -> Iterator[Any]:
  """Yields TensorFlow's service module; translates a failed start to one line.
  """
  # TensorFlow takes seconds to import; flag errors come before that.
  from hpa_records.runtime import tensorflow  # pylint: disable=import-outside-toplevel
  try:
    with ports.accepting_only(answered):
      yield tensorflow.tf.data.experimental.service
  except (OSError, RuntimeError, tensorflow.tf.errors.OpError) as error:
    raise errors.DataError(
        f'Cannot start: {printable.join_lines(str(error))}; check '
        f'{flags_of_it}.') from error


def _wait(line: str, answered: Sequence[str]) -> None:
  """Prints a line, and returns after a signal."""
  with interruption.Interruption() as asked:
    print(line, flush=True)
    print(ports.warning(answered), file=sys.stderr, flush=True)
    while asked.signal is None:
      time.sleep(_LOOK_EVERY_S)


def run() -> None:
  """Runs the subcommand with its flags; see cli.run."""
  cli.run(subcommands={
      'dispatcher': main_dispatcher,
      'worker': main_worker
  },
          text=__doc__,
          groups={
              'Both': ('host', 'port', 'all_interfaces'),
              'Dispatcher': ('work_dir', 'worker_timeout_s'),
              'Worker': ('dispatcher', 'records', 'stage_dir'),
          })
