"""Reading from an address beside a plain downloader and tf.data.

All ways read the same records from the same server, in turn: a local one that
waits before it answers each request (server). The downloader calls fsspec's
cat_ranges in a loop, for one batch or for ten a call; it decodes, checks and
copies nothing. tf.data reads http:// and s3:// with tensorflow-io only, which
has an environment of its own.
"""

import contextlib
import dataclasses
import json
import os
import statistics
import subprocess
import sys
from typing import Any, Iterator

from benchmarks import process
from hpa_records.reading import dataset
from hpa_records.runtime import host

WAYS = {
    'cat_ranges': 'fsspec cat_ranges, a batch a call',
    'cat_ranges_long': 'fsspec cat_ranges, ten batches a call',
    'indexed': 'indexed reader',
    'streaming': 'streaming reader',
}
_SCHEMES = ('http', 's3')


@dataclasses.dataclass(frozen=True)
class Job:
  """The settings of a measurement.

  Attributes:
    records: folder of a dataset.
    scratch: folder for files of this measurement.
    io_python: interpreter with tensorflow-io; '' leaves tf.data out.
    latency_ms: waited before each answer.
    batch: images in a batch.
    seconds: for which a way is timed.
    repeats: repetitions of everything.
  """
  records: str
  scratch: str
  io_python: str
  latency_ms: float
  batch: int
  seconds: float
  repeats: int


def measure(job: Job) -> dict[str, Any]:
  """Returns all numbers, as JSON has them.

  Raises:
    errors.DataError: the records cannot be read.
    RuntimeError: a way failed.
  """
  records = dataset.load(job.records)
  rates: dict[str, dict[str, list[float]]] = {
      scheme: {
          name: [] for name in _names(job)
      } for scheme in _SCHEMES
  }
  with _serve(job) as port:
    for number in range(job.repeats):
      for scheme, ways in rates.items():
        for name, found in ways.items():
          print(
              f'repeat {number + 1} of {job.repeats}: {scheme}, '
              f'{WAYS[name]}',
              file=sys.stderr,
              flush=True)
          found.append(_run(job, scheme, name, port))
  medians = {
      scheme: {
          name: statistics.median(each) for name, each in ways.items()
      } for scheme, ways in rates.items()
  }
  return {
      'record_mb': float(records.index['record_bytes'].mean()) / 1e6,
      'encoding': records.spec.encoding,
      **dataclasses.asdict(job), 'rates': rates,
      'medians': medians,
      'ratios': {
          scheme: {
              name: ways['indexed'] / each for name, each in ways.items()
          } for scheme, ways in medians.items()
      }
  }


def _names(job: Job) -> list[str]:
  return [name for name in WAYS if job.io_python or name != 'streaming']


@contextlib.contextmanager
def _serve(job: Job) -> Iterator[int]:
  """Yields the port of a server that runs during the block."""
  with subprocess.Popen([
      sys.executable, '-m', 'benchmarks.remote.server', job.records,
      str(job.latency_ms)
  ],
                        stdout=subprocess.PIPE,
                        env=os.environ | process.environment()) as server:
    try:
      yield int(server.stdout.readline())
    finally:
      server.kill()


def _run(job: Job, scheme: str, name: str, port: int) -> float:
  """Runs the process of a way; returns its records/s."""
  endpoint = f'http://127.0.0.1:{port}'
  path = os.path.join(job.scratch, 'job.json')
  address = f'{endpoint}/records' if scheme == 'http' else 's3://records'
  with open(path, 'w', encoding='utf-8') as file:
    json.dump({**dataclasses.asdict(job), 'address': address}, file)
  python = job.io_python if name == 'streaming' else sys.executable
  found = process.run(
      [python, '-m', 'benchmarks.remote.way', name, path], host.num_cores(), {
          **process.environment(),
          'AWS_ACCESS_KEY_ID': 'test',
          'AWS_SECRET_ACCESS_KEY': 'test',
          'AWS_REGION': 'us-east-1',
          'AWS_ENDPOINT_URL': endpoint,
          'S3_ENDPOINT': endpoint,
          'S3_USE_HTTPS': '0',
          'S3_VERIFY_SSL': '0',
      })
  return json.loads(found.stdout.splitlines()[-1])['rate']


def form(report: dict[str, Any]) -> str:
  """Returns the table of measure."""
  lines = [
      f'{report["encoding"]} records of {report["record_mb"]:.2f} MB, batches '
      f'of {report["batch"]}, {report["latency_ms"]:g} ms added to each '
      f'request, {report["seconds"]:g} s a measurement.', '',
      '| | | MB/s, median | least–most | indexed reader ÷ this |',
      '|---|---|---|---|---|'
  ]
  for scheme, ways in report['rates'].items():
    for name, found in ways.items():
      megabytes = [each * report['record_mb'] for each in found]
      lines.append(f'| {scheme} | {WAYS[name]} | '
                   f'{statistics.median(megabytes):.0f} | '
                   f'{min(megabytes):.0f}–{max(megabytes):.0f} | '
                   f'{report["ratios"][scheme][name]:.2f} |')
  return '\n'.join(lines)
