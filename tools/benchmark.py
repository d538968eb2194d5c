"""Measures how fast the project is, beside other ways to do the same.

  python tools/benchmark.py convert --csv=train.csv --images=train

Without --csv it makes sample data first. What is measured, and how, stands at
the head of benchmark_convert.py. The numbers belong into BUILD_NOTES.md with
the command; no test asserts one.
"""

import json
import os
import pathlib
import tempfile

from absl import flags

import benchmark_convert
import benchmark_table
from hpa_records import command
from hpa_records import filesystem
from hpa_records import sample_data

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
  if _JSON.value:
    path = filesystem.require_local(_JSON.value, 'json')
    pathlib.Path(path).write_text(json.dumps(report, indent=2) + '\n',
                                  encoding='utf-8')
  print(f'\n{benchmark_table.closing_line(report)}')


def _source(scratch: str) -> tuple[str, str]:
  """Returns the paths of CSV and images: the user's, or made ones."""
  if _CSV.value:
    return (filesystem.require_local(_CSV.value, 'csv'),
            filesystem.require_local(_IMAGES.value, 'images'))
  folder = os.path.join(scratch, 'data')
  sample_data.make(folder, _LIMIT.value or _NUM_MADE)
  return os.path.join(folder, 'train.csv'), os.path.join(folder, 'train')


if __name__ == '__main__':
  command.run(subcommands={'convert': main_convert})
