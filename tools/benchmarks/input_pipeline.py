"""Measures the rate of training batches, beside other ways to read the images.

All ways give batches of the same images, uint8, in random order, to a consumer
that drops them. Each runs in its own process on the same cores; they take turns
in each repeat, so that a busy minute affects all. Files are in the page cache.
The batches of some seconds are timed, after a second of warm-up.

Each way is tried in several settings first, and measured in the fastest, which
the table names. Before the timing, a way reads every image once: their number
and the sum of their bytes must be right.
"""

import dataclasses
import itertools
import json
import statistics
import sys
from typing import Any, Sequence

from benchmarks import input_job
from benchmarks import peer_reader
from benchmarks import process
from hpa_records.reading import dataset
from hpa_records.runtime import errors
from hpa_records.runtime import host

_PNG_KEYS = ('streaming', 'parse_batch')  # ways that read PNG records


@dataclasses.dataclass(frozen=True)
class Way:
  """One way to read.

  Attributes:
    key: its name in the JSON.
    title: its name in the table.
    function: its name in benchmarks.reader.
    settings: settings to try.
    tolerance: allowed relative error of the sum of the bytes.
  """
  key: str
  title: str
  function: str
  settings: tuple[dict[str, Any], ...]
  tolerance: float = 0.0

  @property
  def is_peer(self) -> bool:
    """Whether it runs in the environment of the peers, which has torch."""
    return self.function in peer_reader.WAYS

  @property
  def is_ours(self) -> bool:
    """Whether it reads with this project's readers."""
    return self.function in ('ours', 'open')

  @property
  def is_bound(self) -> bool:
    """Whether it only copies bytes, which no reader can do without."""
    return self.function == 'copies'

  @property
  def is_plain(self) -> bool:
    """Whether it is a plain tf.data pipeline over our shards."""
    return self.function == 'tf_records'


def _combine(**values: Sequence[Any]) -> tuple[dict[str, Any], ...]:
  """Returns a setting for each combination of the values of its keys."""
  return tuple(
      dict(zip(values, each)) for each in itertools.product(*values.values()))


def _ours(reader: str,
          check: str = 'none',
          transform: bool = False) -> tuple[dict[str, Any], ...]:
  return ({'reader': reader, 'check': check, 'transform': transform},)


def _plain(batch_first: bool) -> tuple[dict[str, Any], ...]:
  return _combine(batch_first=[batch_first],
                  threads=[0, 2],
                  read=[2**18, 2**23])


WAYS = (
    Way('memcpy', 'memcpy, from memory to batches', 'copies',
        _combine(source=['memory'], threads=[2, 3])),
    Way('page_cache', 'preadv, from page cache to batches', 'copies',
        _combine(source=['file'], threads=[2, 3])),
    Way('indexed', 'indexed reader', 'ours', _ours('indexed')),
    Way('indexed_crc', 'indexed reader, --check=crc', 'ours',
        _ours('indexed', 'crc')),
    Way('indexed_transform', 'indexed reader + transforms', 'ours',
        _ours('indexed', transform=True)),
    Way('streaming', 'streaming reader', 'ours', _ours('streaming')),
    Way('streaming_transform', 'streaming reader + transforms', 'ours',
        _ours('streaming', transform=True)),
    Way(
        'open', 'hpa_records.open, torch DataLoader', 'open',
        _combine(batches=['sampler'], workers=[0, 1, 2]) +
        _combine(batches=['items'], workers=[0])),
    Way('parse_batch', 'tf.data, parse then batch', 'tf_records',
        _plain(False)),
    Way('batch_parse', 'tf.data, batch then parse', 'tf_records', _plain(True)),
    Way('tfds', 'TensorFlow Datasets', 'tfds', _combine(cycle=[4, 16])),
    Way('grain', 'array_record + grain', 'grain',
        _combine(threads=[2, 8], buffer=[200], batch_first=[False, True])),
    Way('webdataset', 'webdataset', 'webdataset', _combine(workers=[0, 1, 2])),
    Way('mosaic', 'mosaicml-streaming', 'mosaic', _combine(workers=[0, 1, 2])),
    Way('torch_memmap', 'torch DataLoader, memory-mapped raw', 'torch',
        _combine(source=['raw'], workers=[0, 1, 2])),
    Way('torch_png', 'torch DataLoader, PNGs', 'torch',
        _combine(source=['png'], workers=[1, 2]), 0.01),
)


def choose(keys: Sequence[str]) -> Sequence[Way]:
  """Returns the ways with these keys; all if there are none.

  Raises:
    errors.DataError: a key is unknown.
  """
  unknown = set(keys) - {way.key for way in WAYS}
  if unknown:
    raise errors.DataError(
        f'Expected --only to name some of {", ".join(way.key for way in WAYS)},'
        f' received {sorted(unknown)[0]!r}.')
  return [way for way in WAYS if way.key in keys or not keys]


