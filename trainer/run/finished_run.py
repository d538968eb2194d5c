"""A run with its finished folds, read from its folder and checked."""

import dataclasses
import os
from typing import Any

from hpa_records.format import spec as spec_lib
from hpa_records.runtime import errors
from trainer.recipe import baseline
from trainer.run import arrays
from trainer.run import config_file
from trainer.run import fold_file
from trainer.run import stored_spec
from trainer.run import workdir as workdir_lib
from trainer.scoring import decision


@dataclasses.dataclass(frozen=True)
class Fold:
  """One fold of a run.

  Attributes:
    number: of the fold that was held out.
    metrics: content of metrics.json.
    samples: of the dataset, with folds and repeats.
    about: content of about.json: device, versions, the records' settings
      (records), mean and std of their pixels (pixels), names of their classes
      (classes); empty for a run of an earlier version.
    spec: of the dataset.
  """
  number: int
  metrics: dict[str, Any]
  samples: arrays.Samples
  about: dict[str, Any]
  spec: spec_lib.Spec


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
  config: config_file.Settings
  fingerprint: str
  folds: tuple[Fold, ...]

  @property
  def spec(self) -> spec_lib.Spec:
    """The spec of the dataset, which all folds share."""
    return self.folds[0].spec

  @property
  def has_network(self) -> bool:
    """Whether it is of a network, not of a classifier of descriptors."""
    return not isinstance(self.config, baseline.Baseline)

  @property
  def threshold(self) -> float | None:
    """As of decision.find_threshold."""
    return decision.find_threshold(self.config)


def load(workdir: str) -> Run:
  """Returns a run with all of its finished folds.

  Raises:
    errors.DataError: no fold is finished; a folder or file is damaged or cannot
      be read; the folds have different data, settings or thresholds; or a
      folder holds another fold than its name says.
  """
  done = [
      number for number in workdir_lib.list_folds(workdir)
      if workdir_lib.exists(
          os.path.join(workdir_lib.fold_directory(workdir, number),
                       workdir_lib.METRICS_NAME))
  ]
  if not done:
    raise errors.DataError(
        f'No finished fold in {workdir}: no folder fold0, fold1, ... has '
        f'{workdir_lib.METRICS_NAME}; train one with python -m trainer.main '
        f'--workdir={workdir}.')
  config, fingerprint = _load_configs(workdir, done)
  threshold = decision.find_threshold(config)
  folds = [load_fold(workdir, number, threshold) for number in done]
  for fold in folds:
    differ = folds[0].spec.find_difference(fold.spec)
    if differ:
      raise errors.DataError(
          f'The folds {folds[0].number} and {fold.number} of {workdir} differ '
          f'in {differ}; train one of them again.')
  run = Run(workdir, config, fingerprint, tuple(folds))
  for fold in folds:
    if (baseline.CLASSIFIER in fold.metrics) == run.has_network:
      raise errors.DataError(
          f'{workdir_lib.METRICS_NAME} and {workdir_lib.CONFIG_NAME} of fold '
          f'{fold.number} in {workdir} are of runs of different kinds; train '
          'the fold again.')
  return run


def _load_configs(workdir: str,
                  done: list[int]) -> tuple[config_file.Settings, str]:
  """Returns the configuration that all folds share, and the fingerprint."""
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
          f'{other.fold}, according to its {workdir_lib.CONFIG_NAME}; rename '
          f'the folder to fold{other.fold}, or remove it if it is a copy.')
    other = dataclasses.replace(other, fold=config.fold)
    differ = config_file.find_differences(config.identity(fingerprint),
                                          other.identity(data))
    if differ:
      raise errors.DataError(
          f'Expected folds of one run at {workdir}, received fold {number} of '
          f'another: {"; ".join(differ)}.')
  return config, fingerprint


def load_fold(workdir: str, number: int, threshold: float | None) -> Fold:
  """Returns one fold.

  Args:
    workdir: of the run.
    number: of the fold.
    threshold: of the run, which its metrics must have; as of
      decision.find_threshold.

  Raises:
    errors.DataError: a file is missing or damaged, the metrics have another
      threshold, or no sample was held out.
  """
  directory = workdir_lib.fold_directory(workdir, number)
  path = os.path.join(directory, workdir_lib.METRICS_NAME)
  metrics = fold_file.load_json(path)
  if metrics['threshold'] != threshold:
    raise errors.DataError(
        f'Expected metrics at the threshold {threshold} of '
        f'{workdir_lib.CONFIG_NAME}, received {metrics["threshold"]} in '
        f'{path}; train the fold again.')
  about_path = os.path.join(directory, workdir_lib.ABOUT_NAME)
  about = {}
  if workdir_lib.exists(about_path):
    about = fold_file.load_json(about_path)
  spec = stored_spec.find(about)
  samples = arrays.Samples.load(
      os.path.join(directory, workdir_lib.SAMPLES_NAME), spec.num_classes)
  if not (samples.folds == number).any():
    raise errors.DataError(f'{directory} has no samples of fold {number}: its '
                           f'{workdir_lib.SAMPLES_NAME} has folds 0 to '
                           f'{samples.folds.max(initial=0)}; remove it.')
  return Fold(number, metrics, samples, about, spec)
