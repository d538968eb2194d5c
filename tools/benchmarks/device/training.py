"""Steps that run the trainer on records which are made here."""

import json
import statistics
from typing import Any, Iterator, Mapping

import numpy as np

from benchmarks.device import child
from benchmarks.device import run as run_lib
from benchmarks.device import step
from hpa_records.runtime import host

# The values of gpu.flags, but every image is drawn once, the cache must be the
# device's, and at this rate bfloat16 does not diverge.
_EVERYTHING = ('--fold=0', '--activation=prelu', '--precision=bfloat16',
               '--clip_norm=5', '--learning_rate=0.02', '--cache=device',
               '--eval_batch_size=0', '--steps_per_call=0')
_FED = ('--cache=none',)
_FLOAT32 = ('--precision=float32',)
_DETERMINISTIC = ('--deterministic',)
# The second call is profiled; if its length is chosen, it is short.
_PROFILED = ('--profile', '--steps_per_call=100')

_EPOCHS = 5  # of the run whose epochs are timed
_PAPER_EPOCHS = 2 * 5 * 80  # networks, folds, epochs


class Data(step.Step):
  """Makes the records, on half of the cores, beside what comes before."""
  name = 'data'
  rows = ('data',)
  needs_s = 60.0
  is_beside = True

  def prepare(self, job: step.Job) -> list[child.Child]:
    workers = max(1, host.num_cores() // 2)
    words = (job.scratch, job.num_samples, job.size_px, workers)
    maker = child.Child(child.of_module('device.data', list(map(str, words))),
                        job.scratch)
    maker.start()
    return [maker]

  def work(self, children: list[child.Child], measured: step.Rows,
           limit_s: float) -> Iterator[step.Row]:
    maker, = children
    maker.go()  # its limit counts from here
    maker.finish(limit_s)
    yield 'data', json.loads(maker.lines[-1][1])


class _Training(step.Step):
  """A step of one or more runs of the trainer.

  Attributes:
    runs: after prepare.
  """
  runs: list[run_lib.Run] = []
  uses_records = True
  needs_s = 55.0

  def prepare(self, job: step.Job) -> list[child.Child]:
    self.runs = self._make(job)
    for run in self.runs:
      run.process.start()
    return [run.process for run in self.runs]

  def _make(self, job: step.Job) -> list[run_lib.Run]:
    raise NotImplementedError


class Cached(_Training):
  """Everything on: device cache, evaluation, a whole epoch."""
  name = 'trained'
  rows = ('device_cache', 'evaluation', 'epoch')

  def _make(self, job: step.Job) -> list[run_lib.Run]:
    self._resident = f'resident_{job.batches[0]}'
    return [run_lib.Run(job, 'cached', _EPOCHS, _EVERYTHING)]

  def work(self, children: list[child.Child], measured: step.Rows,
           limit_s: float) -> Iterator[step.Row]:
    run, = self.runs
    run.process.go()
    run.process.finish(limit_s)
    found = run.evaluations()
    figures = run.rate()
    step.divide(figures, 'part_of_resident',
                step.find_rate(measured, self._resident))
    yield 'device_cache', figures | {'peak_mb': found[-1]['peak_mb']}
    # The first one compiles.
    seconds = statistics.median(each['seconds'] for each in found[1:_EPOCHS])
    count = found[0]['evaluated']
    yield 'evaluation', {
        'images_per_s': count / seconds,
        'images': count,
        'seconds': seconds,
        'first_seconds': found[0]['seconds']
    }
    # Means of the same epochs, so that the parts add up.
    history = run.history().loc[run_lib.STEADY:]
    steps_s = float((history['images'] / history['images_per_s']).mean())
    seconds = statistics.mean(
        each['seconds'] for each in found[run_lib.STEADY - 1:_EPOCHS])
    wall_s = statistics.mean(run.epoch_seconds())
    yield 'epoch', {
        'seconds': wall_s,
        'steps_s': steps_s,
        'evaluation_s': seconds,
        'rest_s': wall_s - steps_s - seconds,
        'images_trained': int(history['images'].iloc[-1]),
        'images_evaluated': count,
        'paper_minutes': _PAPER_EPOCHS * wall_s / 60,
        'all_seconds': run.epoch_seconds(),
    }


class Fed(_Training):
  """Fed from the page cache through the indexed reader."""
  name = 'fed'
  rows = ('fed',)

  def _make(self, job: step.Job) -> list[run_lib.Run]:
    return [run_lib.Run(job, 'fed', run_lib.STEADY, _EVERYTHING + _FED)]

  def work(self, children: list[child.Child], measured: step.Rows,
           limit_s: float) -> Iterator[step.Row]:
    run, = self.runs
    run.process.go()
    run.process.finish(limit_s)
    figures = run.rate()
    step.divide(figures, 'part_of_device_cache',
                step.find_rate(measured, 'device_cache'))
    yield 'fed', figures


class Profile(_Training):
  """Time on the device by kernel, of the call that --profile traces."""
  name = 'profile'
  rows = ('kernels',)

  def _make(self, job: step.Job) -> list[run_lib.Run]:
    self._scratch = job.scratch
    return [run_lib.Run(job, 'profile', 2, _EVERYTHING + _PROFILED)]

  def work(self, children: list[child.Child], measured: step.Rows,
           limit_s: float) -> Iterator[step.Row]:
    run, = self.runs
    run.process.go()
    run.process.finish(limit_s)
    reader = child.Child(child.of_module('device.kernels', [run.fold]),
                         self._scratch)
    children.append(reader)
    reader.go()
    reader.finish(limit_s)
    yield 'kernels', json.loads(reader.lines[-1][1])


class Numerics(_Training):
  """bfloat16 against float32, and the same seed twice, beside each other.

  Only the rate of the first deterministic run counts: it waits after its first
  epoch until the other two are over.
  """
  name = 'numerics'
  rows = ('bfloat16', 'deterministic')
  needs_s = 75.0

  def __init__(self, trained: Cached):
    """Prepares the step.

    Args:
      trained: has the run in bfloat16.
    """
    super().__init__()
    self._trained = trained

  def _make(self, job: step.Job) -> list[run_lib.Run]:
    first, second = (run_lib.Run(job, name, run_lib.STEADY,
                                 _EVERYTHING + _DETERMINISTIC, child.SHARED)
                     for name in ('same1', 'same2'))
    first.process.hold()
    return [
        run_lib.Run(job, 'float32', run_lib.STEADY, _EVERYTHING + _FLOAT32,
                    child.SHARED), first, second
    ]

  def work(self, children: list[child.Child], measured: step.Rows,
           limit_s: float) -> Iterator[step.Row]:
    for each in children:
      each.go()
    float32, first, second = self.runs
    try:
      float32.process.finish(limit_s)
      if step.find_rate(measured, 'device_cache') is None:
        yield 'bfloat16', {'left_out': 'the step trained has no run'}
      else:
        yield 'bfloat16', self._trained.runs[0].scores() | {
            f'{name}_float32': value
            for name, value in float32.scores().items()
        }
    except child.Failed as error:  # the rest of the step goes on
      yield 'bfloat16', {'failed': str(error)}
    second.process.finish(limit_s)
    first.process.release()
    first.process.finish(limit_s)
    figures = first.rate()
    step.divide(figures, 'part_of_device_cache',
                step.find_rate(measured, 'device_cache'))
    yield 'deterministic', compare_bits(first.arrays(),
                                        second.arrays()) | figures


def compare_bits(ones: Mapping[str, np.ndarray],
                 twos: Mapping[str, np.ndarray]) -> dict[str, Any]:
  """Returns whether two checkpoints are equal bit for bit.

  Args:
    ones: arrays of any shapes by name.
    twos: of the other checkpoint.

  Returns:
    same_bits: of all arrays; arrays: their number; arrays_equal: how many are.
  """
  equal = [
      name for name, one in ones.items()
      if name in twos and (one.dtype, one.shape, one.tobytes()) == (
          twos[name].dtype, twos[name].shape, twos[name].tobytes())
  ]
  return {
      'same_bits': len(equal) == len(ones) == len(twos),
      'arrays': len(ones),
      'arrays_equal': len(equal),
  }
