"""Reads and decodes records for trainers on other machines, by tf.data service.

  python tools/serve_input.py dispatcher --port=5050
  python tools/serve_input.py worker --dispatcher=host:5050
  python -m trainer.main … --data_service=grpc://host:5050

One dispatcher, any number of workers; each sees the records under the path that
the trainer is given. They run until they are told to end (SIGTERM, Ctrl-C).
"""

import socket
import time

from absl import flags

from hpa_records import command
from hpa_records import schema
from trainer import interruption

_PORT = flags.DEFINE_integer('port',
                             0,
                             'To listen on; 0 takes a free one.',
                             lower_bound=0,
                             upper_bound=65535)
_WORK_DIR = flags.DEFINE_string(
    'work_dir', '', 'Of the dispatcher: folder for a journal, with which one '
    'that is started again goes on.')
_WORKER_TIMEOUT_S = flags.DEFINE_integer(
    'worker_timeout_s',
    60,
    'Of the dispatcher: silence after which a worker is given up.',
    lower_bound=1)
_DISPATCHER = flags.DEFINE_string('dispatcher', '',
                                  'Of a worker: host:port of the dispatcher.')
_HOST = flags.DEFINE_string(
    'host', '', 'Of a worker: name under which trainers reach this machine; by '
    'default its own.')

_LOOK_EVERY_S = 0.2


def main_dispatcher() -> None:
  service = _import_service()
  server = service.DispatchServer(
      service.DispatcherConfig(port=_PORT.value,
                               work_dir=_WORK_DIR.value or None,
                               fault_tolerant_mode=bool(_WORK_DIR.value),
                               job_gc_check_interval_ms=500,
                               worker_timeout_ms=_WORKER_TIMEOUT_S.value *
                               1000))
  _wait(f'Dispatcher at {server.target}.')


def main_worker() -> None:
  if not _DISPATCHER.value:
    raise schema.DataError('Expected the address of a dispatcher, received '
                           'none; pass --dispatcher=host:port.')
  service = _import_service()
  host = _HOST.value or socket.gethostname()
  server = service.WorkerServer(
      service.WorkerConfig(dispatcher_address=_DISPATCHER.value,
                           worker_address=f'{host}:%port%',
                           port=_PORT.value))
  _wait(f'Worker of {_DISPATCHER.value}.')
  del server


def _import_service():
  # TensorFlow takes seconds to import; a wrong flag is told before that.
  from hpa_records import backend  # pylint: disable=import-outside-toplevel
  return backend.tf.data.experimental.service


def _wait(line: str) -> None:
  """Says that all is up, and returns when a signal has come."""
  with interruption.Interruption() as asked:
    print(line, flush=True)
    while asked.signal is None:
      time.sleep(_LOOK_EVERY_S)


if __name__ == '__main__':
  command.run(subcommands={
      'dispatcher': main_dispatcher,
      'worker': main_worker
  })
