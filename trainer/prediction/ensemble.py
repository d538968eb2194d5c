"""Runs whose models predict new images together, and checks that they fit.

In place of runs the models can be those of an exported folder.
"""

from collections.abc import Sequence
import dataclasses
import os
from typing import Any

import numpy as np

from hpa_records.datasets import layout
from hpa_records.format import spec as spec_lib
from hpa_records.images import how as how_lib
from hpa_records.runtime import errors
from trainer.model import fold_weights
from trainer.model import model_file
from trainer.model import threshold
from trainer.model import trained
from trainer.model import training_samples
from trainer.model import views
from trainer.prediction import pixel_difference
from trainer.run import finished_run
from trainer.scoring import decision
from trainer.scoring import thresholds


@dataclasses.dataclass(frozen=True)
class Ensemble:
  """Runs with their finished folds, at least one.

  Attributes:
    runs: at least one; their records have the same classes, channels, image
      size, resize filter and intensity, and all or none predict one class a
      sample.
    exported: the folder that the only run was exported to; None for runs. Of
      its samples digests are known in place of ids, and no labels.
  """
  runs: tuple[finished_run.Run, ...]
  exported: model_file.Exported | None = None

  @property
  def spec(self) -> spec_lib.Spec:
    """The classes and channels of all runs."""
    return self.runs[0].spec

  @property
  def classes(self) -> tuple[str, ...]:
    """The names of the K classes."""
    return self.spec.classes

  @property
  def settings(self) -> dict[str, Any]:
    """Settings of the first run's records."""
    return self.runs[0].folds[0].about['records']

  @property
  def tta(self) -> str:
    """One of views.TTA, unless another is asked for."""
    return self.exported.tta if self.exported else views.TTA[0]

  def load_how(self, found: layout.Description) -> how_lib.How:
    """Returns how files of new images become what the networks were trained on.

    Args:
      found: description of the new images.

    Raises:
      errors.DataError: the intensity is that of plates, which new images do
        not have, or its levels are missing.
    """
    how = found.how(self.settings['image_size'], self.settings['resize'],
                    self.settings.get('pixel_um', 0))
    if not found.needs_levels:
      return how
    levels = self.runs[0].folds[0].about.get('levels')
    if levels is None:
      raise errors.DataError(
          f'The intensity of these runs is that of each {found.intensity.of} '
          'of their records. Convert the images with hpa-make-records '
          '--unlabelled, and pass --records.')
    return dataclasses.replace(how, levels=tuple(map(tuple, levels)))

  @property
  def num_models(self) -> int:
    """Number of finished folds of all runs."""
    return sum(len(run.folds) for run in self.runs)

  def check_records(self,
                    spec: spec_lib.Spec,
                    settings: dict[str, Any],
                    directory: str,
                    levels: dict[str, Any] | None = None) -> None:
    """Checks that records have the same images as those of the runs.

    Args:
      spec: of the records; the classes of unlabelled ones do not matter.
      settings: of the records.
      directory: of the records, for the message.
      levels: of the records, as of manifest.Manifest; those of plates may be
        others, since new images are of new plates.

    Raises:
      errors.DataError: they have other classes or channels, another image size,
        resize filter or intensity.
    """
    if settings.get('unlabelled'):
      spec = dataclasses.replace(spec, classes=self.classes)
    differ = self.spec.find_difference(spec) or pixel_difference.find(
        self.settings, settings, self.classes)
    if differ:
      raise errors.DataError(
          f'The records of {self.runs[0].directory} and those at {directory} '
          f'differ in {differ}; convert the images with the same flags.')
    mine = self.runs[0].folds[0].about.get('levels')
    if mine and levels and levels.get('', mine) != mine:
      raise errors.DataError(
          f'The records at {directory} have the intensity of their own images; '
          'pass --images, which get that of the training images.')

  def name_samples(self, ids: np.ndarray) -> np.ndarray:
    """Returns by what samples are known, in any Unicode form, [N] str.

    Args:
      ids: [N] str.
    """
    if self.exported:
      return training_samples.digest(ids)
    return training_samples.normalize(ids)

  def name_known(self, fold: finished_run.Fold) -> np.ndarray:
    """Returns name_samples of the samples of a fold's run, [N] str."""
    ids = fold.samples.ids  # of an exported folder those of digest
    return ids if self.exported else self.name_samples(ids)

  def count_trained(self, ids: np.ndarray) -> int:
    """Returns how many samples, by their ids, at least one model trained on.

    Args:
      ids: [N] str.
    """
    seen = [
        self.name_known(fold)[fold.samples.repeats > 0]
        for run in self.runs
        for fold in run.folds
    ]
    return int(np.isin(self.name_samples(ids), np.concatenate(seen)).sum())

  def choose_thresholds(self,
                        asked: str,
                        weights: str = 'last') -> decision.Threshold:
    """Returns the threshold above which a class is predicted: a number or [K].

    None if the runs predict one class a sample, the most probable.

    Args:
      asked: as of model.threshold.choose; for an exported folder a number, or
        '' for its threshold.
      weights: 'last' or 'best', used for the prediction.

    Raises:
      errors.DataError: as of model.threshold.choose; or a rule is asked for
        with an exported folder, which has no out-of-fold predictions.
    """
    if self.exported is None:
      return threshold.choose(self.runs, asked, weights)
    if threshold.refuses(self.runs[0], asked) or not asked:
      return self.exported.threshold
    if asked in thresholds.RULES:
      raise errors.DataError(
          f'--threshold={asked} is chosen on out-of-fold predictions, which an '
          'exported model does not have; export the run with '
          f'--threshold={asked}, or pass a number.')
    return threshold.parse(asked)

  def load_weights(self, run: finished_run.Run, fold: finished_run.Fold,
                   weights: str, model: Any) -> list[np.ndarray]:
    """Returns the weights of a fold, in the order of a network's variables.

    Args:
      run: of the ensemble.
      fold: of the run.
      weights: 'last' or 'best'; of an exported model those that it has.
      model: keras.Model of network.build.build.

    Raises:
      errors.DataError: they are missing, damaged, or of another network.
    """
    if self.exported is None:
      return trained.load_weights(run, fold, weights, model)
    return fold_weights.load(self.exported, fold, model)


