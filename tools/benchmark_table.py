"""The numbers of a benchmark as Markdown tables, ready for BUILD_NOTES.md."""

import importlib.metadata
import os
import platform
import re
from typing import Any, Sequence

_PACKAGES = {
    'OpenCV': 'opencv-python-headless',
    'kornia_rs': 'kornia-rs',
    'cykooz_resizer': 'cykooz-resizer',
    'Pillow': 'Pillow',
}


def describe_machine() -> str:
  """Returns processor, cores, and the versions that decide the speed."""
  name = platform.processor() or platform.machine()
  try:
    with open('/proc/cpuinfo', encoding='utf-8') as file:
      found = re.search(r'model name\s*: (.+)', file.read())
      name = found[1] if found else name
  except OSError:
    pass  # no Linux
  cores = (len(os.sched_getaffinity(0))
           if hasattr(os, 'sched_getaffinity') else os.cpu_count())
  versions = [f'Python {platform.python_version()}']
  for title, package in _PACKAGES.items():
    versions.append(f'{title} {importlib.metadata.version(package)}')
  versions.append(f'TensorFlow {_tensorflow_version()}')
  return f'{name}, {cores} cores; {", ".join(versions)}'


def _tensorflow_version() -> str:
  for package in ('tensorflow', 'tensorflow-cpu', 'tensorflow-tpu'):
    try:
      return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
      continue
  return 'unknown'


def format_convert(report: dict[str, Any]) -> str:
  """Returns the two tables of benchmark_convert.measure, and what they mean."""
  peers = report['peers']
  plain = peers['pillow']
  rows = [_peer_row(peer, plain) for peer in peers.values()]
  head = ('', 'cold, samples/s', '× Pillow', 'warm, samples/s', '× Pillow',
          'CPU ms a sample, cold / warm', 'peak MiB', 'records',
          'mean difference')
  steps = [(step['title'], step['unit'], f'{step["ms"]:.3f}',
            f'{step["median_ms"]:.3f}', _number(step['mean_difference'], 2))
           for step in report['steps']]
  return '\n'.join([
      f'{report["num_samples"]} samples to {report["image_size"]} px; best of '
      f'{report["repeats"]} (median). Ratios are those of best rates, divided '
      'by cores. Peak: parent + largest worker.', '',
      _table(head, rows), '',
      _two_workers(peers['ours'], peers['ours_2']), '',
      _table(('decoders and filters', 'a', 'CPU ms, best', 'median',
              'mean difference from AREA'), steps)
  ])


def closing_line(report: dict[str, Any]) -> str:
  """Returns the benchmark's one result: one core against plain Pillow."""
  ours, plain = report['peers']['ours'], report['peers']['pillow']
  cold, warm = (
      ours[kind]['best'] / plain[kind]['best'] for kind in ('cold', 'warm'))
  return (f'One core converts {cold:.2f} times as many samples a second as '
          f'plain Pillow with its start ({ours["cold"]["best"]:.1f} against '
          f'{plain["cold"]["best"]:.1f}), {warm:.2f} times without '
          f'({ours["warm"]["best"]:.1f} against {plain["warm"]["best"]:.1f}).')


def _peer_row(peer: dict[str, Any], plain: dict[str, Any]) -> Sequence[str]:
  row = [peer['title']]
  for kind in ('cold', 'warm'):
    ratio = peer[kind]['best'] / peer['cores'] / plain[kind]['best']
    row += [
        f'{peer[kind]["best"]:.1f} ({peer[kind]["median"]:.1f})', f'{ratio:.2f}'
    ]
  memory = f'{peer["parent_mib"]:.0f}'
  if peer['worker_mib']:
    memory += f' + {peer["worker_mib"]:.0f}'
  return row + [
      f'{peer["cold"]["cpu_ms"]:.2f} / {peer["warm"]["cpu_ms"]:.2f}', memory,
      str(peer['num_records']),
      _number(peer.get('mean_difference'), 2)
  ]


def _two_workers(one: dict[str, Any], two: dict[str, Any]) -> str:
  """Says what a second worker brings, with and without the start of both."""
  parts = [
      f'{kind} {two[kind]["best"] / one[kind]["best"]:.2f}' for kind in ('cold',
                                                                         'warm')
  ]
  if one['steady'] and two['steady']:
    parts.append(f'{two["steady"] / one["steady"]:.2f} without what a call '
                 f'takes before its first sample ({two["steady"]:.1f} against '
                 f'{one["steady"]:.1f} samples/s)')
  else:
    parts.append('the rate without the start of a call not measured: too few '
                 'samples')
  return f'Two workers ÷ one: {", ".join(parts)}.'


def _number(value: float | None, digits: int) -> str:
  return '' if value is None else f'{value:.{digits}f}'


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
  lines = [head, ['---'] * len(head), *rows]
  return '\n'.join(f'| {" | ".join(line)} |' for line in lines)
