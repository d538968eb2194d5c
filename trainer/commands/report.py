"""Writes the results of one or more runs as one page.

  hpa-report --workdir=run
  hpa-report --workdir=prelu --workdir=selu --output=both
"""

from absl import flags

from hpa_records.runtime import cli
from hpa_records.runtime import process
from hpa_records.storage import path_check
from trainer.run import workdir

_WORKDIR = flags.DEFINE_multi_string(
    'workdir', [], 'Folder of a run; several are put on one page.')
_OUTPUT = flags.DEFINE_string(
    'output', '', 'Folder of the report; by default the first --workdir.')


def main() -> None:
  """Writes the report of the runs of --workdir."""
  with process.ended_by_interrupt():
    from trainer.report import page as page_lib  # pylint: disable=import-outside-toplevel
  workdirs = [
      path_check.require_local(each, 'workdir')
      for each in _WORKDIR.value or ['']
  ]
  output = path_check.require_path(_OUTPUT.value or workdirs[0], 'output')
  runs = [('workdir', each) for each in workdirs]
  folds = [('workdir', fold)
           for each in workdirs
           for fold in workdir.list_fold_directories(each)]
  page, folder = page_lib.name_outputs(output)
  path_check.refuse_shared([('output', page), ('output', folder)],
                           runs,
                           closed=folds,
                           filled=[('output', folder)])
  print(page_lib.write(workdirs, output))


def run() -> None:
  """Runs the command with its flags; see cli.run."""
  cli.run(main,
          text=__doc__,
          groups={'Input and output': ('workdir', 'output')})
