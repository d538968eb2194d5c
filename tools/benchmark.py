"""Measures what the project does and how fast, beside other ways to do it.

  python tools/benchmark.py convert --csv=train.csv --images=train
  python tools/benchmark.py balance --csv=train.csv

Without --csv convert makes sample data first; balance needs no image. What is
measured, and how, stands at the head of benchmark_<subcommand>.py. The numbers
belong into BUILD_NOTES.md with the command; no test asserts a speed.
"""

import json
import os
import pathlib
import tempfile
from typing import Any

from absl import flags

import benchmark_balance
import benchmark_convert
import benchmark_table
from hpa_records import balance_flags
from hpa_records import command
from hpa_records import filesystem
from hpa_records import folds
from hpa_records import gallery
from hpa_records import sample_data
from hpa_records import summary

_CSV = flags.DEFINE_string(
    'csv', '', 'Table with the columns Id and Target; '
    'without it, sample data is made.')
_IMAGES = flags.DEFINE_string('images', '', 'Folder of <Id>_<channel>.png.')
_IMAGE_SIZE = flags.DEFINE_integer('image_size',
                                   299,
                                   'Height and width of the stored images.',
                                   lower_bound=1)
_LIMIT = flags.DEFINE_integer('limit',
                              0,
                              'Takes only the first rows of the CSV; 0 takes '
                              'all, or makes 300 samples.',
                              lower_bound=0)
_REPEATS = flags.DEFINE_integer('repeats',
                                3,
                                'How often everything is measured.',
                                lower_bound=1)
_WORKDIR = flags.DEFINE_string(
    'workdir', '', 'Folder for what is written while measuring and removed '
    'afterwards; by default where temporary files lie.')
_JSON = flags.DEFINE_string('json', '', 'File for all numbers.')
_NUM_FOLDS = flags.DEFINE_integer('num_folds', 5,
                                  'Of balance: number of folds.')
_SEEDS = flags.DEFINE_integer('seeds',
                              3,
                              'Of balance: how many cuts into folds.',
                              lower_bound=1)
_ROWS = flags.DEFINE_integer(
    'rows',
    1000000,
    'Of balance: to how many rows the table is repeated for a second timing; '
    '0 has none.',
    lower_bound=0)
_FIGURES = flags.DEFINE_string(
    'figures', '', 'Of balance: folder for class counts before and after each '
    'policy as PNG, fold 0 of the first cut held out.')
balance_flags.define_settings()

_NUM_MADE = 300


def main_convert() -> None:
  if _WORKDIR.value:
    filesystem.make_folder(filesystem.require_local(_WORKDIR.value, 'workdir'))
  with tempfile.TemporaryDirectory(dir=_WORKDIR.value or None,
                                   prefix='benchmark-') as scratch:
    csv, images = _source(scratch)
    job = benchmark_convert.Job(csv=csv,
                                images=images,
                                samples=benchmark_convert.read_samples(
                                    csv, images, _LIMIT.value),
                                image_size=_IMAGE_SIZE.value,
                                scratch=scratch,
                                repeats=_REPEATS.value)
    report = benchmark_convert.measure(job)
  report['machine'] = benchmark_table.describe_machine()
  print(report['machine'])
  print(benchmark_table.format_convert(report))
  _write_json(report)
  print(f'\n{benchmark_table.closing_line(report)}')


def main_balance() -> None:
  chosen = balance_flags.read_settings('none', {})
  ids, labels = benchmark_balance.read_labels(
      filesystem.require_path(_CSV.value, 'csv'), _LIMIT.value)
  report = benchmark_balance.measure(
      benchmark_balance.Job(ids=ids,
                            labels=labels,
                            num_folds=_NUM_FOLDS.value,
                            num_seeds=_SEEDS.value,
                            chosen=chosen,
                            num_rows=_ROWS.value,
                            repeats=_REPEATS.value))
  report['machine'] = benchmark_table.describe_machine()
  print(report['machine'])
  print(benchmark_table.format_balance(report))
  _write_json(report)
  if _FIGURES.value:
    output = filesystem.require_path(_FIGURES.value, 'figures')
    cut = folds.assign(ids, labels, _NUM_FOLDS.value, 0)
    _, totals = summary.compare(ids, labels, cut, 0, chosen, 0)
    paths = gallery.save(gallery.draw_policies(totals, 0), output)
    print('\n'.join(['', *paths]))
  print(f'\n{benchmark_table.closing_line_balance(report)}')


def _write_json(report: dict[str, Any]) -> None:
  if _JSON.value:
    path = filesystem.require_local(_JSON.value, 'json')
    pathlib.Path(path).write_text(json.dumps(report, indent=2) + '\n',
                                  encoding='utf-8')


def _source(scratch: str) -> tuple[str, str]:
  """Returns the paths of CSV and images: the user's, or made ones."""
  if _CSV.value:
    return (filesystem.require_local(_CSV.value, 'csv'),
            filesystem.require_local(_IMAGES.value, 'images'))
  folder = os.path.join(scratch, 'data')
  sample_data.make(folder, _LIMIT.value or _NUM_MADE)
  return os.path.join(folder, 'train.csv'), os.path.join(folder, 'train')


if __name__ == '__main__':
  command.run(subcommands={'convert': main_convert, 'balance': main_balance})