def measure(job: input_job.Job, ways: Sequence[Way]) -> dict[str, Any]:
  """Returns all numbers, as JSON has them.

  Raises:
    errors.DataError: a way does not read PNG records.
    RuntimeError: a way failed, or gave other images.
  """
  records = dataset.load(job.records)
  raw_only = [way.key for way in ways if way.key not in _PNG_KEYS]
  if records.spec.encoding == 'png' and raw_only:
    raise errors.DataError(
        f'{raw_only[0]} reads raw records only, received png ones at '
        f'{job.records}; pass --only={",".join(_PNG_KEYS)}.')
  path, expected = input_job.write(job, records)
  found: dict[str, dict[str, Any]] = {}
  for way in ways:
    if way.is_peer and not job.peers_python:
      found[way.key] = {'title': way.title, 'absent': 'no --peers_python'}
      continue
    found[way.key] = _tune(job, way, path, expected)
  for number in range(job.repeats):
    for way in ways:
      if 'absent' not in found[way.key]:
        print(f'repeat {number + 1} of {job.repeats}: {way.title}',
              file=sys.stderr,
              flush=True)
        rate = _run(job, way, found[way.key]['setting'], path)['rate']
        found[way.key]['rates'].append(rate)
  for each in found.values():
    if each.get('rates'):
      each['median'] = statistics.median(each['rates'])
  return {
      'num_images': expected['count'],
      'batch': job.batch,
      'repeats': job.repeats,
      'seconds': job.seconds,
      'ways': found,
      'ratios': _compare(found, ways),
  }


def _tune(job: input_job.Job, way: Way, path: str,
          expected: dict[str, int]) -> dict[str, Any]:
  """Tries a way's settings; returns its fastest."""
  tried = []
  for setting in way.settings:
    print(f'trying {way.title}: {_tell(setting)}', file=sys.stderr, flush=True)
    try:
      ran = _run(job, way, setting, path)
    except RuntimeError as error:
      if not way.is_peer:
        raise
      # An environment that lacks one peer may have the others.
      return {'title': way.title, 'absent': str(error).splitlines()[-1]}
    check_work(way, ran, expected)
    tried.append({'setting': setting, 'rate': ran['rate']})
  best = max(tried, key=lambda each: each['rate'])
  return {
      'title': way.title,
      'setting': best['setting'],
      'how': _tell(best['setting']),
      'tried': tried,
      'rates': [],
  }


def check_work(way: Way, ran: dict[str, Any], expected: dict[str, int]) -> None:
  """Checks that a pass gave every image, and nothing else.

  Args:
    way: that was run.
    ran: its count and sum.
    expected: the right count and sum.

  Raises:
    RuntimeError: they differ.
  """
  off = abs(ran['sum'] - expected['sum'])
  if ran['count'] != expected['count'] or off > way.tolerance * expected['sum']:
    raise RuntimeError(
        f'Expected {expected["count"]} images whose bytes add up to '
        f'{expected["sum"]} of {way.title}, received {ran["count"]} with '
        f'{ran["sum"]}.')


def _tell(setting: dict[str, Any]) -> str:
  return ', '.join(f'{key} {value}' for key, value in setting.items())


def _run(job: input_job.Job, way: Way, setting: dict[str, Any],
         path: str) -> dict[str, Any]:
  """Runs the process of a way; returns its output."""
  python = job.peers_python if way.is_peer else sys.executable
  words = [way.function, path, json.dumps(setting)]
  ran = process.run_module('reader', words, host.num_cores(), python)
  return json.loads(ran.stdout.splitlines()[-1])


def _compare(found: dict[str, Any], ways: Sequence[Way]) -> dict[str, float]:
  """Returns the ratios of our readers to what limits them and to others."""
  medians = {
      key: each['median'] for key, each in found.items() if each.get('median')
  }
  plain = max(
      (medians[way.key] for way in ways if way.is_plain and way.key in medians),
      default=None)
  ratios = {}
  if 'streaming' in medians and plain:
    ratios['streaming'] = medians['streaming'] / plain
  if 'indexed' not in medians:
    return ratios
  others = [
      medians[way.key]
      for way in ways
      if way.key in medians and not way.is_ours and not way.is_bound
  ]
  against = {
      'memcpy': medians.get('memcpy'),
      'page_cache': medians.get('page_cache'),
      'best_plain': plain,
      'best_other': max(others, default=None),
  }
  ratios |= {
      key: medians['indexed'] / value for key, value in against.items() if value
  }
  if 'indexed_crc' in medians:
    ratios['crc'] = medians['indexed_crc'] / medians['indexed']
  if 'open' in medians and others:
    ratios['open'] = medians['open'] / max(others)
  return ratios
