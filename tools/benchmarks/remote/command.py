"""benchmark.py remote: its flags."""

import pathlib

from absl import flags

from benchmarks.remote import measurement
from hpa_records.storage import path_check

_IO = pathlib.Path(
    __file__).resolve().parents[3] / '.venv-io' / 'bin' / 'python'
_IO_PYTHON = flags.DEFINE_string(
    'io_python',
    str(_IO) if _IO.exists() else '',
    'Of remote: interpreter of make env-io, for the streaming reader.')
_LATENCY_MS = flags.DEFINE_float('latency_ms',
                                 20.0,
                                 'Of remote: waited before each answer.',
                                 lower_bound=0)


def make_job(records: str, scratch: str, batch: int, seconds: float,
             repeats: int) -> measurement.Job:
  """Returns the settings of a measurement, with those of the flags here.

  Args: as of measurement.Job.
  """
  python = _IO_PYTHON.value
  return measurement.Job(records=records,
                         scratch=scratch,
                         io_python=python and
                         path_check.require_path(python, _IO_PYTHON.name),
                         latency_ms=_LATENCY_MS.value,
                         batch=batch,
                         seconds=seconds,
                         repeats=repeats)
