"""Which model of a run embeds which sample.

Features of two models have different coordinates: they can be compared only
with others of the same model. So each sample has the features of one model.

  - A sample of a fold that is held out by a finished model has that model's,
    which did not see it.
  - Any other sample has those of one chosen fold's model, by default of the
    first finished one. So new images can be compared with each other, and with
    the held-out images of that fold. A mean over models would be in no model's
    coordinates.
  - Of the latter, samples that the run knows (their fold is not finished) were
    trained on, or chose the epoch. They are marked, and are left out of scores
    and maps.

Samples are known by their ids, in any Unicode form. Of an exported folder their
labels are not known; they are then those of the records.
"""

import dataclasses

import numpy as np

from hpa_records.runtime import errors
from trainer.prediction import ensemble as ensemble_lib
from trainer.run import finished_run

NO_FOLD = -1


@dataclasses.dataclass(frozen=True)
class Assignment:
  """What a run knows of N samples, and which of its models embeds each.

  Attributes:
    folds: [N] int32, the fold of the run that has the sample; NO_FOLD for a new
      one.
    models: [N] int32, the fold that was held out of the model.
    trained_on: [N] bool, whether the sample was in that model's training folds.
    labels: [N, K] uint8 multi-hot, 0 where not known.
    labelled: [N] bool, whether the labels are known.
    groups: [N] str, equal where samples belong together; '' where not known.
  """
  folds: np.ndarray
  models: np.ndarray
  trained_on: np.ndarray
  labels: np.ndarray
  labelled: np.ndarray
  groups: np.ndarray


def choose_fold(run: finished_run.Run, model_fold: int | None) -> int:
  """Returns the fold whose model embeds samples that no fold held out.

  Args:
    run: with its finished folds.
    model_fold: a finished fold; None is the first.

  Raises:
    errors.DataError: model_fold is not finished.
  """
  finished = [fold.number for fold in run.folds]
  if model_fold is None:
    return finished[0]
  if model_fold not in finished:
    raise errors.DataError(
        f'Expected --model_fold to be a finished fold of {run.directory}, one '
        f'of {", ".join(map(str, finished))}, received {model_fold}.')
  return model_fold


def assign(ensemble: ensemble_lib.Ensemble, ids: np.ndarray,
           model_fold: int | None) -> Assignment:
  """Returns the model of each sample.

  Args:
    ensemble: of one run with its finished folds.
    ids: [N] str, each once.
    model_fold: as of choose_fold.

  Raises:
    errors.DataError: as of choose_fold.
  """
  run, = ensemble.runs
  finished = [fold.number for fold in run.folds]
  chosen = choose_fold(run, model_fold)
  known = run.folds[0].samples
  names = ensemble.name_samples(ids)
  known_names = ensemble.name_known(run.folds[0])
  order = np.argsort(known_names)
  places = np.searchsorted(known_names[order], names)
  places = order[np.minimum(places, len(order) - 1)]
  is_known = known_names[places] == names
  folds = np.where(is_known, known.folds[places], NO_FOLD).astype(np.int32)
  models = np.where(np.isin(folds, finished), folds, chosen).astype(np.int32)
  groups = known.groups[places] if known.groups.size else np.full(len(ids), '')
  is_labelled = is_known & (ensemble.exported is None)
  return Assignment(folds=folds,
                    models=models,
                    trained_on=is_known & (folds != models),
                    labels=known.labels[places] * is_labelled[:, np.newaxis],
                    labelled=is_labelled,
                    groups=np.where(is_known, groups, ''))
