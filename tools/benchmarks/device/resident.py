"""Steps on a resident batch, beside a peer's.

With batch norm ours is the Kaggle variant, the peer's the original network with
a batch norm after each convolution: not the same layers. Without it both are
the same network.
"""

import json
import os
import pathlib
from typing import Iterator, Sequence

from benchmarks import network_trainer
from benchmarks import train
from benchmarks.device import child
from benchmarks.device import step
from hpa_records.runtime import errors

_LIKENESS = {False: 'the same network', True: 'of other layers'}
_VARIANTS = {False: 'original', True: 'kaggle'}
SMALLEST_PX = {'original': 1, 'kaggle': 149}  # as of gapnet.SMALLEST_PX


def name_row(kind: str, batch: int, norm: bool) -> str:
  """Returns the name of a row, such as resident_80_norm."""
  return f'{kind}_{batch}' + ('_norm' if norm else '')


class Resident(step.Step):
  """Images/s and memory of our step on resident batches.

  Several batches compile beside each other, which costs some of the choice of
  convolutions, and are measured in turn.
  """

  def __init__(self, name: str, batches: Sequence[int], norm: bool):
    self.name, self._batches, self._norm = name, batches, norm
    self.rows = tuple(
        name_row(kind, batch, norm)
        for batch in batches
        for kind in ('resident', 'memory'))
    self.needs_s = 25.0 + 25.0 * len(batches)

  def prepare(self, job: step.Job) -> list[child.Child]:
    variant = _VARIANTS[self._norm]
    children = []
    for batch in self._batches:
      path = os.path.join(job.scratch, f'{self.name}_{batch}.json')
      pathlib.Path(path).write_text(json.dumps({
          'batch': batch,
          'size': max(job.size_px, SMALLEST_PX[variant]),
          'variant': variant,
          'precision': 'bfloat16',
          'xla': 'auto',
          'steps': job.steps_per_call,
          'seconds': job.seconds,
      }),
                                    encoding='utf-8')
      children.append(
          child.Child(child.of_module('network_trainer',
                                      ['ours', path]), job.scratch,
                      child.SHARED if len(self._batches) > 1 else None))
      children[-1].hold()
      children[-1].start()
    return children

  def work(self, children: list[child.Child], measured: step.Rows,
           limit_s: float) -> Iterator[step.Row]:
    for each in children:
      each.go()
    for each in children:
      each.await_line(network_trainer.WARM, limit_s)
    for batch, each in zip(self._batches, children):
      resident, memory, peer = (name_row(kind, batch, self._norm)
                                for kind in ('resident', 'memory', 'peer'))
      each.release()
      try:
        each.finish(limit_s)
        found = json.loads(each.lines[-1][1])
      except child.Failed as error:
        yield resident, {'failed': str(error)}
        yield memory, {'failed': str(error)}
        continue
      figures = {'images_per_s': found['rate']}
      step.divide(figures, 'over_peer', step.find_rate(measured, peer))
      yield resident, figures | {
          'ms_per_step': 1000 * batch / found['rate'],
          'variant': _VARIANTS[self._norm],
          'device': found['device'],
      }
      yield memory, {
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
      yield name, figures | {'ours_is': _LIKENESS[norm]}