def load(workdirs: Sequence[str]) -> Ensemble:
  """Returns the runs in some folders, checked.

  Raises:
    errors.DataError: a folder is given twice, is not a run, or has no finished
      fold of this version; or the runs differ in images, classes, or whether
      they predict one class a sample.
  """
  folders = [os.path.realpath(each) for each in workdirs]
  for each, folder in zip(workdirs, folders):
    if folders.count(folder) > 1:
      raise errors.DataError(
          f'Expected each run once, received --workdir={each} twice.')
  runs = tuple(map(trained.load, workdirs))
  found = Ensemble(runs)
  for run in runs[1:]:
    mine, about = runs[0].folds[0].about, run.folds[0].about
    differ = found.spec.find_difference(run.spec) or pixel_difference.find(
        found.settings, about['records'], found.classes)
    if not differ and mine.get('levels') != about.get('levels'):
      differ = 'levels of the intensity'
    if differ:
      raise errors.DataError(
          f'The records of {runs[0].directory} and {run.directory} differ in '
          f'{differ}; predict with each run separately.')
    if (run.threshold is None) != (runs[0].threshold is None):
      raise errors.DataError(
          f'{runs[0].directory} was trained with '
          f'--loss={runs[0].config.loss}, {run.directory} with '
          f'--loss={run.config.loss}: one of them predicts one class a sample; '
          'predict with each run separately.')
  return found


def load_exported(directory: str) -> Ensemble:
  """Returns the models of an exported folder, checked.

  Raises:
    errors.DataError: as of model_file.load and training_samples.load.
  """
  exported = model_file.load(directory)
  return Ensemble((training_samples.load(exported),), exported)
