"""Checks that a dataset is complete and undamaged.

  hpa-verify-records --records=records --deep
"""

import time

from absl import flags

from hpa_records.runtime import cli
from hpa_records.runtime import printable
from hpa_records.runtime import process
from hpa_records.storage import path_check

_RECORDS = flags.DEFINE_string('records', '', 'Folder of the records.')
_DEEP = flags.DEFINE_bool('deep', False,
                          'Also decodes every record and checks every field.')
_WORKERS = flags.DEFINE_integer('workers',
                                0,
                                'Threads and processes; 0 is one a core.',
                                lower_bound=0)


def main() -> None:
  """Checks the dataset of --records, and prints what was checked."""
  with process.ended_by_interrupt():
    from hpa_records.inspection import verify  # pylint: disable=import-outside-toplevel
  directory = path_check.require_path(_RECORDS.value, 'records')
  start = time.monotonic()
  found = verify.verify(directory, _DEEP.value, _WORKERS.value)
  taken_s = time.monotonic() - start
  print(f'{found.manifest.num_records} records in '
        f'{len(found.manifest.shards)} shards are valid '
        f'({"every field" if _DEEP.value else "every byte"} was checked): '
        f'{printable.show_bytes(found.num_bytes)} in {taken_s:.1f} s, '
        f'{printable.show_bytes(round(found.num_bytes / taken_s))}/s')


def run() -> None:
  """Runs the command with its flags; see cli.run."""
  cli.run(main,
          text=__doc__,
          groups={
              'Input': ('records',),
              'Checks': ('deep', 'workers'),
          })
