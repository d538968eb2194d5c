"""Scores [N, 28] and labels to every number of the paper. No TensorFlow.

The paper prints one F1 and one accuracy, and both names mean several things, so
each number here carries its average in its name. Its F1 (.541) fits none of
scikit-learn's averages: 2PR/(P+R) - F1 of its table fits the micro F1 of each
validation batch of 16, averaged over batches; that is f1_paper. Its accuracy
(.487) is what Keras's `accuracy` makes of multi-hot targets, the match of two
argmaxes; that is accuracy_argmax. Formula 2 of the paper, accuracy_binary,
would be about .95.

A class without positives is left out of a macro or weighted mean, never counted
as 0 or 1 in silence; classes_scored and auc_classes say how many are in. Where
no class is left a number is None, for NaN is not JSON. Other divisions by zero
give 0, as scikit-learn's zero_division=0. The tests hold each number equal to
scikit-learn's; what counts is scores.py.
"""

import numpy as np
import pandas as pd
from scipy import sparse

from hpa_records.format import spec
from trainer.scoring import scores as scores_lib

# The metrics that tables show, by name, and how a reader writes them.
TITLES = {
    'auc_macro': 'AUC macro',
    'accuracy_argmax': 'accuracy, argmax',
    'f1_paper': 'F1 paper',
    'recall_paper': 'recall paper',
    'precision_paper': 'precision paper',
    'f1_macro': 'F1 macro',
    'f1_micro': 'F1 micro',
    'f1_samples': 'F1 samples',
    'average_precision_macro': 'average precision macro',
    'accuracy_subset': 'accuracy, subset',
    'accuracy_binary': 'accuracy, binary',
}
_COUNTED = ('classes_scored', 'auc_classes')
RATIOS = ('precision', 'recall', 'f1', 'auc', 'average_precision')


def score(
    labels: np.ndarray,
    scores: np.ndarray,
    threshold: float | np.ndarray = 0.5
) -> dict[str, float | int | None | list[float]]:
  """Returns every headline number by name, ready for JSON.

  auc_macro is the mean over classes with both values present; every other
  *_macro is one over classes with a positive, and *_weighted the same weighted
  by positives. *_micro pools all decisions. *_paper is the micro value of 16
  rows after 16, in the order given, averaged over those batches.

  Args:
    labels: [N, K] of 0 and 1, N >= 1.
    scores: [N, K] float, probabilities.
    threshold: a class is predicted where its score is greater, as in Keras;
      one for all classes, or [K].

  Raises:
    ValueError: a shape or value is wrong.
  """
  found = scores_lib.Scorer(labels, scores, threshold).score(_once(labels))
  numbers = {
      name: float(value[0]) if np.isfinite(value[0]) else None
      for name, value in found.items()
  }
  numbers.update((name, int(found[name][0])) for name in _COUNTED)
  return {
      **numbers, 'num_samples': len(labels),
      'threshold': np.asarray(threshold, float).tolist()
  }


def per_class(labels: np.ndarray,
              scores: np.ndarray,
              threshold: float | np.ndarray = 0.5) -> pd.DataFrame:
  """Returns counts and ratios of each class, one row a class, K rows.

  Columns: class, name, positives, predicted, true_positive, false_positive,
  false_negative, true_negative, precision, recall, f1, auc, average_precision.
  NaN (an empty field in CSV) stands where a ratio is undefined: all five
  without a positive, auc also without a negative. Precision without a
  prediction is 0, as in score().

  Args:
    labels: [N, K] of 0 and 1, N >= 1.
    scores: [N, K] float, probabilities.
    threshold: a class is predicted where its score is greater; one for all
      classes, or [K].

  Raises:
    ValueError: a shape or value is wrong.
  """
  found = scores_lib.Scorer(labels, scores,
                            threshold).score_classes(_once(labels))
  found = {name: values[:, 0] for name, values in found.items()}
  hits, positives, predicted = [
      found[name].astype(np.int64)
      for name in ('true_positive', 'positives', 'predicted')
  ]
  return pd.DataFrame({
      'class': np.arange(spec.NUM_CLASSES),
      'name': spec.CLASS_NAMES,
      'positives': positives,
      'predicted': predicted,
      'true_positive': hits,
      'false_positive': predicted - hits,
      'false_negative': positives - hits,
      'true_negative': len(labels) - positives - predicted + hits,
      **{
          name: found[name] for name in RATIOS
      },
  })


def _once(labels: np.ndarray) -> scores_lib.Draws:
  """Returns all rows, each drawn once, as they come."""
  return scores_lib.Draws.of([np.arange(len(labels))], len(labels))


def confusion_matrix(labels: np.ndarray, predicted: np.ndarray) -> np.ndarray:
  """Returns the multi-label confusion matrix, [K + 1, K + 1] int64.

  Rows are true classes, the last 'no true label'; columns predicted ones, the
  last 'no predicted label'. In a sample,

  - a class that is true and predicted counts on the diagonal;
  - the first wrongly predicted class counts once in the row of each missed one;
  - every other wrong one, and all where none is missed, in that of each true;
  - a missed class with nothing wrongly predicted counts under 'no predicted
    label', a sample with neither true nor predicted label in the last corner.

  So the order of the classes bears on the numbers, and a wrong prediction may
  count several times. How good a class is, per_class says, which counts the
  ordinary way.

  Args:
    labels: [N, K] of 0 and 1.
    predicted: [N, K] bool.

  Raises:
    ValueError: the shapes differ.

  Source: Heydarian, Doyle, Samavi, MLCM: Multi-Label Confusion Matrix, IEEE
  Access 10, 2022, as the package mlcm 0.0.1 of its first author counts.
  """
  labels, predicted = np.asarray(labels, bool), np.asarray(predicted, bool)
  if labels.shape != predicted.shape or labels.ndim != 2:
    raise ValueError(f'Expected labels and predictions [N, K], received '
                     f'{list(labels.shape)} and {list(predicted.shape)}.')
  missed, wrong = labels & ~predicted, predicted & ~labels
  first = wrong & (np.cumsum(wrong, axis=1) == 1)
  first &= missed.any(axis=1, keepdims=True)
  unlabelled = ~labels.any(axis=1)
  classes = labels.shape[1]
  matrix = np.zeros((classes + 1, classes + 1), np.int64)
  matrix[:-1, :-1] = (_pair(missed, first) + _pair(labels, wrong & ~first) +
                      np.diag((labels & predicted).sum(axis=0)))
  matrix[:-1, -1] = missed[~wrong.any(axis=1)].sum(axis=0)
  matrix[-1, :-1] = predicted[unlabelled].sum(axis=0)
  matrix[-1, -1] = (unlabelled & ~predicted.any(axis=1)).sum()
  return matrix


def _pair(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
  """Returns in how many samples both are, [K, K] int64."""
  rows, columns = [
      sparse.csr_array(each, dtype=int) for each in (rows, columns)
  ]
  return (rows.T @ columns).toarray()


def spell(name: str) -> str:
  """Returns a score's name as a reader writes it: F1 macro."""
  if name in TITLES:
    return TITLES[name]
  first, *rest = name.split('_')
  return ' '.join([{'f1': 'F1', 'auc': 'AUC'}.get(first, first), *rest])
