"""Which classes a run confuses, as values for the page's template."""

from typing import Any

import numpy as np
import pandas as pd

from trainer.report import files as files_lib
from trainer.report import result as result_lib
from trainer.report.figures import evaluation
from trainer.scoring import decision
from trainer.scoring import metrics
from trainer.scoring import shown_class

_MOST_PAIRS = 50  # of the table on the page
_MOST_SAVED_PAIRS = 10_000


def describe(result: result_lib.Result,
             files: files_lib.Files) -> dict[str, Any]:
  """Returns the confusion matrix, or of many classes the most confused pairs.

  Args:
    result: of the run.
    files: of the run; tables and figures are added.

  Returns:
    'matrix' and 'pairs', values for the page's template; one of them is None.
  """
  found, spec = result.found, result.spec
  matrix = metrics.confusion_matrix(
      found.labels, decision.decide(found.predictions, result.threshold))
  truths = [*spec.classes, 'no true label']
  answers = [*spec.classes, 'no predicted label']
  if result.threshold is None:  # then the last row and column are 0
    matrix = matrix[:-1, :-1]
    truths, answers = truths[:-1], answers[:-1]
  if spec.num_classes > shown_class.MOST_OF_ALL:
    return {
        'matrix': None,
        'pairs': _describe_pairs(pd.DataFrame(matrix, truths, answers), files)
    }
  return {
      'matrix': _describe_matrix(matrix, truths, answers, files, result),
      'pairs': None
  }


def _describe_matrix(matrix: np.ndarray, truths: list[str], answers: list[str],
                     files: files_lib.Files,
                     result: result_lib.Result) -> dict[str, Any]:
  """Returns the cells of the confusion matrix, figure 9 of the paper.

  Args:
    matrix: [K + 1, K + 1] int, of metrics.confusion_matrix, or [K, K].
    truths: the titles of its rows.
    answers: the titles of its columns.
    files: of the run.
    result: of the run.
  """
  files.save('confusion_matrix', pd.DataFrame(matrix, truths, answers))
  files.embed(
      'confusion_matrix',
      evaluation.draw_confusion_matrix(matrix, result.spec.classes,
                                       result.name))
  shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
  return {
      'heads':
          answers,
      'rows': [(truth, list(zip(counts, parts)))
               for truth, counts, parts in zip(truths, matrix.tolist(),
                                               shares.tolist())],
  }


def _describe_pairs(matrix: pd.DataFrame,
                    files: files_lib.Files) -> list[list[str]]:
  """Returns the rows of a table of the most confused pairs of classes.

  Args:
    matrix: true classes by predicted ones.
    files: of the run; takes the first _MOST_SAVED_PAIRS.
  """
  counts = matrix.to_numpy()
  wrong = counts.copy()
  np.fill_diagonal(wrong, 0)
  rows, columns = np.nonzero(wrong)
  order = np.argsort(-wrong[rows, columns], kind='stable')[:_MOST_SAVED_PAIRS]
  rows, columns = rows[order], columns[order]
  table = pd.DataFrame({
      'true': matrix.index[rows],
      'predicted': matrix.columns[columns],
      'count': wrong[rows, columns],
      'share_of_true': wrong[rows, columns] / counts.sum(axis=1)[rows],
  })
  files.save('confused_pairs', table.set_index('true'))
  return [[true, predicted, f'{count:,}', f'{share:.1%}']
          for true, predicted, count, share in table[:_MOST_PAIRS].itertuples(
              index=False, name=None)]
