"""Draws the picture of README.md from a finished run, as WebP.

On the left samples of the first finished fold, on the right F1 of each class,
as in the report. The picture of README.md shows a run of 80 epochs on the data
of make demo:

  python -m trainer.main --flagfile=demo.flags --records=demo/records \
    --workdir=demo/long --epochs=80
  python tools/documents/make_picture.py --workdir=demo/long \
    --output=docs/picture.webp
"""

from absl import flags

from hpa_records.runtime import cli
from hpa_records.runtime import errors
from hpa_records.storage import filesystem
from hpa_records.storage import path_check
from trainer.report import picture

_WORKDIR = flags.DEFINE_string('workdir', '', 'Folder of the run.')
_OUTPUT = flags.DEFINE_string('output', '', 'The picture, a .webp.')


def main() -> None:
  """Draws the picture of --workdir, and prints its path."""
  workdir = path_check.require_local(_WORKDIR.value, 'workdir')
  output = path_check.require_local(_OUTPUT.value, 'output')
  path_check.refuse_shared([('output', output)], [('workdir', workdir)],
                           closed=[('workdir', workdir)])
  if not output.endswith('.webp'):
    raise errors.DataError(f'Expected --output=NAME.webp, received {output}.')
  path_check.prepare_output(output, 'output')
  with path_check.translate_write_errors(output):
    path_check.refuse_foreign(output, 'WEBP', 'output')
    filesystem.write_atomically(output, picture.draw(workdir))
  print(output)


if __name__ == '__main__':
  cli.run(main)
