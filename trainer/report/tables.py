"""The tables of a run: those of the paper, by its numbers, and others.

Table 2 is the mean over folds with the population standard deviation, Table 3
the same for each class, Table 4 the counts of each class. The paper's Table 4
counts pairs of its confusion matrix and swaps two columns, and its Table 5
compares an average over batches with macro averages. Here counts are ordinary
counts, and each published F1 is compared with ours of the same average.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from hpa_records.datasets import description
from trainer.run import finished_run
from trainer.run import out_of_fold
from trainer.scoring import decision
from trainer.scoring import metrics
from trainer.scoring import thresholds as thresholds_lib

# The paper's Table 2 for PReLU and SELU: mean ± population standard deviation
# over five folds.
_PAPER_VALUES = {
    'auc_macro': ('.893 ± .003', '.889 ± .006'),
    'accuracy_argmax': ('.487 ± .016', '.495 ± .016'),
    'f1_paper': ('.541 ± .010', '.492 ± .016'),
    'recall_paper': ('.473 ± .014', '.384 ± .017'),
    'precision_paper': ('.641 ± .009', '.705 ± .012'),
}
PAPER = ('the paper, PReLU', 'the paper, SELU')

# Table 5 and the leaderboard: work, data, published F1, and our metric of the
# same kind. Source: the paper's Tables 2 and 5; Kaggle, Human
# Protein Atlas Image Classification, private leaderboard.
OTHERS = (
    ('this paper, PReLU', 'Kaggle 2018', .541, 'f1_paper'),
    ('this paper, SELU', 'Kaggle 2018', .492, 'f1_paper'),
    ('Mitra', 'Kaggle 2018', .465, 'f1_macro'),
    ('Chang', 'Kaggle 2018', .3459, 'f1_macro'),
    ('Kaggle, first place', 'Kaggle 2018, private test set', .593, 'f1_macro'),
    ('Tu', 'other data', .403, 'f1_macro'),
    ('Wang', 'other data', .5292, 'f1_macro'),
)

_COUNTS = ('true_positive', 'false_positive', 'false_negative', 'true_negative')
_GAINED = ('f1_macro', 'f1_micro', 'f1_samples', 'f1_paper', 'precision_macro',
           'recall_macro', 'accuracy_subset')


def is_of_paper(run: finished_run.Run) -> bool:
  """Returns whether a run can be compared with the paper and works like it.

  Its classes and channels are those of Kaggle's dataset of 2018, and it
  predicts any number of them for an image.
  """
  kaggle = description.default().spec(run.spec.image_size)
  return run.threshold is not None and not kaggle.find_difference(run.spec)


def tabulate_metrics(run: finished_run.Run) -> pd.DataFrame:
  """Returns a run's headline metrics, a row a fold: Table 2 of the paper.

  Returns:
    Index: fold 0, fold 1 and so on; for several folds also mean and std, the
    population standard deviation. Columns: those of metrics.choose_titles. NaN
    where a metric is undefined, or missing in a run of an earlier version.
  """
  names = list(metrics.choose_titles(run.threshold))
  table = pd.DataFrame(
      [[fold.metrics.get(name) for name in names] for fold in run.folds],
      index=[f'fold {fold.number}' for fold in run.folds],
      columns=names,
      dtype=float)
  if len(run.folds) > 1:
    table.loc['mean'], table.loc['std'] = table.mean(), table.std(ddof=0)
  return table


def tabulate_seeds(runs: Sequence[finished_run.Run]) -> pd.DataFrame:
  """Returns the headline metrics of a recipe with several seeds, a row a seed.

  Args:
    runs: which differ in their seed alone, at least two.

  Returns:
    Index: seed 0 and so on, each the mean over its folds; mean; std, the
    population standard deviation over all folds of all seeds, as in Table 2;
    std of seeds, the sample standard deviation of the rows of seeds. Columns,
    NaN: as of tabulate_metrics.
  """
  folds = [tabulate_metrics(run)[:len(run.folds)] for run in runs]
  table = pd.DataFrame([each.mean() for each in folds],
                       index=[f'seed {run.config.seed}' for run in runs])
  return pd.concat([
      table,
      pd.DataFrame({
          'mean': table.mean(),
          'std': pd.concat(folds).std(ddof=0),
          'std of seeds': table.std(ddof=1)
      }).T
  ])


def format_metrics(runs: Sequence[finished_run.Run]) -> str:
  """Returns Table 2 as text, with the paper's rows if is_of_paper.

  Args:
    runs: one, which gets a row a fold, or several that differ in their seed
      alone, which get a row a seed.
  """
  run = runs[0]
  table = tabulate_seeds(runs) if len(runs) > 1 else tabulate_metrics(run)
  rows = {name: row for name, *row in to_rows(table, '{:.3f}')}
  if 'std' in rows:
    title = 'mean ± std'
    if len(runs) > 1:
      title += f', {len(run.folds)} folds x {len(runs)} seeds'
    rows['mean'] = [
        f'{mean} ± {std}' if mean else ''
        for mean, std in zip(rows['mean'], rows.pop('std'))
    ]
    rows = {
        title if name == 'mean' else name: row for name, row in rows.items()
    }
  rows.update(find_published(run))
  titles = metrics.choose_titles(run.threshold)
  table = pd.DataFrame.from_dict(rows,
                                 orient='index',
                                 columns=list(titles.values()))
  return table.to_string(justify='right')


def find_published(run: finished_run.Run) -> dict[str, list[str]]:
  """Returns the paper's rows of Table 2: a text a metric, '' if not published.

  Args:
    run: beside which they stand; there are none where is_of_paper is False.
  """
  if not is_of_paper(run):
    return {}
  return {
      row: [_PAPER_VALUES.get(name, ('', ''))[i] for name in metrics.TITLES]
      for i, row in enumerate(PAPER)
  }


def tabulate_classes(found: out_of_fold.OutOfFold, names: Sequence[str],
                     threshold: decision.Threshold) -> pd.DataFrame:
  """Returns the metrics of each class over the folds: Table 3 of the paper.

  Args:
    found: predictions of a run.
    names: of the K classes.
    threshold: of the run.

  Returns:
    Index: class numbers. Columns: name, positives (in all folds), folds (those
    that have the class; only they are in the means), and for each of
    metrics.RATIOS its mean and its population standard deviation, <ratio>_std.
    NaN where no fold has the class.
  """
  return metrics.average_classes(found.labels, found.predictions, found.folds,
                                 names, threshold)


def tabulate_counts(found: out_of_fold.OutOfFold, names: Sequence[str],
                    threshold: decision.Threshold) -> pd.DataFrame:
  """Returns the counts of each class over all folds: Table 4 of the paper.

  Each sample and class is one decision.

  Args:
    found: predictions of a run.
    names: of the K classes.
    threshold: of the run.

  Returns:
    Index: class numbers, and total in the last row. Columns: name and the four
    counts.
  """
  table = metrics.per_class(found.labels, found.predictions, names, threshold)
  table = table.set_index('class')[['name', *_COUNTS]]
  total = table[list(_COUNTS)].sum()
  table.loc['total'] = ['all decisions', *total]
  return table.astype(dict.fromkeys(_COUNTS, np.int64))


def tabulate_others(runs: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
  """Returns published F1 values beside ours of the same kind: Table 5.

  Args:
    runs: tabulate_metrics of each run, by name.

  Returns:
    Index: the work. Columns: data, published, kind, and one for each run.
  """
  table = pd.DataFrame(OTHERS, columns=['work', 'data', 'published', 'kind'])
  for name, table_of_run in runs.items():
    table[name] = [
        table_of_run[:'mean'].iloc[-1][kind] for kind in table['kind']
    ]
  return table.set_index('work')


def tabulate_thresholds(
    found: out_of_fold.OutOfFold,
    threshold: float) -> tuple[pd.DataFrame, dict[str, pd.DataFrame]]:
  """Returns the metrics at per-class thresholds, and the thresholds.

  A fold's thresholds are chosen on the predictions of the other folds.

  Args:
    found: predictions of at least two folds.
    threshold: one for all classes, for comparison.

  Returns:
    (table, thresholds). The table has a row for the one threshold, then one for
    each rule, with the means of metrics over folds. thresholds has for each
    rule a table with a row a class and a column a fold.
  """
  chosen = {
      rule:
          thresholds_lib.cross_fit(rule, found.labels, found.predictions,
                                   found.folds) for rule in thresholds_lib.RULES
  }
  plain = dict.fromkeys(np.unique(found.folds).tolist(), threshold)
  rows = {}
  for rule, of_fold in {f'{threshold} for all': plain, **chosen}.items():
    found_metrics = [
        metrics.compute(found.labels[rows_of], found.predictions[rows_of],
                        of_fold[int(found.folds[rows_of[0]])])
        for rows_of in _by_fold(found.folds)
    ]
    rows[rule] = pd.DataFrame(found_metrics)[list(_GAINED)].astype(float).mean()
  thresholds = {
      rule: pd.DataFrame(of_fold).rename(columns='fold {}'.format)
      for rule, of_fold in chosen.items()
  }
  return pd.DataFrame(rows).T, thresholds


def to_rows(table: pd.DataFrame, *formats: str) -> list[list[str]]:
  """Returns the rows of a table as text, the index first.

  Args:
    table: of numbers; NaN becomes ''.
    *formats: one for all columns, or one for each.
  """
  if len(formats) == 1:
    formats *= table.shape[1]
  return [[
      str(name), *('' if np.isnan(value) else form.format(value)
                   for form, value in zip(formats, row))
  ]
          for name, row in zip(table.index, table.to_numpy(float))]


def format_interval(low: float, high: float) -> str:
  """Returns an interval as text; '' if it is NaN."""
  return '' if np.isnan(low) else f'{low:.3f}–{high:.3f}'


def _by_fold(folds: np.ndarray) -> Sequence[np.ndarray]:
  """Returns the rows of each fold, in order of folds."""
  return [np.flatnonzero(folds == fold) for fold in np.unique(folds)]
