"""Writes what stands in the code into docs/reference.md: the flags of training.

  python tools/docs/write_reference.py
"""

import pathlib

from trainer import config
from trainer import setting

PATH = pathlib.Path(__file__).resolve().parents[2] / 'docs' / 'reference.md'
_HEADING = '\n## Flags of training\n'
_NOTE = ('Written by `python tools/docs/write_reference.py` from '
         '`trainer/config.py`. On resume: when the same `--workdir` is trained '
         'further.')


def render(text: str) -> str:
  """Returns the text of reference.md with its section of flags up to date."""
  before, heading, after = text.partition(_HEADING)
  if not heading:
    raise ValueError(f'Expected the heading {_HEADING.strip()!r} in {PATH}, '
                     'received none.')
  _, following, rest = after.partition('\n## ')
  table = setting.tabulate(config.Config)
  return f'{before}{heading}\n{_NOTE}\n\n{table}{following}{rest}'


if __name__ == '__main__':
  PATH.write_text(render(PATH.read_text(encoding='utf-8')), encoding='utf-8')
