"""A run's results on one page: report.html, tables as CSV, figures as PNG.

The page is self-contained: figures lie inside it, nothing is fetched, so it
opens from disk and can be sent. Everything is drawn from what the run wrote;
neither the records nor TensorFlow are needed.
"""

import base64
import dataclasses
import os
from typing import Any, Sequence

import jinja2
import numpy as np
import pandas as pd

from hpa_records import figure
from hpa_records import filesystem
from hpa_records import gallery
from hpa_records import summary
from trainer import workdir

REPORT_NAME = 'report.html'
FOLDER_NAME = 'report'  # of tables and figures
_TEMPLATE_NAME = 'report_page.html'

# Shown of a fold, and what the paper's Table 2 has for it: PReLU, SELU as mean
# ± population standard deviation over five folds.
_SCORES = {
    'auc_macro': ('AUC macro', ('.893 ± .003', '.889 ± .006')),
    'accuracy_argmax': ('accuracy, argmax', ('.487 ± .016', '.495 ± .016')),
    'f1_paper': ('F1 paper', ('.541 ± .010', '.492 ± .016')),
    'recall_paper': ('recall paper', ('.473 ± .014', '.384 ± .017')),
    'precision_paper': ('precision paper', ('.641 ± .009', '.705 ± .012')),
    'f1_macro': ('F1 macro', ('', '')),
    'f1_micro': ('F1 micro', ('', '')),
    'accuracy_subset': ('accuracy, subset', ('', '')),
}
_PAPER = ('the paper, PReLU', 'the paper, SELU')

_POLICY_FORMATS = {
    'images_drawn': '{:,.0f}',
    'largest_over_smallest': '{:,.2f}',
    'variation': '{:.3f}',
    'never_seen': '{:.1%}',
    'largest_repeat': '{:,.1f}',
    'effective_sample_size': '{:,.0f}',
}


def write(workdirs: Sequence[str], output: str) -> str:
  """Writes the report of one or more runs.

  Args:
    workdirs: folders of runs, each with a finished fold.
    output: folder of the report.

  Returns:
    The path of the page.

  Raises:
    schema.DataError: a folder is no run, or has no finished fold.
  """
  runs = [workdir.load(directory) for directory in workdirs]
  names = _name_runs(runs)
  folder = os.path.join(output, FOLDER_NAME)
  filesystem.make_folder(folder)
  sections = [_describe(run, name, folder) for run, name in zip(runs, names)]
  page = _environment().get_template(_TEMPLATE_NAME).render(sections=sections)
  path = os.path.join(output, REPORT_NAME)
  filesystem.write_atomically(path, page.encode())
  return path


def tabulate_scores(run: workdir.Run) -> pd.DataFrame:
  """Returns a run's headline scores, a row a fold: Table 2 of the paper.

  Returns:
    Index: fold 0, fold 1, ..., and of several folds mean and std, the
    population's; columns as scores.json names them. NaN where undefined.
  """
  table = pd.DataFrame(
      [[fold.scores[name] for name in _SCORES] for fold in run.folds],
      index=[f'fold {fold.number}' for fold in run.folds],
      columns=list(_SCORES),
      dtype=float)
  if len(run.folds) > 1:
    table.loc['mean'], table.loc['std'] = table.mean(), table.std(ddof=0)
  return table


def format_scores(run: workdir.Run) -> str:
  """Returns a run's Table 2 as text, the paper's rows below it."""
  rows = {name: row for name, *row in _rows(tabulate_scores(run), '{:.3f}')}
  if 'std' in rows:
    deviations = rows.pop('std')
    rows['mean ± std'] = [
        f'{mean} ± {std}' if mean else ''
        for mean, std in zip(rows.pop('mean'), deviations)
    ]
  heads, papers = zip(*_SCORES.values())
  rows.update(zip(_PAPER, zip(*papers)))
  table = pd.DataFrame.from_dict(rows, orient='index', columns=heads)
  return table.to_string(justify='right')


