"""Runs' results on one page: report.html, tables as CSV, figures as PNG, SVG.

The page is self-contained: figures lie inside it, nothing is fetched, so it
opens from disk and can be sent. Everything is drawn from what the runs wrote;
neither the records nor TensorFlow are needed.
"""

from collections.abc import Sequence
import os
from typing import Any

import jinja2

from hpa_records.format import spec
from hpa_records.storage import path_check
from trainer.report import comparison
from trainer.report import files
from trainer.report import gallery as gallery_lib
from trainer.report import result
from trainer.report import section
from trainer.run import finished_run

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
    repetitions: of the bootstrap behind intervals and tests; 0 leaves them out.

  Returns:
    The path of the page.

  Raises:
    errors.DataError: a folder is no run, or has no finished fold; a file of one
      is damaged; or the report cannot be written, or only over files that
      no report wrote.
  """
  runs = [finished_run.load(directory) for directory in workdirs]
  place = prepare(output)
  results = [
      result.compute(run, name, repetitions)
      for run, name in zip(runs, result.name_runs(runs))
  ]
  content: dict[str, bytes] = {}
  page = _render(results, gallery_lib.describe(results), content, repetitions)
  with path_check.translate_write_errors(output):
    place.write(page, content)
  return place.page


def name_outputs(output: str) -> tuple[str, str]:
  """Returns the page and the folder that a report writes.

  Args:
    output: folder of the report.
  """
  return (os.path.join(output,
                       REPORT_NAME), os.path.join(output, files.FOLDER_NAME))


def prepare(output: str, flag: str = 'output') -> files.Output:
  """Makes the folder of a report, before work is spent on it.

  Args:
    output: folder of the report.
    flag: where it was given, for the message.

  Raises:
    errors.DataError: it cannot be written to, or has a page of another origin.
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
  return _environment().get_template(_TEMPLATE_NAME).render(
      names=[each.name for each in results],
      repetitions=repetitions,
      sections=[section.describe(each, content) for each in results],
      classes=comparison.describe_classes(results, of_all),
      comparisons=comparison.compare(results, of_all, repetitions),
      others=comparison.describe_others(results, of_all),
      figures=comparison.draw_scores(results, content),
      gallery=gallery,
      class_names=spec.CLASS_NAMES)


def _environment() -> jinja2.Environment:
  return jinja2.Environment(loader=jinja2.FileSystemLoader(
      os.path.dirname(__file__)),
                            autoescape=True,
                            undefined=jinja2.StrictUndefined,
                            trim_blocks=True,
                            lstrip_blocks=True)
