"""Measures the speed of the converter, beside other ways to do the same work.

Every way converts the same files to the same size on the same core, in its own
process. The ways take turns in each repeat, so that a busy minute affects all.
cold is the whole command including its start; warm is the conversion alone, in
a process that has converted before. The files are read once before, so reading
does not wait for the disk. The converter waits until its shards are on the
disk, the others do not.

Afterwards the records of all ways are counted, and one is compared.
"""

import dataclasses
import importlib.util
import json
import os
import pathlib
import shutil
import statistics
import sys
from typing import Any, Sequence

from benchmarks import balance
from benchmarks.conversion import conversion_job
from benchmarks import process
from benchmarks.conversion import record_check
from benchmarks.conversion import tiff_source
from hpa_records.datasets import description
from hpa_records.runtime import errors

_MAKE_RECORDS = str(
    pathlib.Path(__file__).resolve().parents[2] / 'make_records.py')
# In shards of 128 MiB a thousand samples are five or six, and two workers end
# apart by up to a whole one. In these they have as many as all of HPA at 128.
_SHARD_MB = 16

# Below it the workers' start hides the rest of a call.
_MIN_CALL_RATIO = 1.25

PEERS = (
    conversion_job.Peer('ours', 'make_records, 1 worker', is_ours=True),
    conversion_job.Peer('ours_2',
                        'make_records, 2 workers',
                        cores=2,
                        is_ours=True),
    conversion_job.Peer('pillow', 'Pillow, tf.train.Example'),
    conversion_job.Peer('graph', 'tf.data graph, tf.train.Example'),
    conversion_job.Peer('opencv', 'OpenCV AREA, tf.train.Example'),
    conversion_job.Peer('inflate', 'inflate only, no records'),
)
# The same table and ids with five 16-bit TIFFs; where tifffile is installed.
TIFF_PEERS = (
    conversion_job.Peer('tiff_ours', 'make_records, 1 worker', is_ours=True),
    conversion_job.Peer('tifffile', 'tifffile, Pillow, tf.train.Example'),
)


def read_samples(csv: str, images: str, limit: int) -> list[dict[str, Any]]:
  """Returns id, multi-hot labels and files of the first rows; 0 takes all.

  Raises:
    errors.DataError: a file cannot be read, or a row is invalid.
  """
  ids, labels = balance.read_labels(csv, limit)
  samples = []
  channels = [each.name for each in description.default().channels]
  for sample_id, row in zip(ids, labels.tolist()):
    files = [
        os.path.join(images, f'{sample_id}_{channel}.png')
        for channel in channels
    ]
    for path in files:
      try:
        pathlib.Path(path).read_bytes()  # now it is in the page cache
      except OSError as error:
        raise errors.describe_read(path, error) from error
    samples.append({'id': sample_id, 'labels': row, 'files': files})
  return samples


def measure(job: conversion_job.Job) -> dict[str, Any]:
  """Returns all numbers, as JSON has them: peers by key, and steps.

  Raises:
    errors.DataError: the converter refused the input, or TensorFlow is
      missing, without which there is nothing to compare with.
    RuntimeError: a peer failed, or did other work than the converter.
  """
  if importlib.util.find_spec('tensorflow') is None:
    raise errors.DataError('Plain conversion needs TensorFlow, which is not '
                           'installed; pip install "hpa-records[cpu]".')
  report = {
      'num_samples': len(job.samples),
      'image_size': job.image_size,
      'repeats': job.repeats,
      'peers': _measure_peers(job, PEERS)
  }
  path = _write_job(job, 'steps', repeats=job.repeats)
  steps = process.run_module('conversion.conversion_step', [path], 1)
  report['steps'] = json.loads(steps.stdout)
  if importlib.util.find_spec('tifffile') is not None:
    tiffs = tiff_source.make(job)
    report['tiff'] = {
        'num_samples': len(tiffs.samples),
        'peers': _measure_peers(tiffs, TIFF_PEERS)
    }
  return report


def _measure_peers(
    job: conversion_job.Job,
    peers: Sequence[conversion_job.Peer]) -> dict[str, dict[str, Any]]:
  """Returns the numbers of each peer, by key; errors as of measure."""
  runs = {peer.key: {'cold': [], 'warm': []} for peer in peers}
  for number in range(job.repeats):
    for peer in peers:
      print(f'repeat {number + 1} of {job.repeats}: {peer.title}',
            file=sys.stderr,
            flush=True)
      for kind, run in (_run_ours if peer.is_ours else _run)(job, peer).items():
        runs[peer.key][kind].append(run)
  numbers = {peer.key: _numbers(job, peer, runs[peer.key]) for peer in peers}
  _check_records(job, numbers)
  return numbers


