"""Labels and predictions [N, K] to every metric of the paper. No TensorFlow.

The paper prints one F1 and one accuracy without saying which, so each metric
here has its average in its name. The paper's F1 (.541) is none of
scikit-learn's averages: it fits the micro F1 of each validation batch of 16,
averaged over batches, which is f1_paper. Its accuracy (.487) is what Keras's
`accuracy` computes for multi-hot targets, the match of two argmaxes, which is
accuracy_argmax. Formula 2 of the paper, accuracy_binary, would give about .95.

A class without positives is left out of macro and weighted means;
classes_scored and auc_classes count the classes in the means. A metric of no
class is None, because NaN is not JSON. Other divisions by zero give 0, as
scikit-learn's zero_division=0. The tests compare each metric with
scikit-learn's.

Samples of one label each, where the most probable class is predicted, have the
same metrics without a threshold: f1_micro and the accuracies but
accuracy_binary are then the share of right classes, and log_loss is added.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import sparse

from trainer.scoring import decision
from trainer.scoring import resample
from trainer.scoring import scorer as scorer_lib

# The metrics that tables show, by name, with their titles.
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
# The same of runs that predict one class a sample.
SINGLE_TITLES = {
    'accuracy_argmax': 'accuracy',
    'f1_macro': 'F1 macro',
    'recall_macro': 'recall macro',
    'precision_macro': 'precision macro',
    scorer_lib.LOG_LOSS: 'log loss',
    'auc_macro': 'AUC macro',
    'average_precision_macro': 'average precision macro',
}
_COUNTED = ('classes_scored', 'auc_classes')
RATIOS = ('precision', 'recall', 'f1', 'auc', 'average_precision')


def choose_titles(threshold: decision.Threshold) -> dict[str, str]:
  """Returns the metrics that tables show of a run, by name.

  Args:
    threshold: of the run.
  """
  return SINGLE_TITLES if threshold is None else TITLES


def compute(
    labels: np.ndarray,
    predictions: np.ndarray,
    threshold: decision.Threshold = 0.5
) -> dict[str, float | int | None | list[float]]:
  """Returns every headline metric by name, as JSON types.

  auc_macro is the mean over classes with positives and negatives; every other
  *_macro is the mean over classes with positives, and *_weighted the same
  weighted by positives. *_micro pools all decisions. *_paper is the micro value
  of each batch of 16 consecutive rows, averaged over batches.

  Args:
    labels: [N, K] of 0 and 1, N >= 1, K >= 1; one 1 a row without threshold.
    predictions: [N, K] float, probabilities.
    threshold: as of decision.decide.

  Raises:
    ValueError: a shape or value is wrong.
  """
  found = scorer_lib.Scorer(labels, predictions,
                            threshold).compute(_once(labels))
  numbers = {name: _to_json(value[0]) for name, value in found.items()}
  numbers.update((name, int(found[name][0])) for name in _COUNTED)
  return {
      **numbers, 'num_samples':
          len(labels),
      'threshold':
          None if threshold is None else np.asarray(threshold, float).tolist()
  }


def compute_one(name: str,
                labels: np.ndarray,
                predictions: np.ndarray,
                threshold: decision.Threshold = 0.5) -> float | None:
  """Returns one metric of compute; F1 and accuracy take a tenth of its time.

  Args:
    name: of the metric.
    labels, predictions, threshold: as of compute.

  Raises:
    ValueError: a shape or value is wrong.
  """
  scorer = scorer_lib.Scorer(labels, predictions, threshold)
  found = scorer.compute_unranked(_once(labels))
  if name not in found:
    found = scorer.compute(_once(labels))
  return _to_json(found[name][0])


def compute_f1(labels: np.ndarray, predictions: np.ndarray,
               threshold: decision.Threshold) -> np.ndarray:
  """Returns F1 of each class, [K] float64; NaN without a positive.

  Args:
    labels, predictions, threshold: as of compute.

  Raises:
    ValueError: a shape or value is wrong.
  """
  scorer = scorer_lib.Scorer(labels, predictions, threshold)
  return scorer.count_classes(_once(labels))['f1'][:, 0]


def _to_json(value: np.floating) -> float | None:
  return float(value) if np.isfinite(value) else None


def per_class(labels: np.ndarray,
              predictions: np.ndarray,
              names: Sequence[str],
              threshold: decision.Threshold = 0.5) -> pd.DataFrame:
  """Returns counts and ratios of each class, a table of K rows.

  Columns: class, name, positives, predicted, true_positive, false_positive,
  false_negative, true_negative, precision, recall, f1, auc, average_precision.
  A ratio is NaN (an empty field in CSV) where it is undefined: all five without
  a positive, auc also without a negative. Precision without a predicted label
  is 0, as in compute().

  Args:
    labels, predictions, threshold: as of compute.
    names: of the K classes.

  Raises:
    ValueError: a shape or value is wrong.
  """
  found = scorer_lib.Scorer(labels, predictions,
                            threshold).compute_classes(_once(labels))
  found = {name: values[:, 0] for name, values in found.items()}
  hits, positives, predicted = [
      found[name].astype(np.int64)
      for name in ('true_positive', 'positives', 'predicted')
  ]
  return pd.DataFrame({
      'class': np.arange(len(names)),
      'name': list(names),
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


def average_classes(labels: np.ndarray, predictions: np.ndarray,
                    folds: np.ndarray, names: Sequence[str],
                    threshold: decision.Threshold) -> pd.DataFrame:
  """Returns the metrics of each class, means over folds.

  Args:
    labels, predictions, threshold: as of compute.
    folds: [N] int.
    names: of the K classes.

  Returns:
    Index: class numbers. Columns: name, positives (in all folds), folds (those
    that have the class; only they are in the means), and for each of RATIOS its
    mean and its population standard deviation, <ratio>_std. NaN where no fold
    has the class.

  Raises:
    ValueError: a shape or value is wrong.
  """
  parts = np.stack([
      per_class(labels[folds == fold], predictions[folds == fold], names,
                threshold)[list(RATIOS)].to_numpy(float)
      for fold in np.unique(folds)
  ])
  known = np.ma.masked_invalid(parts)
  table = pd.DataFrame(
      {
          'name': list(names),
          'positives': labels.sum(axis=0, dtype=np.int64),
          'folds': np.isfinite(parts[..., 0]).sum(axis=0),
      },
      index=pd.RangeIndex(len(names), name='class'))
  for i, name in enumerate(RATIOS):
    table[name] = known[..., i].mean(axis=0).filled(np.nan)
    table[f'{name}_std'] = known[..., i].std(axis=0).filled(np.nan)
  return table


def _once(labels: np.ndarray) -> resample.Draws:
  """Returns all rows in order, each drawn once."""
  return resample.Draws.of([np.arange(len(labels))], len(labels))


def confusion_matrix(labels: np.ndarray, predicted: np.ndarray) -> np.ndarray:
  """Returns the multi-label confusion matrix, [K + 1, K + 1] int64.

  Rows are true classes, the last one 'no true label'; columns are predicted
  classes, the last one 'no predicted label'. In a sample,

  - a class that is true and predicted counts on the diagonal;
  - the first wrongly predicted class counts once in the row of each missed one;
  - every other wrongly predicted class, or all of them if no class is missed,
    counts in the row of each true class;
  - a missed class without a wrongly predicted one counts under 'no predicted
    label'; a sample without true and predicted labels in the last corner.

  So the counts depend on the order of the classes, and a wrong prediction may
  count several times. per_class has the ordinary counts. With one label and one
  predicted class in each sample it is the ordinary confusion matrix.

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
  first = np.zeros_like(wrong)
  rows = np.flatnonzero(wrong.any(axis=1) & missed.any(axis=1))
  first[rows, wrong[rows].argmax(axis=1)] = True
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
  """Returns the number of samples in which both are set, [K, K] int64.

  Args:
    rows: [N, K] bool.
    columns: [N, K] bool.
  """
  rows, columns = [
      sparse.csr_array(each, dtype=int) for each in (rows, columns)
  ]
  return (rows.T @ columns).toarray()


def spell(name: str) -> str:
  """Returns the title of a metric, such as 'F1 macro' for f1_macro."""
  if name in TITLES:
    return TITLES[name]
  first, *rest = name.split('_')
  return ' '.join([{'f1': 'F1', 'auc': 'AUC'}.get(first, first), *rest])
