"""One way to read records from an address, in its own process.

  python -m benchmarks.remote.way NAME JOB.json

benchmarks.remote.measurement runs it. A way is a function of (job) that yields
how many records came, without end, each epoch in another random order. They are
counted for some seconds after a warm-up, and dropped.

Imports stand inside the functions, so that each way pays for its own alone.
"""

import dataclasses
import json
import os
import sys
import time
from typing import Any, Callable, Iterator

import numpy as np

# pylint: disable=import-outside-toplevel

_WARM_S = 2.0
_FOLD = 0  # held out

Job = dict[str, Any]


def _load(job: Job):
  """Returns the records at the address; their tables come from the folder."""
  from hpa_records.reading import dataset
  from hpa_records.runtime import process
  process.take()
  return dataclasses.replace(dataset.load(job['records']),
                             directory=job['address'])


def _cat_ranges(job: Job, in_call: int) -> Iterator[int]:
  """fsspec's cat_ranges in a loop, on the same connections as ours."""
  from hpa_records.storage import driver
  records = _load(job)
  index = records.index[records.index['fold'] != _FOLD]
  paths = [
      driver.connect(f'{records.directory}/{name}')[1]
      for name in index['shard']
  ]
  starts = index['record_offset'].to_numpy()
  ends = starts + index['record_bytes'].to_numpy()
  files, rng = driver.connect(records.directory)[0], np.random.default_rng(0)
  while True:
    order = rng.permutation(len(index))
    for first in range(0, len(order), in_call):
      rows = order[first:first + in_call]
      found = files.cat_ranges([paths[row] for row in rows],
                               starts[rows].tolist(),
                               ends[rows].tolist(),
                               on_error='raise')
      yield len(found)


def _ours(job: Job, kind: str) -> Iterator[int]:
  """This project's readers."""
  records = _load(job)
  from hpa_records.reading import how as how_lib
  from hpa_records.reading import reader
  from hpa_records.sampling import epoch_plan
  how = how_lib.How(reader=kind, shuffle_mb=64)
  way = reader.Reader(records, _FOLD, how)
  # An epoch of some passes, so that its start counts for little.
  passes = (20 if kind == 'indexed' else 1) * (records.index['fold']
                                               != _FOLD).to_numpy(np.float32)
  number = 0
  while True:
    key = epoch_plan.Key(0, number, _FOLD)
    epoch = epoch_plan.shuffle(passes, key, 'none')
    for batch in way.training(epoch, key, epoch_plan.Share(job['batch'])):
      yield int(batch['weight'].numpy().sum())
    number += 1


WAYS: dict[str, Callable[[Job], Iterator[int]]] = {
    'cat_ranges': lambda job: _cat_ranges(job, job['batch']),
    'cat_ranges_long': lambda job: _cat_ranges(job, 10 * job['batch']),
    'indexed': lambda job: _ours(job, 'indexed'),
    'streaming': lambda job: _ours(job, 'streaming'),
}


def rate(counts: Iterator[int], seconds: float) -> float:
  """Returns records/s, after a warm-up of at most as many seconds."""
  begun = time.perf_counter()
  while time.perf_counter() - begun < min(_WARM_S, seconds):
    next(counts)
  begun, count = time.perf_counter(), 0
  while True:
    count += next(counts)
    taken = time.perf_counter() - begun
    if taken >= seconds:
      return count / taken


def main() -> None:
  """Runs the way of the arguments, and prints its rate as JSON."""
  name, path = sys.argv[1:]
  with open(path, encoding='utf-8') as file:
    job = json.load(file)
  print(json.dumps({'rate': rate(WAYS[name](job), job['seconds'])}), flush=True)
  os._exit(0)  # requests on their way need not end


if __name__ == '__main__':
  main()
