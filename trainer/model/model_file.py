"""model.json of an exported folder: what it holds, read and checked.

The folder has more files, whose sizes and SHA-256 are in model.json; it is
written last, so a folder without it is not whole.
"""

from collections.abc import Mapping
import dataclasses
import json
import os
from typing import Any

import numpy as np

from hpa_records.runtime import errors
from hpa_records.runtime import json_text
from hpa_records.sampling import balance
from hpa_records.storage import filesystem
from trainer import config as config_lib
from trainer.model import trained
from trainer.model import views
from trainer.recipe import baseline
from trainer.run import arrays
from trainer.run import config_file
from trainer.run import finished_run
from trainer.run import fold_form
from trainer.run import stored_spec
from trainer.scoring import decision

NAME = 'model.json'
FORMAT = 'hpa-model'
_VERSION = 1
_MOST_BYTES = 2**24
_MOST_FOLDS = 2**10
_MOST_FOLD = 2**16  # above each number, as of config.Config
_MOST_FILES = 2**12
_FORM = {
    'format': str,
    'version': int,
    'config': {},
    'about': {},
    'folds': [{
        'number': int,
        'epoch': int,
        'pixels': {}
    }],
    'tta': str,
    'weights': str,
    'threshold': (int, float, list, type(None)),
    'files': {},
}
# Of about.json, what folds share and a prediction needs or a reader asks for.
_ABOUT = ('device', 'versions', 'records', 'records_versions', 'classes',
          'levels')

# Settings of paths, addresses and machines, which say nothing of the model.
_NOWHERE = {
    'records': '',
    'workdir': '',
    'stage_dir': '',
    'cache': 'none',
    'cache_dir': '',
    'data_service': '',
    'distribute': 'auto',
    'tpu': 'local'
}
_STARTS = ('init_from', 'weights_file')  # of these the last name is kept


@dataclasses.dataclass(frozen=True)
class Exported:
  """The models of an exported folder.

  Attributes:
    run: the folder as a run: directory, settings and folds, whose metrics have
      the epoch alone; without samples.
    tta: one of views.TTA, of its graphs.
    weights: one of config.WEIGHTS.
    threshold: as of decision.decide.
    files: path in the folder → (bytes, sha256).
  """
  run: finished_run.Run
  tta: str
  weights: str
  threshold: decision.Threshold
  files: Mapping[str, tuple[int, str]]

  def locate(self, name: str) -> str:
    """Returns the path of one of files, whose content is checked.

    Raises:
      errors.DataError: it is missing, or not the file that was exported.
    """
    path = os.path.join(self.run.directory, name)
    if name not in self.files:
      raise errors.DataError(f'{_path(self.run.directory)} does not list {name}'
                             '; export the model again.')
    num_bytes, digest = self.files[name]
    if (filesystem.size(path) != num_bytes or
        filesystem.sha256(path) != digest):
      raise errors.DataError(f'{path} is missing or was changed since the '
                             'export; export the model again.')
    return path


def name_fold(number: int) -> str:
  """Returns the path of a fold's model in the folder."""
  return f'folds/fold{number}.keras'


def format_json(run: finished_run.Run, *, tta: str, weights: str,
                threshold: decision.Threshold,
                files: Mapping[str, tuple[int, str]]) -> str:
  """Returns the text of model.json.

  Args:
    run: of trained.load, with the exported folds.
    tta: as of Exported.
    weights: as of Exported.
    threshold: as of Exported.
    files: as of Exported.

  Raises:
    errors.DataError: as of trained.find_epoch.
  """
  about = run.folds[0].about
  names = {
      name: os.path.basename(getattr(run.config, name).rstrip('/'))
      for name in _STARTS
  }
  config = dataclasses.replace(run.config, **_NOWHERE, **names)
  content = {
      'format':
          FORMAT,
      'version':
          _VERSION,
      'tta':
          tta,
      'weights':
          weights,
      'threshold':
          threshold.tolist()
          if isinstance(threshold, np.ndarray) else threshold,
      'folds': [{
          'number': fold.number,
          'epoch': trained.find_epoch(run, fold, weights),
          'pixels': fold.about['pixels'],
      } for fold in run.folds],
      'about': {
          name: about[name] for name in _ABOUT if name in about
      },
      'config':
          json.loads(config_file.format_json(config, run.fingerprint)),
      'files':
          dict(files),
  }
  return json.dumps(content, indent=1) + '\n'


