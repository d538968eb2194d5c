"""The subcommand device of tools/benchmark.py: its flags, and what it runs.

Flags that other subcommands have too are those of benchmarks/command.py.
"""

import dataclasses
import sys

from absl import flags

from benchmarks import report_file
from benchmarks.device import measurement
from benchmarks.device import report as report_lib
from benchmarks.device import step
from hpa_records.runtime import errors
from hpa_records.storage import path_check

_OUTPUT = flags.DEFINE_string(
    'output', '', 'Of device: file for all rows as JSON, written again after '
    'each.')
_BUDGET_S = flags.DEFINE_float('budget_s',
                               measurement.BUDGET_S,
                               'Of device: seconds for everything; rows that '
                               'no longer fit are left out.',
                               lower_bound=1)
# absl takes nan for any range.
flags.register_validator('budget_s', lambda value: value <= 86400,
                         'Expected at most 86400, a day.')
_BATCH_SIZES = flags.DEFINE_list(
    'batch_sizes', ['80', '640'],
    'Of device: sizes of resident batches; the trainer takes the first.')
_STEPS_PER_CALL = flags.DEFINE_integer(
    'steps_per_call',
    100,
    'Of device: steps of a call on a resident batch.',
    lower_bound=1)
_NUM_SAMPLES = 31072  # of Kaggle's training set
_LEAST_SAMPLES = 10  # five folds, more than an image each


def main(scratch: str, peer: str) -> None:
  """Measures all rows, prints them and writes --output.

  Args:
    scratch: folder for everything else that is written.
    peer: program to compare with; '' for none.

  Raises:
    errors.DataError: a flag is invalid, or --output cannot be written.
    errors.StoppedEarly: a row failed.
  """
  shared = flags.FLAGS
  output = _prepare_output(peer)
  num_samples = shared.limit or _NUM_SAMPLES
  if num_samples < _LEAST_SAMPLES:
    raise errors.DataError(f'Expected --limit=0 or at least {_LEAST_SAMPLES}, '
                           f'received {num_samples}.')
  job = step.Job(scratch=scratch,
                 peer=peer,
                 peer_python=shared.peers_python or sys.executable,
                 num_samples=num_samples,
                 size_px=shared.image_size,
                 batches=_read_batches(),
                 steps_per_call=_STEPS_PER_CALL.value,
                 seconds=shared.seconds)
  steps = measurement.list_steps(job.batches, shared.only)
  settings = dataclasses.asdict(job)
  del settings['scratch']
  report = report_lib.Report(output, settings)
  measurement.measure(job, steps, report, _BUDGET_S.value)
  if report.failed:
    raise errors.StoppedEarly(
        f'Rows that failed: {", ".join(report.failed)}; {output} has the rest.',
        1)


def _prepare_output(peer: str) -> str:
  """Returns the path of --output, which can be written."""
  output = path_check.require_local(_OUTPUT.value, _OUTPUT.name)
  path_check.refuse_shared([(_OUTPUT.name, output)], [('peer', peer)])
  report_file.prepare(output, _OUTPUT.name)
  return output


def _read_batches() -> tuple[int, ...]:
  batches = tuple(
      int(each) if each.isdecimal() and len(each) < 7 else 0
      for each in _BATCH_SIZES.value)
  if not batches or 0 in batches or len(set(batches)) < len(batches):
    raise errors.DataError(
        'Expected --batch_sizes as different numbers of at least 1, received '
        f'{",".join(_BATCH_SIZES.value)!r}.')
  return batches
