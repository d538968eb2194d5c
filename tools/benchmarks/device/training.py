"""Steps that run the trainer on records which are made here."""

import json
import os
import re
import statistics
from typing import Any, Iterator, Sequence

import numpy as np
import pandas as pd

from benchmarks.device import child
from benchmarks.device import step
from hpa_records.runtime import host
from trainer.run import checkpoint_file
from trainer.run import npz_file
from trainer.run import workdir

# What the trainer is asked for, in this one place.
_EVERYTHING = ('--fold=0', '--activation=prelu', '--precision=bfloat16',
               '--clip_norm=5', '--learning_rate=0.02', '--cache=device',
               '--eval_batch_size=640', '--steps_per_call=100')
_FED = ('--cache=none',)
_FLOAT32 = ('--precision=float32',)
_DETERMINISTIC: tuple[str, ...] = ()
_DETERMINISTIC_ENVIRONMENT = {'TF_DETERMINISTIC_OPS': '1'}
_STEADY = 3  # the first epoch in which nothing is compiled or filled
_EPOCHS = 5  # of the run whose epochs are timed
_PAPER_EPOCHS = 2 * 5 * 80  # networks, folds, epochs
_EPOCH = re.compile(r'epoch (\d+)/\d+: ')


class Data(step.Step):
  """Makes the records, on half of the cores, beside what comes before."""
  name = 'data'
  rows = ('data',)
  needs_s = 60.0
  is_beside = True

  def prepare(self, job: step.Job) -> list[child.Child]:
    words = [job.scratch, job.num_samples, job.size_px,
             max(1, host.num_cores() // 2)]  # yapf: disable
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


class Run:
  """A training as a child process."""

  def __init__(self,
               job: step.Job,
               name: str,
               epochs: int,
               words: Sequence[str] = (),
               environment: dict[str, str] | None = None):
    """Prepares and starts the process, which waits for go.

    Args:
      job: the settings.
      name: of the run's folder.
      epochs: to train for.
      words: flags beside those of all.
      environment: variables to set.
    """
    self._folder = os.path.join(job.scratch, 'runs', name)
    command = child.of_module('device.trained', [
        f'--records={job.records}', f'--workdir={self._folder}',
        f'--batch_size={job.batches[0]}', *_EVERYTHING, f'--epochs={epochs}',
        *words
    ])
    self.process = child.Child(command, job.scratch, environment)

  @property
  def fold(self) -> str:
    """The folder of the fold that was trained."""
    return workdir.fold_directory(self._folder, 0)

  def history(self) -> pd.DataFrame:
    """Returns history.csv, a row an epoch."""
    return pd.read_csv(os.path.join(self.fold, workdir.HISTORY_NAME),
                       index_col='epoch')

  def evaluations(self) -> list[dict[str, Any]]:
    """Returns what trained.py printed of each evaluation."""
    return [
        json.loads(line)
        for _, line in self.process.lines
        if line.startswith('{"evaluated"')
    ]

  def epoch_seconds(self) -> list[float]:
    """Returns the seconds between the ends of epochs, from _STEADY on."""
    ends = {
        int(match[1]): at_s
        for at_s, line in self.process.lines
        if (match := _EPOCH.match(line))
    }
    return [ends[k] - ends[k - 1] for k in ends if k >= _STEADY]

  def rate(self) -> dict[str, float]:
    """Returns images/s and the share of waiting for input once steady."""
    row = self.history().loc[_STEADY]
    return {
        'images_per_s': float(row['images_per_s']),
        'input_wait': float(row['input_wait']),
    }

  def scores(self) -> dict[str, float]:
    """Returns losses and F1 of the held-out fold after epoch _STEADY."""
    row = self.history().loc[_STEADY]
    return {
        name: float(row[name])
        for name in ('loss', 'val_loss', 'f1_macro', 'f1_micro')
    }

  def arrays(self) -> dict[str, np.ndarray]:
    """Returns the variables of the last checkpoint."""
    folder = os.path.join(self.fold, workdir.CHECKPOINTS_NAME)
    last = checkpoint_file.list_positions(folder)[-1]
    found = npz_file.read(checkpoint_file.locate(folder, last))
    del found[checkpoint_file.STATE]
    return found


class _Training(step.Step):
  """A step of one or more runs of the trainer."""
  uses_records = True
  needs_s = 55.0

  def prepare(self, job: step.Job) -> list[child.Child]:
    self._runs = self._make(job)
    for run in self._runs:
      run.process.start()
    return [run.process for run in self._runs]

  def _make(self, job: step.Job) -> list[Run]:
    raise NotImplementedError


class Cached(_Training):
  """Everything on: device cache, evaluation, a whole epoch."""
  name = 'trained'
  rows = ('device_cache', 'evaluation', 'epoch')

  def _make(self, job: step.Job) -> list[Run]:
    self._resident = f'resident_{job.batches[0]}'
    return [Run(job, 'cached', _EPOCHS)]

  def work(self, children: list[child.Child], measured: step.Rows,
           limit_s: float) -> Iterator[step.Row]:
    run, = self._runs
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
    history = run.history().loc[_STEADY:]
    steps_s = float((history['images'] / history['images_per_s']).median())
    wall_s = statistics.median(run.epoch_seconds())
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

  def _make(self, job: step.Job) -> list[Run]:
    return [Run(job, 'fed', _STEADY, _FED)]

  def work(self, children: list[child.Child], measured: step.Rows,
           limit_s: float) -> Iterator[step.Row]:
    run, = self._runs
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

  def _make(self, job: step.Job) -> list[Run]:
    self._scratch = job.scratch
    return [Run(job, 'profile', 2, ['--profile'])]

  def work(self, children: list[child.Child], measured: step.Rows,
           limit_s: float) -> Iterator[step.Row]:
    run, = self._runs
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

  def _make(self, job: step.Job) -> list[Run]:
    same = _DETERMINISTIC_ENVIRONMENT | child.SHARED
    first, second = (Run(job, name, _STEADY, _DETERMINISTIC, same)
                     for name in ('same1', 'same2'))
    first.process.hold()
    self._bfloat16 = Run(job, 'cached', _EPOCHS)  # of Cached, not started here
    return [Run(job, 'float32', _STEADY, _FLOAT32, child.SHARED), first, second]

  def work(self, children: list[child.Child], measured: step.Rows,
           limit_s: float) -> Iterator[step.Row]:
    for each in children:
      each.go()
    float32, first, second = self._runs
    try:
      float32.process.finish(limit_s)
      if 'device_cache' not in measured:
        raise child.Failed('needs the run of the step trained')
      wide, narrow = float32.scores(), self._bfloat16.scores()
      yield 'bfloat16', {
          **narrow,
          **{
              f'{name}_float32': value for name, value in wide.items()
          }
      }
    except (child.Failed, OSError, KeyError) as error:
      yield 'bfloat16', {'failed': str(error)}
    second.process.finish(limit_s)
    first.process.release()
    first.process.finish(limit_s)
    ones, twos = first.arrays(), second.arrays()
    equal = [
        key for key in ones
        if key in twos and ones[key].dtype == twos[key].dtype and ones[key].
        shape == twos[key].shape and ones[key].tobytes() == twos[key].tobytes()
    ]
    figures = first.rate()
    step.divide(figures, 'part_of_device_cache',
                step.find_rate(measured, 'device_cache'))
    yield 'deterministic', {
        'same_bits': len(equal) == len(ones) == len(twos),
        'arrays': len(ones),
        'arrays_equal': len(equal),
        **figures
    }
