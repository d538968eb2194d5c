"""Runs' results on one page: report.html, tables as CSV, figures as PNG, SVG.

The page is self-contained: figures lie inside it, nothing is fetched, so it
opens from disk and can be sent. Everything is drawn from what the runs wrote;
neither the records nor TensorFlow are needed.
"""

from collections.abc import Sequence
import os
from typing import Any

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
_SUFFIXES = ('.csv', '.npz', '.png', '.svg')  # of the files in the folder
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
    schema.DataError: a folder is no run, or has no finished fold; a file of one
      is damaged; or the report cannot be written.
  """
  runs = [workdir.load(directory) for directory in workdirs]
  path, folder = name_outputs(output)
  filesystem.prepare_output(path)
  filesystem.prepare_output(os.path.join(folder, f'x{_SUFFIXES[0]}'))
  results = [
      result.compute(run, name, repetitions)
      for run, name in zip(runs, result.name_runs(runs))
  ]
  gallery = report_gallery.describe(results)
  with filesystem.told_output(output):
    _clear(folder)  # only now is all read that may be damaged
    page = _render(results, gallery, folder, repetitions)
    filesystem.write_atomically(path, page.encode())
  return path


def name_outputs(output: str) -> tuple[str, str]:
  """Returns the page and the folder that a report writes.

  Args:
    output: folder of the report.
  """
  return os.path.join(output, REPORT_NAME), os.path.join(output, FOLDER_NAME)


def _clear(folder: str) -> None:
  """Removes what an earlier report, perhaps of other runs, left in its folder.
  """
  for name in filesystem.list_names(folder):
    if name.endswith(_SUFFIXES):
      filesystem.remove(os.path.join(folder, name))


def _render(results: Sequence[result.Result], gallery: list[dict[str, Any]],
            folder: str, repetitions: int) -> str:
  """Returns the page; writes tables and figures to the folder."""
  of_all = report_file.Files(os.path.join(folder, 'runs'))
  return _environment().get_template(_TEMPLATE_NAME).render(
      names=[each.name for each in results],
      repetitions=repetitions,
      sections=[report_section.describe(each, folder) for each in results],
      classes=report_comparison.describe_classes(results, of_all),
      comparisons=report_comparison.compare(results, of_all, repetitions),
      others=report_comparison.describe_others(results, of_all),
      figures=report_comparison.draw_scores(results, folder),
      gallery=gallery,
      class_names=schema.CLASS_NAMES)


def _environment() -> jinja2.Environment:
  return jinja2.Environment(loader=jinja2.FileSystemLoader(
      os.path.dirname(__file__)),
                            autoescape=True,
                            undefined=jinja2.StrictUndefined,
                            trim_blocks=True,
                            lstrip_blocks=True)
