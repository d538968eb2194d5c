"""Steps on a resident batch, beside a peer's.

With batch norm ours is the Kaggle variant, the peer's the original network with
a batch norm after each convolution: not the same layers. Without it both are
the same network.
"""

import json
import os
import pathlib
from typing import Iterator

from benchmarks import train
from benchmarks.device import child
from benchmarks.device import step
from hpa_records.runtime import errors

_VARIANTS = {False: 'original', True: 'kaggle'}
_SMALLEST_PX = {'original': 1, 'kaggle': 149}  # as of gapnet.SMALLEST_PX


def name_row(kind: str, batch: int, norm: bool) -> str:
  """Returns the name of a row, such as resident_80_norm."""
  return f'{kind}_{batch}' + ('_norm' if norm else '')


class Resident(step.Step):
  """Images/s and memory of our step on a resident batch."""

  def __init__(self, batch: int, norm: bool):
    self.name = name_row('resident', batch, norm)
    self.rows = (self.name, name_row('memory', batch, norm))
    self.needs_s = 50.0
    self._batch, self._variant = batch, _VARIANTS[norm]

  def prepare(self, job: step.Job) -> list[child.Child]:
    path = os.path.join(job.scratch, f'{self.name}.json')
    pathlib.Path(path).write_text(json.dumps({
        'batch': self._batch,
        'size': max(job.size_px, _SMALLEST_PX[self._variant]),
        'variant': self._variant,
        'precision': 'bfloat16',
        'xla': 'auto',
        'steps': job.steps_per_call,
        'seconds': job.seconds,
    }),
                                  encoding='utf-8')
    ours = child.Child(child.of_module('network_trainer', ['ours', path]),
                       job.scratch)
    ours.start()
    return [ours]

  def work(self, children: list[child.Child], measured: step.Rows,
           limit_s: float) -> Iterator[step.Row]:
    ours, = children
    ours.go()
    ours.finish(limit_s)
    found = json.loads(ours.lines[-1][1])
    rate = found['rate']
    yield self.rows[0], {
        'images_per_s': rate,
        'ms_per_step': 1000 * self._batch / rate,
        'device': found['device'],
        'variant': self._variant,
    }
    yield self.rows[1], {
        'peak_mb': found['peak_mb'],
        'with': '4 resident batches',
        'device': found['device']
    }


class Peer(step.Step):
  """The peer's images/s, and how many times as fast ours are."""
  name = 'peer'
  needs_s = 140.0

  def __init__(self, batches: tuple[int, ...]):
    self._of = {
        name_row('peer', batch, norm): (batch, norm) for norm in _VARIANTS
        for batch in batches
    }
    self.rows = ('peer', *self._of)

  def prepare(self, job: step.Job) -> list[child.Child]:
    # Not started: it would not wait.
    return [child.Child([job.peer_python, job.peer], job.scratch)
           ] if job.peer else []

  def work(self, children: list[child.Child], measured: step.Rows,
           limit_s: float) -> Iterator[step.Row]:
    peer, = children
    peer.go()
    try:
      peer.finish(limit_s)
      state = {'ended': 'with exit code 0'}
    except child.Failed as error:
      state = {'failed': str(error)}
    said = [line for _, line in peer.lines]
    # What it printed before it failed holds.
    yield 'peer', {'lines': len(said), **state}
    for name, (batch, norm) in self._of.items():
      try:
        rate = train.read_peer('\n'.join(said), batch, norm)
      except errors.DataError as error:
        yield name, state if 'failed' in state else {'left_out': str(error)}
        continue
      figures = {'images_per_s': rate}
      ours = step.find_rate(measured, name_row('resident', batch, norm))
      if ours:
        figures['ours_over_peer'] = ours / rate
      yield name, figures
