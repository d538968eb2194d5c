"""Exports a run as files that other programs open.

  hpa-export --workdir=run --output=model
  hpa-export --workdir=run --output=model --folds=0,2 --tta=none
  hpa-export --workdir=run --output=model --page
"""

# What takes long to import is imported after --help and flags are answered.
# pylint: disable=import-outside-toplevel

import re
from typing import Any

from absl import flags

from hpa_records.runtime import cli
from hpa_records.runtime import errors
from hpa_records.runtime import printable
from hpa_records.runtime import process
from hpa_records.storage import path_check
from trainer.model import model_flags
from trainer.model import views
from trainer.run import workdir as workdir_lib
from trainer.scoring import thresholds

_ALL = 'all'
_WORKDIR = flags.DEFINE_string('workdir', '', 'Folder of a run.')
_OUTPUT = flags.DEFINE_string(
    'output', '', 'Folder of the exported model to write, a new one.')
_OVERWRITE = flags.DEFINE_bool('overwrite', False,
                               'Replace the exported model in --output.')
_FOLDS = flags.DEFINE_string(
    'folds', _ALL, 'Numbers of finished folds whose networks are averaged, '
    'such as 0,2; or all.')
_TTA = flags.DEFINE_enum('tta', views.TTA[0], views.TTA, views.HELP)
_WEIGHTS = model_flags.define_weights()
_THRESHOLD = flags.DEFINE_string(
    'threshold', '', 'Classes with a higher probability are predicted; or a '
    'rule that chooses one for each class on the out-of-fold predictions: '
    f'{", ".join(thresholds.RULES)}. By default that of the training.')
_PAGE = flags.DEFINE_bool(
    'page', False, 'Also write classify.html, a page that classifies images '
    'in a browser, without a network.')
_PAGE_RUNTIME = flags.DEFINE_string(
    'page_runtime', '', 'Folder of onnxruntime-web, which --page needs; if it '
    'is not there, npm downloads it, 33 MB. By default hpa-records in the '
    'cache of the user.')
_FLAGS_BY_GROUP = {
    'Model': ('workdir', 'folds', 'weights', 'tta', 'threshold'),
    'Output': ('output', 'overwrite', 'page', 'page_runtime'),
}


def main() -> None:
  """Exports the run of the flags."""
  workdir = path_check.require_local(_WORKDIR.value, 'workdir')
  output = path_check.require_local(_OUTPUT.value, 'output')
  folds = _parse_folds(_FOLDS.value)
  if printable.escape(output) != output:  # TensorFlow writes UTF-8 names alone
    raise errors.DataError(
        f'--output={printable.escape_line(output)} has characters that cannot '
        'be printed, or is not UTF-8; choose another --output.')
  path_check.refuse_shared(
      [('output', output)], [('workdir', workdir)],
      closed=[('workdir', each)
              for each in workdir_lib.list_fold_directories(workdir)],
      filled=[('output', output)])
  with process.ended_by_interrupt():
    from trainer.export import requirement
    from trainer.export import folder
  requirement.check()
  folder.refuse(output, _OVERWRITE.value)
  runtime = _load_runtime()
  with process.ended_by_interrupt():
    from trainer.export import export
  found = export.write(workdir,
                       output,
                       export.Choice(folds, _TTA.value, _WEIGHTS.value,
                                     _THRESHOLD.value, runtime),
                       overwrite=_OVERWRITE.value)
  print(f'{printable.count(len(found.run.folds), "model")}, '
        f'{len(found.files)} files: {output}')


def _load_runtime() -> Any:
  """Returns page_runtime.Runtime; None without --page."""
  from trainer.export import page_runtime
  if not _PAGE.value:
    if _PAGE_RUNTIME.value:
      raise errors.DataError('--page_runtime is for --page; pass both.')
    return None
  directory = _PAGE_RUNTIME.value or page_runtime.find_cache()
  return page_runtime.load(path_check.require_local(directory, 'page_runtime'))


def _parse_folds(text: str) -> tuple[int, ...]:
  """Returns the numbers of --folds; () for all."""
  if text == _ALL:
    return ()
  parts = text.split(',')
  # Above 5 digits no fold has that number.
  if not all(re.fullmatch('[0-9]{1,5}', each) for each in parts) or len(
      set(map(int, parts))) < len(parts):
    raise errors.DataError('Expected --folds=all, or different numbers such as '
                           f'--folds=0,2, received --folds={text:.80}.')
  return tuple(map(int, parts))


def run() -> None:
  """Runs the command with its flags; see cli.run."""
  cli.run(main, text=__doc__, groups=_FLAGS_BY_GROUP)
