"""Shows a folder of records, as text and as figures.

  hpa-inspect-records --records=records --figures=figures
  hpa-inspect-records --records=records --figures=figures --rotate=30 --mixup=1

Also what each policy of balance makes of its classes, whichever it stores. With
flags of augmentation, also augmentation.png: images beside draws of them.
"""

import dataclasses

from absl import flags

from hpa_records.runtime import cli
from hpa_records.runtime import errors
from hpa_records.runtime import process
from hpa_records.sampling import balance_flags
from hpa_records.storage import path_check
from trainer import setting
from trainer.recipe import augmentation
from trainer.recipe import optimization

_RECORDS = flags.DEFINE_string('records', '', 'Folder of the records.')
_FIGURES = flags.DEFINE_string(
    'figures', '', 'Folder for figures as PNG; none are drawn without it.')
_FOLD = flags.DEFINE_integer(
    'fold', 0, 'Held out where the draws of an epoch are counted.')
balance_flags.define_settings()

_CHANGES = [
    field.name for field in dataclasses.fields(augmentation.Augmentation)
]
for _field in (*dataclasses.fields(augmentation.Augmentation),
               *dataclasses.fields(optimization.Optimization)):
  if _field.name in (*_CHANGES, 'seed'):
    setting.define_flag(_field)


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
  settings = _read_augmentation()
  if settings and not output:
    raise errors.DataError(
        'Expected --figures with flags of augmentation, whose contact sheet is '
        'a figure; pass --figures=FOLDER.')
  records = dataset.load(directory, allow_unlabelled=True)
  made, index = records.manifest, records.index
  fold = summary.require_fold(made, _FOLD.value)
  # Where a flag is not given, as the dataset was made.
  chosen = balance_flags.read_settings('none', made.settings)
  print(summary.describe(made, index, records.spec, fold, chosen))
  if output:
    paths = gallery.draw(directory, made, index, records.spec, fold, output,
                         chosen)
    if settings:
      paths += gallery.save({'augmentation': _draw_sheet(settings, records)},
                            output)
    print('\n'.join(['', *paths]))


def _read_augmentation() -> augmentation.Augmentation | None:
  """Returns the settings of the flags; None if no flag is given."""
  if not any(flags.FLAGS[name].present for name in _CHANGES):
    return None
  return augmentation.Augmentation(
      **{name: flags.FLAGS[name].value for name in _CHANGES})


def _draw_sheet(settings, records):
  """Returns the contact sheet of the first images of a dataset."""
  with process.ended_by_interrupt():
    # pylint: disable=import-outside-toplevel
    from hpa_records.inspection import gallery
    from hpa_records.runtime.tensorflow import tf
    from trainer.augmentation import dihedral
    from trainer.augmentation import sheet
  tf.config.set_visible_devices([], 'GPU')  # a training may need it
  dihedral.warm_up()
  rows = range(min(sheet.NUM_IMAGES, len(records.index)))
  images = gallery.load_images(records.directory, records.manifest,
                               records.index, rows)
  return sheet.draw(settings, flags.FLAGS.seed, images,
                    list(records.index['id'].iloc[list(rows)]), records.spec)


def run() -> None:
  """Runs the command with its flags; see cli.run."""
  cli.run(main,
          text=__doc__,
          groups={
              'Input and output': ('records', 'figures'),
              'Balance': ('fold', *balance_flags.SETTINGS),
              'Augmentation': (*_CHANGES, 'seed'),
          })
