"""Drafts the description of a dataset, to check and correct.

  hpa-describe-dataset --csv=mine.csv --images=images --output=mine.toml
  hpa-describe-dataset --images=images
"""

import os

from absl import flags

from hpa_records.runtime import cli
from hpa_records.runtime import errors
from hpa_records.runtime import printable
from hpa_records.storage import filesystem
from hpa_records.storage import path_check

_CSV = flags.DEFINE_string('csv', '', 'Table of the samples, if there is one.')
_IMAGES = flags.DEFINE_string('images', '', 'Folder of the image files.')
_OUTPUT = flags.DEFINE_string(
    'output', '', 'TOML file to write; without it the text is printed.')


def main() -> None:
  """Writes the draft, or prints it."""
  from hpa_records.survey import draft  # pylint: disable=import-outside-toplevel
  csv = _CSV.value and path_check.require_path(_CSV.value, 'csv')
  images = _IMAGES.value and path_check.require_path(_IMAGES.value, 'images')
  if not csv and not images:
    raise errors.DataError('--csv and --images are missing; pass one or both.')
  if not _OUTPUT.value:
    print(draft.draft(csv, images, 'mine'), end='')
    return
  output = path_check.require_local(_OUTPUT.value, 'output')
  path_check.refuse_shared([('output', output)], [('csv', csv),
                                                  ('images', images)])
  if not output.endswith('.toml'):
    raise errors.DataError(f'Expected --output to end in .toml, received '
                           f'{output}.')
  if os.path.lexists(output):
    raise errors.DataError(f'{output} exists; remove it or choose another '
                           '--output.')
  name = printable.escape_line(os.path.basename(output).removesuffix('.toml'))
  text = draft.draft(csv, images, name)
  with path_check.translate_write_errors(output):
    filesystem.write_atomically(output, text.encode())
  print(f'{output}: check and correct it, then pass --dataset={output}')


def run() -> None:
  """Runs the command with its flags; see cli.run."""
  cli.run(main,
          text=__doc__,
          groups={
              'Input': ('csv', 'images'),
              'Output': ('output',),
          })
