"""The threshold above which the models of runs predict a class."""

from collections.abc import Sequence
import dataclasses

import numpy as np

from hpa_records.runtime import errors
from trainer.run import finished_run
from trainer.run import out_of_fold
from trainer.scoring import decision
from trainer.scoring import thresholds


def choose(runs: Sequence[finished_run.Run],
           asked: str,
           weights: str = 'last') -> decision.Threshold:
  """Returns the threshold above which a class is predicted: a number or [K].

  None if the runs predict one class a sample, the most probable.

  Args:
    runs: whose models predict together, at least one.
    asked: a number; a rule of thresholds.RULES, which chooses one for each
      class on the out-of-fold predictions, their mean for several runs; or ''
      for the threshold of the runs.
    weights: 'last' or 'best', used for the prediction.

  Raises:
    errors.DataError: asked is none of these, or not '' where the runs predict
      one class a sample; the runs have different thresholds or predicted
      different samples; or a rule is used with the best weights, which have no
      out-of-fold predictions.
  """
  if refuses(runs[0], asked):
    return None
  if asked in thresholds.RULES:
    if weights != 'last':
      raise errors.DataError(
          f'Expected --weights=last with --threshold={asked}, which is '
          'chosen on predictions after the last epoch, received '
          f'--weights={weights}; pass --threshold as a number.')
    found = _collect_predictions(runs)
    return thresholds.choose(asked, found.labels, found.predictions)
  if asked:
    return parse(asked)
  numbers = {run.config.threshold for run in runs}
  if len(numbers) > 1:
    raise errors.DataError(
        f'The runs have different thresholds: {sorted(numbers)}; pass '
        '--threshold.')
  return numbers.pop()


def refuses(run: finished_run.Run, asked: str) -> bool:
  """Returns whether a run predicts one class a sample, without a threshold.

  Raises:
    errors.DataError: it does, and one is asked for.
  """
  if run.threshold is None and asked:
    raise errors.DataError('Expected no --threshold for runs that were trained '
                           f'with --loss={run.config.loss}, which predict the '
                           f'most probable class, received {asked!r}; leave it '
                           'out.')
  return run.threshold is None


def parse(asked: str) -> float:
  """Returns a threshold that is a number.

  Raises:
    errors.DataError: it is none, or out of range.
  """
  try:
    number = float(asked)
  except ValueError:
    number = -1.0
  if not 0 <= number < 1:
    raise errors.DataError(
        'Expected --threshold from 0 to below 1, or one of '
        f'{", ".join(thresholds.RULES)}, received {asked!r}.')
  return number


def _collect_predictions(
    runs: Sequence[finished_run.Run]) -> out_of_fold.OutOfFold:
  first, *others = [out_of_fold.collect(run) for run in runs]
  for run, other in zip(runs[1:], others):
    if not first.is_of_same_samples(other):
      raise errors.DataError(
          f'{runs[0].directory} and {run.directory} held out different '
          'samples in their folds; pass --threshold as a number, or finish '
          'the same folds of both.')
  predictions = np.mean([each.predictions for each in (first, *others)], axis=0)
  return dataclasses.replace(first, predictions=predictions)