@dataclasses.dataclass(frozen=True)
class _Files:
  """Where one run's tables and figures go, besides the page.

  Attributes:
    prefix: of their paths.
  """
  prefix: str

  def save(self, title: str, table: pd.DataFrame) -> pd.DataFrame:
    """Writes a table as CSV, and returns it."""
    data = table.to_csv(index_label='name').encode()
    filesystem.write_atomically(f'{self.prefix}_{title}.csv', data)
    return table

  def embed(self, title: str, drawn) -> str:
    """Writes a figure as PNG, and returns it as the address of an image."""
    data = figure.to_png(drawn)
    filesystem.write_atomically(f'{self.prefix}_{title}.png', data)
    return f'data:image/png;base64,{base64.b64encode(data).decode()}'


def _describe(run: workdir.Run, name: str, folder: str) -> dict[str, Any]:
  """Returns one run's part of the page; writes its tables and figures."""
  files = _Files(os.path.join(folder, name))
  hidden = ('fold', 'records', 'workdir', 'stage_dir')
  settings = {
      key: value for key, value in vars(run.config).items() if key not in hidden
  }
  paper = zip(_PAPER, zip(*(values for _, values in _SCORES.values())))
  return {
      'name': name,
      'scores': _rows(files.save('scores', tabulate_scores(run)), '{:.3f}'),
      'score_heads': [title for title, _ in _SCORES.values()],
      'paper': list(paper),
      'balance': _describe_balance(run.folds[0], files),
      'settings': {
          **settings, 'records_sha256': run.fingerprint
      },
  }


def _describe_balance(fold: workdir.Fold, files: _Files) -> dict[str, Any]:
  """Returns class counts before and after, of the run and of every policy."""
  samples = fold.samples
  policies, totals = summary.compare(samples.ids.tolist(), samples.labels,
                                     samples.folds, fold.number,
                                     samples.balance, samples.seed)
  drawn = samples.repeats.astype(float) @ samples.labels
  totals.insert(1, 'this run', drawn)
  files.save('policies', policies)
  files.save('class_counts', totals)
  own = gallery.draw_counts(totals['images'].to_numpy(), drawn,
                            samples.balance.policy, fold.number)
  return {
      'fold':
          fold.number,
      'chosen':
          samples.balance,
      'policies':
          _rows(policies[list(_POLICY_FORMATS)], *_POLICY_FORMATS.values()),
      'policy_heads': [each.replace('_', ' ') for each in _POLICY_FORMATS],
      'totals':
          _rows(totals, '{:,.0f}'),
      'total_heads':
          list(totals),
      'figure':
          files.embed('class_counts', own),
      'figures': {
          title: files.embed(title, drawn) for title, drawn in
          gallery.draw_policies(totals, fold.number).items()
      },
  }


def _rows(table: pd.DataFrame, *formats: str) -> list[list[str]]:
  """Rows as text, the index first; one format for all columns, or one each."""
  if len(formats) == 1:
    formats *= table.shape[1]
  return [[
      name, *[
          '' if np.isnan(value) else form.format(value)
          for form, value in zip(formats, row)
      ]
  ]
          for name, row in zip(table.index, table.to_numpy(float))]


def _name_runs(runs: Sequence[workdir.Run]) -> list[str]:
  """Short names, no two alike: those of the folders, numbered where needed."""
  names = [os.path.basename(os.path.abspath(run.directory)) for run in runs]
  return [
      name if names.count(name) == 1 else f'{i + 1}-{name}'
      for i, name in enumerate(names)
  ]


def _environment() -> jinja2.Environment:
  return jinja2.Environment(loader=jinja2.FileSystemLoader(
      os.path.dirname(__file__)),
                            autoescape=True,
                            undefined=jinja2.StrictUndefined,
                            trim_blocks=True,
                            lstrip_blocks=True)
