"""Trains the systems that the paper names: its Table 5, run.

  hpa-run-table5 --records=records --workdir=table5 --epochs=20
  hpa-run-table5 --records=records --workdir=table5 --minutes=10 --systems=mcnn

Trains one after the other, each with the activation of its source, into
WORKDIR/gapnet_prelu, WORKDIR/deeploc and so on; classifiers of descriptors as
hpa-run-features does, without a budget. Flags of hpa-train apply to all. Prints
the table and writes WORKDIR/report.html, of all systems that are finished
there. The same command continues an interrupted one.
"""

from collections.abc import Sequence
import math
import os
import sys

from absl import flags

from hpa_records.runtime import cli
from hpa_records.runtime import errors
from hpa_records.runtime import flag_file
from hpa_records.runtime import printable
from hpa_records.runtime import process as process_lib
from trainer import config as config_lib
from trainer import setting
from trainer import training_process
from trainer.commands import train

_TRIAL = 2  # epochs, the first of which traces

_SYSTEMS = flags.DEFINE_list('systems', [],
                             'Systems to train, by name; by default all.')
_MINUTES = flags.DEFINE_float(
    'minutes',
    0, 'Train as many epochs as fit in this time, by the second epoch, without '
    'evaluation; 0: --epochs.',
    lower_bound=0)
_OWN = ('systems', 'minutes')
_RULED = ('model', 'activation')


def main() -> None:
  """Trains systems, and writes the table of those that are finished."""
  records, directory = training_process.find_places()
  with process_lib.ended_by_interrupt():
    # pylint: disable=import-outside-toplevel
    from hpa_records.reading import dataset
    from trainer.descriptors import requirement
    from trainer.report import page
    from trainer.report import systems as systems_lib
  names = _choose(systems_lib.SYSTEMS)
  words = _plan(records)
  fold = train.find_first_fold(flags.FLAGS.fold)
  # What each system would refuse.
  dataset.load(records)
  if not all(systems_lib.SYSTEMS[name].has_network for name in names):
    requirement.check()
  page.prepare(directory, 'workdir')  # before hours of training
  refused = []
  for name in names:
    system = systems_lib.SYSTEMS[name]
    if system.has_network:
      code = _train([*words, *system.list_flags()],
                    os.path.join(directory, name), fold)
    else:
      code = _fit(name, records, directory, fold)
    if code not in (0, 2):
      sys.exit(code)
    if code:  # for example, its images are too small
      refused.append(name)
  _report(directory)
  if refused:
    raise errors.DataError(
        f'Not trained: {", ".join(refused)}. The reasons are above; fix them, '
        'or leave these systems out with --systems.')


def _choose(known: Sequence[str]) -> list[str]:
  """Returns the names of --systems, in the order of the table."""
  unknown = [each for each in _SYSTEMS.value if each not in known]
  if unknown:
    raise errors.DataError(
        f'No system {printable.quote(unknown[0])} in --systems; pass some of '
        f'{", ".join(known)}.')
  return [each for each in known if each in (_SYSTEMS.value or known)]


def _plan(records: str) -> list[str]:
  """Returns the flags of hpa-train that all systems share.

  Raises:
    errors.DataError: a flag is wrong, or one that the table sets.
  """
  files, given = flag_file.split(sys.argv[1:])
  words = [*flag_file.expand(files), *given]
  values = training_process.parse(words)
  if not math.isfinite(_MINUTES.value):
    raise errors.DataError('Expected --minutes as a number, received '
                           f'{_MINUTES.value}.')
  ruled = {name: values[name] for name in _RULED}
  if _MINUTES.value:  # epochs of a flag file do not count
    ruled['epochs'] = training_process.parse(given)['epochs']
  for name, flag in ruled.items():
    if flag.present:
      raise errors.DataError(
          f'Expected no --{name}, which the table sets, received {flag.value}; '
          'leave it out, or use hpa-train.')
  if _MINUTES.value and values['schedule'].value != 'plateau':
    raise errors.DataError(
        'Expected --schedule=plateau with --minutes, as the number of epochs '
        f'is found while training, received {values["schedule"].value}; pass '
        '--epochs in place of --minutes.')
  words.append(f'--records={records}')
  training_process.list_arguments(words)  # refuses a wrong value
  return words


