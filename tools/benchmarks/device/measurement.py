"""Runs the steps one after another, within a time budget.

The next step's process loads TensorFlow while this one's compiles; it waits
before it touches the device. A step that fails, or reaches its limit, leaves
the others as they are.
"""

import itertools
from typing import Sequence

from benchmarks.device import child
from benchmarks.device import report as report_lib
from benchmarks.device import resident
from benchmarks.device import step as step_lib
from benchmarks.device import training
from hpa_records.runtime import errors

BUDGET_S = 530.0  # under the nine minutes of one call
_NO_RECORDS = 'the records were not made'


def list_steps(batches: tuple[int, ...],
               keys: Sequence[str]) -> list[step_lib.Step]:
  """Returns the steps, what tells most first.

  Args:
    batches: sizes of resident batches.
    keys: names of steps to take; none for all. The records are made if a step
      uses them.

  Raises:
    errors.DataError: a name is unknown.
  """
  trained = training.Cached()
  steps = [
      *(resident.Resident(f'resident_{batch}', [batch], norm=False)
        for batch in batches),
      training.Data(),
      resident.Peer(batches),
      trained,
      training.Fed(),
      training.Profile(),
      training.Numerics(trained),
      resident.Resident('resident_norm', batches, norm=True),
  ]
  unknown = set(keys) - {each.name for each in steps}
  if unknown:
    raise errors.DataError(
        f'Expected --only to name some of '
        f'{", ".join(each.name for each in steps)}, received '
        f'{sorted(unknown)[0]!r}.')
  chosen = [each for each in steps if not keys or each.name in keys]
  if any(each.uses_records for each in chosen):
    chosen = [each for each in steps if each in chosen or each.name == 'data']
  return chosen


def measure(job: step_lib.Job, steps: Sequence[step_lib.Step],
            report: report_lib.Report, budget_s: float) -> None:
  """Measures all rows into the report.

  Args:
    job: the settings.
    steps: of list_steps.
    report: receives each row as soon as it is measured.
    budget_s: for everything. With more than BUDGET_S, steps may take longer in
      proportion.
  """
  scale = max(1.0, budget_s / BUDGET_S)
  prepared: dict[step_lib.Step, list[child.Child]] = {}
  try:
    for each in steps:
      if each.is_beside:
        _prepare(job, each, prepared)
    for each, following in itertools.zip_longest(steps, steps[1:]):
      left_s = budget_s - report.elapsed_s
      if left_s < each.needs_s:
        report.leave_out(
            _missing(each, report), f'{left_s:.0f} s of --budget_s left, needs '
            f'{each.needs_s:.0f}')
        continue
      _prepare(job, each, prepared)
      if following:
        _prepare(job, following, prepared)
      _run(each, prepared[each], report, min(2 * each.needs_s * scale, left_s))
  finally:
    for processes in prepared.values():
      for process in processes:
        process.stop()


def _prepare(job: step_lib.Job, step: step_lib.Step, prepared) -> None:
  if step not in prepared:
    prepared[step] = step.prepare(job)


def _run(step: step_lib.Step, children: list[child.Child],
         report: report_lib.Report, limit_s: float) -> None:
  """Adds the rows of a step to the report, those that fail too."""
  if not children:
    report.leave_out(step.rows, 'no --peer')
    return
  try:
    if step.uses_records and 'samples' not in report.rows.get('data', {}):
      raise child.Failed(_NO_RECORDS)
    for name, figures in step.work(children, report.rows, limit_s):
      report.add(name, figures)
  # Whatever one step meets, the others are measured.
  except Exception as error:  # pylint: disable=broad-exception-caught
    kind = '' if isinstance(error,
                            child.Failed) else type(error).__name__ + ': '
    report.fail(_missing(step, report), kind + ' '.join(str(error).split()))
  finally:
    for process in children:
      process.stop()


def _missing(step: step_lib.Step, report: report_lib.Report) -> list[str]:
  return [name for name in step.rows if name not in report.rows]
