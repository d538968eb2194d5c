"""Trains a network and evaluates it on a held-out fold.

  hpa-train --records=records --workdir=run --fold=0
  hpa-train --records=records --workdir=run --fold=all --activation=selu

Defaults are Table 1's of the paper, without its balance: prelu.flags has both.
The same command continues an interrupted run.
"""

import dataclasses
import os
from typing import Any

from absl import flags

from hpa_records.runtime import cli
from hpa_records.runtime import errors
from hpa_records.runtime import printable
from hpa_records.runtime import process
from hpa_records.storage import path_check
from trainer import config as config_lib
from trainer import setting
from trainer.run import workdir

_SETTINGS = dataclasses.fields(config_lib.Config)
ALL = 'all'
_SHOWN = ('auc_macro', 'auc_micro', 'accuracy_binary', 'accuracy_subset',
          'accuracy_argmax') + tuple(
              f'{score}_{kind}' for score in ('f1', 'precision', 'recall')
              for kind in ('macro', 'micro', 'samples', 'paper'))
_SHOWN_SINGLE = ('accuracy_argmax', 'log_loss', 'auc_macro', 'f1_macro',
                 'precision_macro', 'recall_macro')

for _field in _SETTINGS:
  if _field.name == 'fold':
    flags.DEFINE_string('fold', str(_field.default),
                        f'{setting.of(_field).help} {ALL}: each in turn.')
  else:
    setting.define_flag(_field)


def main() -> None:
  """Trains one fold, or all, and prints the metrics."""
  values = {each.name: flags.FLAGS[each.name].value for each in _SETTINGS}
  values['records'] = path_check.require_path(values['records'], 'records')
  folders = [each for each in ('stage_dir', 'cache_dir') if values[each]]
  sources = [each for each in ('init_from', 'weights_file') if values[each]]
  for name in ('workdir', *folders, *sources):
    values[name] = path_check.require_local(values[name], name)
  records, written = values['records'], values['workdir']
  path_check.refuse_shared(
      [('workdir', written), *((each, values[each]) for each in folders)],
      [('records', records)],
      closed=[('records', records)],
      filled=[
          ('workdir', each) for each in workdir.list_fold_directories(written)
      ])
  fold = values.pop('fold')
  config = config_lib.Config(**values, fold=find_first_fold(fold))
  with process.ended_by_interrupt():
    # pylint: disable=import-outside-toplevel
    from hpa_records.runtime.tensorflow import tf
    from trainer.report import tables
    from trainer.run import finished_run
    from trainer.training import cross_validation
    from trainer.training import loop
  if config.deterministic:
    tf.config.experimental.enable_op_determinism()
  if fold == ALL:
    if cross_validation.train(config):
      print(tables.format_metrics([finished_run.load(config.workdir)]))
    print(f'All folds: {os.path.join(config.workdir, "")}')
  else:
    _tell(config, loop.train(config))


def find_first_fold(fold: str) -> int:
  """Returns the number of the fold of --fold, 0 for all.

  Raises:
    errors.DataError: it is neither a number nor all.
  """
  if fold == ALL:
    return 0
  if not (fold.isdecimal() and len(fold) < 10):
    raise errors.DataError(f'Expected --fold as a number or {ALL}, received '
                           f'{printable.quote(fold)}.')
  return int(fold)


def _tell(config: config_lib.Config, found: dict[str, Any]) -> None:
  """Prints the metrics of a fold, and where they are."""
  for name in _SHOWN_SINGLE if config.is_single_label else _SHOWN:
    value = found[name]
    print(f'{name:18s}' + ('none' if value is None else f'{value:.4f}'))
  directory = workdir.fold_directory(config.workdir, config.fold)
  print(f'Held-out fold {config.fold}, {found["num_samples"]} images, epoch '
        f'{found["epoch"]}: {os.path.join(directory, "")}')


def run() -> None:
  """Runs the command with its flags; see cli.run."""
  cli.run(main, text=__doc__, groups=setting.list_groups(config_lib.Config))
