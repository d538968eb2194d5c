"""Runs' results on one page: report.html, tables as CSV, figures as PNG, SVG.

The page is self-contained: figures lie inside it, nothing is fetched, so it
opens from disk and can be sent. Everything is drawn from what the runs wrote;
neither the records nor TensorFlow are needed.
"""

from collections.abc import Sequence
import os

import jinja2

from hpa_records import filesystem
from hpa_records import schema
from trainer import report_comparison
from trainer import report_file
from trainer import report_gallery
from trainer import report_section
from trainer import result
from trainer import workdir

REPORT_NAME = 'report.html'
FOLDER_NAME = 'report'  # of tables and figures
REPETITIONS = 1000
_TEMPLATE_NAME = 'report_page.html'


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
    schema.DataError: a folder is no run, or has no finished fold.
  """
  runs = [workdir.load(directory) for directory in workdirs]
  results = [
      result.compute(run, name, repetitions)
      for run, name in zip(runs, result.name_runs(runs))
  ]
  folder = os.path.join(output, FOLDER_NAME)
  filesystem.make_folder(folder)
  of_all = report_file.Files(os.path.join(folder, 'runs'))
  page = _environment().get_template(_TEMPLATE_NAME).render(
      names=[each.name for each in results],
      repetitions=repetitions,
      sections=[report_section.describe(each, folder) for each in results],
      classes=report_comparison.describe_classes(results, of_all),
      comparisons=report_comparison.compare(results, of_all, repetitions),
      others=report_comparison.describe_others(results, of_all),
      figures=report_comparison.draw_scores(results, folder),
      gallery=report_gallery.describe(results),
      class_names=schema.CLASS_NAMES)
  path = os.path.join(output, REPORT_NAME)
  filesystem.write_atomically(path, page.encode())
  return path


def _environment() -> jinja2.Environment:
  return jinja2.Environment(loader=jinja2.FileSystemLoader(
      os.path.dirname(__file__)),
                            autoescape=True,
                            undefined=jinja2.StrictUndefined,
                            trim_blocks=True,
                            lstrip_blocks=True)
