"""Runs whose models predict new images together, and checks that they fit.

A model's weights are in its checkpoint, its settings in config.json and
about.json of its fold; the records it was trained on are not needed.
"""

from collections.abc import Sequence
import dataclasses
import os
from typing import Any

import numpy as np

from hpa_records.datasets import layout
from hpa_records.format import spec as spec_lib
from hpa_records.images import how as how_lib
from hpa_records.images import resize
from hpa_records.runtime import errors
from hpa_records.runtime import json_text
from trainer.prediction import pixel_difference
from trainer.run import finished_run
from trainer.run import fold_file
from trainer.run import out_of_fold
from trainer.run import workdir
from trainer.scoring import decision
from trainer.scoring import thresholds

_MOST_PX = 8192  # largest image size that is read

# The form of about.json for json_text.check_form.
_FORM = {
    'records': {
        'image_size': int,
        'resize': str
    },
    'pixels': {
        'mean': [(int, float)],
        'std': [(int, float)]
    },
    'classes': [str],
}


@dataclasses.dataclass(frozen=True)
class Ensemble:
  """Runs with their finished folds, at least one.

  Attributes:
    runs: at least one; their records have the same classes, channels, image
      size, resize filter and intensity, and all or none predict one class a
      sample.
  """
  runs: tuple[finished_run.Run, ...]

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

  def count_trained(self, ids: np.ndarray) -> int:
    """Returns how many samples, by their ids, at least one model trained on.

    Args:
      ids: [N] str.
    """
    parts = [fold.samples for run in self.runs for fold in run.folds]
    trained = [part.ids[part.repeats > 0] for part in parts]
    return int(np.isin(ids, np.concatenate(trained)).sum())

  def choose_thresholds(self,
                        asked: str,
                        weights: str = 'last') -> decision.Threshold:
    """Returns the threshold above which a class is predicted: a number or [K].

    None if the runs predict one class a sample, the most probable.

    Args:
      asked: a number; a rule of thresholds.RULES, which chooses one for each
        class on the out-of-fold predictions, their mean for several runs; or ''
        for the threshold of the runs.
      weights: 'last' or 'best', used for the prediction.

    Raises:
      errors.DataError: asked is none of these, or not '' where the runs predict
        one class a sample; the runs have different thresholds or predicted
        different samples; or a rule is used with the best weights, which have
        no out-of-fold predictions.
    """
    if self.runs[0].threshold is None:
      if asked:
        raise errors.DataError(
            'Expected no --threshold for runs that were trained with '
            f'--loss={self.runs[0].config.loss}, which predict the most '
            f'probable class, received {asked!r}; leave it out.')
      return None
    if asked in thresholds.RULES:
      if weights != 'last':
        raise errors.DataError(
            f'Expected --weights=last with --threshold={asked}, which is '
            'chosen on predictions after the last epoch, received '
            f'--weights={weights}; pass --threshold as a number.')
      found = self._collect_predictions()
      return thresholds.choose(asked, found.labels, found.predictions)
    if asked:
      return _parse(asked)
    numbers = {run.config.threshold for run in self.runs}
    if len(numbers) > 1:
      raise errors.DataError(
          f'The runs have different thresholds: {sorted(numbers)}; pass '
          '--threshold.')
    return numbers.pop()

  def _collect_predictions(self) -> out_of_fold.OutOfFold:
    first, *others = [out_of_fold.collect(run) for run in self.runs]
    for run, other in zip(self.runs[1:], others):
      if not first.is_of_same_samples(other):
        raise errors.DataError(
            f'{self.runs[0].directory} and {run.directory} held out different '
            'samples in their folds; pass --threshold as a number, or finish '
            'the same folds of both.')
    predictions = np.mean([each.predictions for each in (first, *others)],
                          axis=0)
    return dataclasses.replace(first, predictions=predictions)


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
  runs = tuple(finished_run.load(directory) for directory in workdirs)
  for run in runs:
    network = fold_file.load_network(
        workdir.fold_directory(run.directory, run.folds[0].number))
    try:
      for fold in run.folds:  # each has the mean and std of its training folds
        json_text.check_form(fold.about, _FORM, workdir.ABOUT_NAME)
        _check_values(fold.about, run.spec.num_channels)
      if network:  # before memory is allocated for images of another size
        _check_size(run.spec, network)
    except ValueError as error:
      raise errors.DataError(
          f'{workdir.ABOUT_NAME} of {run.directory} is damaged, or of an '
          f'earlier version ({error}); train the run again.') from error
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


def _check_values(about: dict[str, Any], num_channels: int) -> None:
  """Refuses values that no network or image can have."""
  records, pixels = about['records'], about['pixels']
  checks = (
      ('image_size', 1 <= records['image_size'] <= _MOST_PX),
      ('resize', records['resize'] in resize.RESIZE_FILTERS),
      *((name, len(pixels[name]) == num_channels and
         all(0 <= value <= 255
             for value in pixels[name]))
        for name in ('mean', 'std')),
  )
  for name, is_right in checks:
    if not is_right:
      raise ValueError(
          f'{name}: received {str({**records, **pixels}[name])!r:.80}')


def _check_size(spec: spec_lib.Spec, network: dict[str, Any]) -> None:
  shape = network['layers'][0]['shape']
  if shape != list(spec.image_shape):
    raise ValueError(
        f'image_size: received {spec.image_size} and {spec.num_channels} '
        f'channels, but the network of {workdir.NETWORK_NAME} takes images of '
        f'{shape!r:.40}')


def find_epoch(run: finished_run.Run, fold: finished_run.Fold,
               weights: str) -> int:
  """Returns the epoch of the weights.

  Args:
    run: of the fold.
    fold: of the model.
    weights: 'last' (the epoch of metrics.json) or 'best'.

  Raises:
    errors.DataError: best_metrics.json is missing or damaged.
  """
  if weights == 'last':
    return fold.metrics['epoch']
  path = os.path.join(workdir.fold_directory(run.directory, fold.number),
                      workdir.BEST_METRICS_NAME)
  return fold_file.load_json(path)['epoch']


def _parse(asked: str) -> float:
  try:
    number = float(asked)
  except ValueError:
    number = -1.0
  if not 0 <= number < 1:
    raise errors.DataError(
        'Expected --threshold from 0 to below 1, or one of '
        f'{", ".join(thresholds.RULES)}, received {asked!r}.')
  return number