def _run_ours(job: conversion_job.Job,
              peer: conversion_job.Peer) -> dict[str, dict]:
  """Runs the command, and the same conversion in a warm process."""
  _clear(job, peer)
  path = _write_job(job,
                    peer.key,
                    output=job.output(peer.key),
                    workers=peer.cores,
                    shard_mb=_SHARD_MB)
  warm = process.run_module('conversion.converter', ['ours', path], peer.cores)
  _clear(job, peer)
  command = [
      sys.executable, _MAKE_RECORDS, f'--csv={job.csv}',
      f'--images={job.images}', f'--output={job.output(peer.key)}',
      f'--image_size={job.image_size}', f'--workers={peer.cores}',
      f'--shard_mb={_SHARD_MB}', f'--limit={len(job.samples)}',
      f'--dataset={job.dataset}'
  ]
  cold = dataclasses.asdict(process.run(command, peer.cores))
  del cold['stdout']
  return {'cold': cold, 'warm': json.loads(warm.stdout)}


def _run(job: conversion_job.Job, peer: conversion_job.Peer) -> dict[str, dict]:
  """Runs the process of another way, which converts twice."""
  _clear(job, peer)
  path = _write_job(job, peer.key, output=job.output(peer.key))
  cold = dataclasses.asdict(
      process.run_module('conversion.converter', [peer.key, path], peer.cores))
  warm = json.loads(cold.pop('stdout'))
  for name, taken in warm.pop('again').items():
    cold[name] -= taken
  return {'cold': cold, 'warm': warm}


def _write_job(job: conversion_job.Job, name: str, **more: Any) -> str:
  path = os.path.join(job.scratch, f'{name}.json')
  with open(path, 'w', encoding='utf-8') as file:
    json.dump({**dataclasses.asdict(job), **more}, file)
  return path


def _clear(job: conversion_job.Job, peer: conversion_job.Peer) -> None:
  """Removes the output of a peer; waits for the disk."""
  path = job.output(peer.key)
  if peer.is_ours:
    shutil.rmtree(path, ignore_errors=True)
  for each in (path, path + '.again'):
    pathlib.Path(each).unlink(missing_ok=True)
  os.sync()


def _numbers(job: conversion_job.Job, peer: conversion_job.Peer,
             runs: dict[str, list]) -> dict[str, Any]:
  """Returns a peer's rates, samples/s, and the numbers behind them."""
  numbers = {'title': peer.title, 'cores': peer.cores, 'runs': runs}
  for kind, each in runs.items():
    walls_s = [run['wall_s'] for run in each]
    numbers[kind] = {
        'best': len(job.samples) / min(walls_s),
        'median': len(job.samples) / statistics.median(walls_s),
        'cpu_ms': min(run['cpu_s'] for run in each) / len(job.samples) * 1e3,
    }
  # Importing TensorFlow runs a small process too, which is no worker.
  numbers['parent_mib'] = max(run['parent_mib'] for run in runs['cold'])
  numbers['worker_mib'] = max(
      run['worker_mib'] for run in runs['cold']) if peer.cores > 1 else 0.0
  if peer.is_ours:
    numbers['steady'] = _steady_rate(len(job.samples), runs['warm'])
  return numbers


def _steady_rate(num_samples: int, runs: list[dict]) -> float | None:
  """Returns samples/s without the fixed cost of a call; None if unknown."""
  few = runs[0]['num_few']
  whole_s = min(run['wall_s'] for run in runs)
  few_s = min(run['few']['wall_s'] for run in runs)
  if num_samples == few or whole_s < _MIN_CALL_RATIO * few_s:
    return None
  return (num_samples - few) / (whole_s - few_s)


def _check_records(job: conversion_job.Job, peers: dict[str, dict]) -> None:
  """Adds num_records and mean_difference to each peer.

  Raises:
    RuntimeError: a number of records, or a peer's pixels, are others.
  """
  images = {}
  for key, numbers in peers.items():
    if key == 'inflate':
      count = _check_inflated(job, numbers['runs']['warm'])
    else:
      count, images[key] = record_check.read(job.output(key), job.samples[0],
                                             job.image_size)
    numbers['num_records'] = count
    if count != len(job.samples):
      raise RuntimeError(f'Expected {len(job.samples)} records of {key}, '
                         f'found {count}')
  for key, difference in record_check.compare(images,
                                              next(iter(peers))).items():
    peers[key]['mean_difference'] = difference


def _check_inflated(job: conversion_job.Job, runs: list[dict[str, Any]]) -> int:
  """Returns the number of samples; raises if the inflated bytes differ."""
  expected = record_check.count_inflated(
      path for sample in job.samples for path in sample['files'])
  for run in runs:
    if run['num_bytes'] != expected:
      raise RuntimeError(f'Expected {expected} inflated bytes, found '
                         f'{run["num_bytes"]}')
  return runs[0]['num_samples']