def load(directory: str) -> Exported:
  """Returns what an exported folder holds; its files are checked by locate.

  Raises:
    errors.DataError: model.json is missing, so the export is not whole; or it
      is damaged.
  """
  path = _path(directory)
  size = filesystem.size(path)
  if size is None:
    raise errors.DataError(
        f'{directory} is not a whole exported model: it has no {NAME}; export '
        'a run with hpa-export.')
  try:
    if size > _MOST_BYTES:
      raise ValueError(f'{size:,} bytes')
    content = json_text.parse(filesystem.read_bytes(path))
    return _parse(content, directory)
  except (OSError, ValueError, TypeError) as error:
    raise errors.find_unread(path, error) or errors.DataError(
        f'{path} is damaged, or of another version ({error}); export the model '
        'again.') from error


def _path(directory: str) -> str:
  return os.path.join(directory, NAME)


def _parse(content: Any, directory: str) -> Exported:
  json_text.check_form(content, _FORM, NAME)
  if 'threshold' not in content:  # the form allows null
    raise ValueError('threshold is missing')
  for name, allowed in (('format', (FORMAT,)), ('version', (_VERSION,)),
                        ('tta', views.TTA), ('weights', config_lib.WEIGHTS)):
    if content[name] not in allowed:
      raise ValueError(f'{name}: expected {" or ".join(map(str, allowed))}, '
                       f'received {content[name]!r:.40}')
  config, fingerprint = config_file.parse_json(json.dumps(content['config']))
  if isinstance(config, baseline.Baseline):
    raise ValueError('config: not of a network')
  folds = tuple(
      _parse_fold(each, content['about']) for each in content['folds'])
  numbers = [each.number for each in folds]
  if (not 0 < len(folds) <= _MOST_FOLDS or len(set(numbers)) < len(numbers) or
      not 0 <= min(numbers) <= max(numbers) < _MOST_FOLD):
    raise ValueError(f'folds: received {str(numbers):.40}')
  run = finished_run.Run(directory, config, fingerprint, folds)
  views.check(content['tta'], config.is_single_label)
  trained.check_settings(run)
  return Exported(run, content['tta'], content['weights'],
                  _parse_threshold(content['threshold'], run),
                  _parse_files(content['files']))


def _parse_fold(content: dict[str, Any], about: dict[str,
                                                     Any]) -> finished_run.Fold:
  about = {**about, 'pixels': content['pixels']}
  fold_form.check_about(about)
  fold_form.check_best_metrics({'epoch': content['epoch']})
  spec = stored_spec.find(about)
  none = np.zeros(0)
  samples = arrays.Samples(none.astype(str), np.zeros([0, spec.num_classes]),
                           none, none, 0, balance.Balance())
  return finished_run.Fold(content['number'], {'epoch': content['epoch']},
                           samples, about, spec)


def _parse_threshold(stored: Any, run: finished_run.Run) -> decision.Threshold:
  if (stored is None) != (run.threshold is None):
    raise ValueError(f'threshold: received {stored!r:.40} with '
                     f'--loss={run.config.loss}')
  if stored is None:
    return None
  values = stored if isinstance(stored, list) else [stored]
  json_text.check_form(values, [(int, float)], 'threshold')
  # -0.5 where a probability of 0 is predicted, see scoring.thresholds.
  if not all(-1 <= each <= 1 for each in values):
    raise ValueError(f'threshold: received {str(values):.40}')
  if not isinstance(stored, list):
    return float(stored)
  if len(stored) != run.spec.num_classes:
    raise ValueError(f'threshold: expected {run.spec.num_classes} numbers, '
                     f'received {len(stored)}')
  return np.array(stored, float)


def _parse_files(content: dict[str, Any]) -> dict[str, tuple[int, str]]:
  if len(content) > _MOST_FILES:
    raise ValueError(f'files: {len(content):,}')
  json_text.check_form(list(content.values()), [list], 'files')
  for name, each in content.items():
    if len(each) != 2:
      raise ValueError(f'files: {name!r:.80}: received {each!r:.80}')
    json_text.check_form(each[0], int, 'files')
    json_text.check_form(each[1], str, 'files')
  return {name: (each[0], each[1]) for name, each in content.items()}
