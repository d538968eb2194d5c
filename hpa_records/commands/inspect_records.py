"""Shows a folder of records, as text and as figures.

  hpa-inspect-records --records=records --figures=figures

Also what each policy of balance makes of its classes, whichever it stores.
"""

from absl import flags

from hpa_records.runtime import cli
from hpa_records.runtime import process
from hpa_records.sampling import balance_flags
from hpa_records.storage import path_check

_RECORDS = flags.DEFINE_string('records', '', 'Folder of the records.')
_FIGURES = flags.DEFINE_string(
    'figures', '', 'Folder for figures as PNG; none are drawn without it.')
_FOLD = flags.DEFINE_integer(
    'fold', 0, 'Held out where the draws of an epoch are counted.')
balance_flags.define_settings()


def main() -> None:
  """Prints the tables of a dataset, and draws its figures."""
  with process.ended_by_interrupt():
    # pylint: disable=import-outside-toplevel
    from hpa_records.inspection import gallery
    from hpa_records.inspection import summary
    from hpa_records.reading import dataset
  directory = path_check.require_path(_RECORDS.value, 'records')
  output = _FIGURES.value and path_check.require_path(_FIGURES.value, 'figures')
  read = [('records', directory)]
  path_check.refuse_shared([('figures', output)], read, closed=read)
  records = dataset.load(directory, allow_unlabelled=True)
  made, index = records.manifest, records.index
  fold = summary.require_fold(made, _FOLD.value)
  # Where a flag is not given, as the dataset was made.
  chosen = balance_flags.read_settings('none', made.settings)
  print(summary.describe(made, index, records.spec, fold, chosen))
  if output:
    paths = gallery.draw(directory, made, index, records.spec, fold, output,
                         chosen)
    print('\n'.join(['', *paths]))


def run() -> None:
  """Runs the command with its flags; see cli.run."""
  cli.run(main,
          text=__doc__,
          groups={
              'Input and output': ('records', 'figures'),
              'Balance': ('fold', *balance_flags.SETTINGS),
          })