def _train(words: Sequence[str], folder: str, first: int) -> int:
  """Trains a system up to its budget; returns the exit code.

  Args:
    words: flags of hpa-train but those of the folder and the budget.
    folder: of the run.
    first: the fold whose speed is measured.
  """
  words = [*words, f'--workdir={folder}']
  if not _MINUTES.value:
    return training_process.run(training_process.list_arguments(words))
  epochs = _find_epochs(folder, first)
  if not epochs:
    trial = [*words, f'--epochs={_TRIAL}', f'--fold={first}']
    code = training_process.run(training_process.list_arguments(trial))
    if code:
      return code
    epochs = _find_epochs(folder, first)
    if not epochs:
      raise errors.DataError(
          f'The run at {folder} has no epoch {_TRIAL} in its history, which '
          '--minutes needs; move it elsewhere, or pass --epochs.')
  return training_process.run(
      training_process.list_arguments([*words, f'--epochs={epochs}']))


def _fit(name: str, records: str, directory: str, fold: int) -> int:
  """Fits a classifier of descriptors; returns the exit code."""
  values = flags.FLAGS
  words = [
      f'--records={records}', f'--workdir={directory}', f'--classifiers={name}',
      f'--seed={values.seed}', f'--threshold={values.threshold}'
  ]
  if values.fold != train.ALL:
    words.append(f'--folds={fold}')
  if values.loss == 'softmax':
    words.append('--single_label')
  return training_process.run(words, 'run_features')


def _find_epochs(folder: str, fold: int) -> int:
  """Returns how many epochs fit in --minutes, at least those of a trial.

  0 before the trial has ended.

  Args:
    folder: of the run.
    fold: whose second epoch is the measure.

  Raises:
    errors.DataError: history.csv is damaged.
  """
  # pylint: disable=import-outside-toplevel
  from trainer.run import fold_file
  from trainer.run import fold_form
  from trainer.run import workdir
  fold_directory = workdir.fold_directory(folder, fold)
  if not os.path.exists(os.path.join(fold_directory, workdir.HISTORY_NAME)):
    return 0
  history = fold_file.load_history(fold_directory).set_index('epoch')
  if _TRIAL not in history.index:
    return 0
  row = history.loc[_TRIAL]
  images, rate = (
      float(row.get(name, 0)) for name in ('images', 'images_per_s'))
  if not (images > 0 and rate > 0):  # nor nan
    raise errors.DataError(
        f'{fold_directory}/{workdir.HISTORY_NAME} does not say how fast epoch '
        f'{_TRIAL} was; move {folder} elsewhere, or pass --epochs.')
  epochs = 60 * _MINUTES.value * rate / images
  return int(max(_TRIAL, min(epochs, fold_form.MOST_EPOCHS)))


def _report(directory: str) -> None:
  """Prints the table of the finished systems, and writes their page."""
  # pylint: disable=import-outside-toplevel
  from trainer.report import page
  from trainer.report import systems as systems_lib
  folders = [os.path.join(directory, name) for name in systems_lib.SYSTEMS]
  folders = [each for each in folders if _is_finished(each)]
  if folders:
    path = page.write(folders, directory)
    if len(folders) > 1:
      print(systems_lib.format_text(systems_lib.load(directory)))
    print(path)


def _is_finished(folder: str) -> bool:
  """Returns whether a system has a fold that was trained to its end."""
  # pylint: disable=import-outside-toplevel
  from trainer.run import fold_file
  from trainer.run import workdir
  for fold in workdir.list_folds(folder):
    path = os.path.join(workdir.fold_directory(folder, fold),
                        workdir.METRICS_NAME)
    if os.path.exists(path):
      # Not the metrics of a trial.
      least = _find_epochs(folder, fold) if _MINUTES.value else 0
      stops = flags.FLAGS.stop_patience > 0
      if stops or fold_file.load_json(path).get('epoch', least) >= least:
        return True
  return False


def run() -> None:
  """Runs the command with its flags; see cli.run."""
  groups = setting.list_groups(config_lib.Config)
  groups = {
      heading: [name for name in names if name not in _RULED]
      for heading, names in groups.items()
  }
  groups['Input and output'] += _OWN
  cli.run(main, text=__doc__, groups=groups)
