"""The report page of one or more runs, report.html.

The page is self-contained: figures are embedded and nothing is downloaded, so
it opens from disk and can be sent. It is made from the files of the runs,
without the records and TensorFlow. Tables are also written as CSV, figures as
PNG and SVG.
"""

from collections.abc import Sequence
import os
from typing import Any

import jinja2

from hpa_records.runtime import errors
from hpa_records.storage import path_check
from trainer.report import comparison
from trainer.report import files
from trainer.report import gallery as gallery_lib
from trainer.report import result
from trainer.report import section
from trainer.report import seed_group
from trainer.report import systems
from trainer.report import tables
from trainer.run import finished_run
from trainer.run import stored_spec

REPORT_NAME = 'report.html'
REPETITIONS = 1000
_TEMPLATE_NAME = 'page.html'


def write(workdirs: Sequence[str],
          output: str,
          repetitions: int = REPETITIONS) -> str:
  """Writes the report of one or more runs.

  Args:
    workdirs: folders of runs, each with a finished fold.
    output: folder of the report.
    repetitions: of the bootstrap for intervals and tests; 0 for none.

  Returns:
    The path of the page.

  Raises:
    errors.DataError: a folder is not a run or has no finished fold, a file is
      damaged, the runs have different classes, or the report cannot be written
      without replacing files that no report wrote.
  """
  runs = [finished_run.load(directory) for directory in workdirs]
  for run in runs[1:]:
    if run.spec.classes != runs[0].spec.classes:
      raise errors.DataError(
          f'The runs {runs[0].directory} and {run.directory} differ in '
          f'{runs[0].spec.find_difference(run.spec)}; write a report of each.')
  place = prepare(output)
  recipes = seed_group.find(runs)
  results = [
      result.compute(run, name, repetitions, others)
      for (run, *others), name in zip(recipes, result.name_runs(recipes))
  ]
  content: dict[str, bytes] = {}
  page = _render(results, gallery_lib.describe(results), content, repetitions)
  with path_check.translate_write_errors(output):
    place.write(page, content)
  return place.page


def name_outputs(output: str) -> tuple[str, str]:
  """Returns the paths of a report's page and of its folder of files.

  Args:
    output: folder of the report.
  """
  return (os.path.join(output,
                       REPORT_NAME), os.path.join(output, files.FOLDER_NAME))


def prepare(output: str, flag: str = 'output') -> files.Output:
  """Creates the folder of a report, before the report is computed.

  Args:
    output: folder of the report.
    flag: the flag that gave the folder, for the message.

  Raises:
    errors.DataError: it is not writable, or has a page that no report wrote.
  """
  path_check.prepare_output(name_outputs(output)[0], flag)
  with path_check.translate_write_errors(output, flag):
    place = files.Output(output, REPORT_NAME)
  path_check.prepare_output(place.list, flag)
  return place


def _render(results: Sequence[result.Result], gallery: list[dict[str, Any]],
            content: dict[str, bytes], repetitions: int) -> str:
  """Returns the page; adds tables and figures to content."""
  of_all = files.Files('runs', content)
  first = results[0].run
  comparisons = comparison.compare(results, of_all, repetitions)
  return _environment().get_template(_TEMPLATE_NAME).render(
      names=[each.name for each in results],
      titles=[each.title for each in results],
      repetitions=repetitions,
      sections=[section.describe(each, content) for each in results],
      classes=comparison.describe_classes(results, of_all),
      comparisons=comparisons,
      systems=systems.describe(results, comparisons, of_all),
      others=comparison.describe_others(results, of_all),
      figures=comparison.draw_figures(results, content),
      gallery=gallery,
      class_names=first.spec.classes,
      channels=_describe_channels(results),
      shown=len(results[0].shown),
      dataset=stored_spec.find_name(first.folds[0].about),
      is_of_paper=tables.is_of_paper(first))


def _describe_channels(results: Sequence[result.Result]) -> list[str]:
  """Returns the channels as text, once if all runs have the same."""
  texts = [
      ', '.join(f'{each.stain} ({each.name})' if each.stain else each.name
                for each in one.spec.channels)
      for one in results
  ]
  if len(set(texts)) == 1:
    return texts[:1]
  return [f'{one.name}: {text}' for one, text in zip(results, texts)]


def _environment() -> jinja2.Environment:
  return jinja2.Environment(loader=jinja2.FileSystemLoader(
      os.path.dirname(__file__)),
                            autoescape=True,
                            undefined=jinja2.StrictUndefined,
                            trim_blocks=True,
                            lstrip_blocks=True)
