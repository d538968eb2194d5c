"""Measures the speed of training, beside plain Keras and other programs.

Each way runs in its own process; they take turns in each repeat, so that a busy
minute affects all. Training steps on resident pixels are timed, after two calls
that are not. A peer is a program that prints a line such as
'PT bn=0 amp=1 default B=80 25900 img/s …' for each network and batch that it
measures; the lines without batch norm and with this batch are compared.

The overhead is measured in the same way with a network of one layer.
"""

import dataclasses
import json
import os
import pathlib
import re
import statistics
import sys
from typing import Any

from benchmarks import process
from hpa_records.runtime import errors
from hpa_records.runtime import host
from hpa_records.storage import path_check

_TITLES = {'ours': 'trainer.training.step', 'keras': 'Keras layers and fit'}
_OVERHEAD_TITLES = {
    'tiny_ours': 'trainer.training.calls',
    'tiny_bare': 'a loop over a resident batch',
    'tiny_keras': 'Keras fit, steps_per_execution'
}
_OVERHEAD_PX = 16
_LINE = re.compile(
    r'bn=(?P<norm>\d) amp=(?P<half>\d)\s+(?P<mode>\S+).*?B=\s*(?P<batch>\d+)'
    r'\s+(?P<rate>[\d.]+) img/s')


@dataclasses.dataclass(frozen=True)
class Job:
  """The settings of a measurement.

  Attributes:
    scratch: folder for the job's file.
    peer: program to compare with; '' for none.
    batch: images in a batch.
    size: height and width of an image, pixels.
    precision: one of config.PRECISIONS.
    xla: one of config.XLA.
    steps: in a call.
    seconds: for which a way is timed.
    repeats: repetitions of everything.
  """
  scratch: str
  peer: str
  batch: int
  size: int
  precision: str
  xla: str
  steps: int
  seconds: float
  repeats: int


def measure(job: Job) -> dict[str, Any]:
  """Returns all numbers, as JSON has them.

  Raises:
    errors.DataError: the peer printed no rate of this batch.
    RuntimeError: a way failed.
  """
  found = _take_turns(job, _TITLES)
  if job.peer:
    said = process.run([sys.executable, job.peer], host.num_cores()).stdout
    found['peer'] = {
        'title': os.path.basename(job.peer),
        'rates': [read_peer(said, job.batch)],
        'said': said,
    }
  for each in found.values():
    each['median'] = statistics.median(each['rates'])
  settings = dataclasses.asdict(job)
  return {
      **{
          key: settings[key] for key in ('batch', 'size', 'precision', 'xla')
      },
      'ways': found,
      'ratios': {
          key: found['ours']['median'] / each['median']
          for key, each in found.items()
          if key != 'ours'
      },
  }


def measure_overhead(job: Job) -> dict[str, Any]:
  """Returns microseconds a step of a network of one layer, as JSON has them.

  Args:
    job: its size and peer are not used.

  Raises:
    RuntimeError: a way failed.
  """
  job = dataclasses.replace(job, size=_OVERHEAD_PX)
  found = _take_turns(job, _OVERHEAD_TITLES)
  for each in found.values():
    each['step_us'] = [job.batch / rate * 1e6 for rate in each['rates']]
    each['median'] = statistics.median(each['step_us'])
  return {
      'batch': job.batch,
      'size': job.size,
      'steps': job.steps,
      'ways': found,
      'ratios': {
          key: found['tiny_ours']['median'] / each['median']
          for key, each in found.items()
          if key != 'tiny_ours'
      },
  }


def _take_turns(job: Job, titles: dict[str, str]) -> dict[str, dict[str, Any]]:
  """Returns title and rates in images/s of each way of network_trainer."""
  path = os.path.join(job.scratch, 'train.json')
  pathlib.Path(path).write_text(json.dumps(dataclasses.asdict(job)),
                                encoding='utf-8')
  found = {key: {'title': title, 'rates': []} for key, title in titles.items()}
  for _ in range(job.repeats):
    for key, each in found.items():
      ran = process.run_module('network_trainer', [key, path], host.num_cores())
      each['rates'].append(json.loads(ran.stdout.splitlines()[-1])['rate'])
  return found


def require_peer(path: str) -> str:
  """Returns the path of a peer, before minutes of measuring.

  Args:
    path: given by the user; '' for none.

  Raises:
    errors.DataError: it is not a local file.
  """
  peer = path and path_check.require_local(path, 'peer')
  if peer and not os.path.isfile(peer):
    raise errors.DataError(f'Expected a program as --peer, received {peer}.')
  return peer


def read_peer(said: str, batch: int, norm: bool = False) -> float:
  """Returns the highest rate of a network at a batch, images/s.

  Args:
    said: what a peer printed.
    batch: images in a batch.
    norm: whether the network has batch norm.

  Raises:
    errors.DataError: there is none.
  """
  rates = [
      float(match['rate']) for match in map(_LINE.search, said.splitlines()) if
      match and match['norm'] == str(int(norm)) and int(match['batch']) == batch
  ]
  if not rates:
    raise errors.DataError(
        f'Expected a line "bn={norm:d} … B={batch} … img/s" of --peer, '
        'received none; pass a batch that it measures.')
  return max(rates)
