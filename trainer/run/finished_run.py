"""A run with its finished folds, read from its folder and checked."""

import dataclasses
import os
from typing import Any

from hpa_records.runtime import errors
from trainer import config as config_lib
from trainer.run import arrays
from trainer.run import fold_file
from trainer.run import identity
from trainer.run import workdir as workdir_lib


@dataclasses.dataclass(frozen=True)
class Fold:
  """One fold of a run.

  Attributes:
    number: of the fold that was held out.
    scores: what metrics.json says.
    samples: what it was trained on.
    about: device, versions, the records' settings (records), mean and std of
      their pixels (pixels) and names of their classes (classes); empty in a run
      of an earlier version.
  """
  number: int
  scores: dict[str, Any]
  samples: arrays.Samples
  about: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Run:
  """A run with its finished folds, at least one.

  Attributes:
    directory: of the run.
    config: of its first finished fold.
    fingerprint: sha256 of the dataset.
    folds: by number.
  """
  directory: str
  config: config_lib.Config
  fingerprint: str
  folds: tuple[Fold, ...]


def load(workdir: str) -> Run:
  """Returns a run with all folds that have scores.

  Raises:
    errors.DataError: none has; a folder or file cannot be read, or is damaged;
      the folds are of different data or settings, of another number than their
      folder's, or scored with another threshold.
  """
  done = [
      number for number in workdir_lib.list_folds(workdir)
      if workdir_lib.is_there(
          os.path.join(workdir_lib.fold_directory(workdir, number),
                       workdir_lib.METRICS_NAME))
  ]
  if not done:
    raise errors.DataError(
        f'No finished fold in {workdir}: none of its folders fold0, fold1, … '
        f'holds {workdir_lib.METRICS_NAME}; train one with python -m '
        f'trainer.main --workdir={workdir}.')
  config, fingerprint = _load_configs(workdir, done)
  folds = [load_fold(workdir, number, config.threshold) for number in done]
  return Run(workdir, config, fingerprint, tuple(folds))


def _load_configs(workdir: str,
                  done: list[int]) -> tuple[config_lib.Config, str]:
  """The configuration that all folds share, but for the fold's number."""
  found = [
      fold_file.load_config(
          os.path.join(workdir_lib.fold_directory(workdir, number),
                       workdir_lib.CONFIG_NAME)) for number in done
  ]
  config, fingerprint = found[0]
  for number, (other, data) in zip(done, found):
    if other.fold != number:
      raise errors.DataError(
          f'{workdir_lib.fold_directory(workdir, number)} holds fold '
          f'{other.fold}, by its {workdir_lib.CONFIG_NAME}; name the folder '
          f'fold{other.fold}, or remove it if it is a copy.')
    other = dataclasses.replace(other, fold=config.fold)
    differ = identity.find_differences(config.identity(fingerprint),
                                       other.identity(data))
    if differ:
      raise errors.DataError(
          f'Expected folds of one run at {workdir}, received fold {number} of '
          f'another: {"; ".join(differ)}.')
  return config, fingerprint


def load_fold(workdir: str, number: int, threshold: float) -> Fold:
  """Returns what is kept of one fold.

  Args:
    workdir: of the run.
    number: of the fold.
    threshold: of the run, that it must have been scored with.

  Raises:
    errors.DataError: a file is missing or damaged, or of another threshold; or
      no sample was held out.
  """
  directory = workdir_lib.fold_directory(workdir, number)
  path = os.path.join(directory, workdir_lib.METRICS_NAME)
  scores = fold_file.load_json(path)
  if scores['threshold'] != threshold:
    raise errors.DataError(
        f'Expected scores with the threshold {threshold} of '
        f'{workdir_lib.CONFIG_NAME}, received those with {scores["threshold"]} '
        f'at {path}; train the fold again.')
  samples = arrays.Samples.load(
      os.path.join(directory, workdir_lib.SAMPLES_NAME))
  if not (samples.folds == number).any():
    raise errors.DataError(f'{directory} has no samples of fold {number}: its '
                           f'{workdir_lib.SAMPLES_NAME} has folds 0 to '
                           f'{samples.folds.max(initial=0)}; remove it.')
  about = os.path.join(directory, workdir_lib.ABOUT_NAME)
  return Fold(number, scores, samples,
              fold_file.load_json(about) if workdir_lib.is_there(about) else {})
