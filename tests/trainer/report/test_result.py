"""result: names of runs in a report."""

import dataclasses
import pathlib

import pytest

from trainer.report import result
from trainer.run import finished_run


@pytest.mark.parametrize('names', [
    ['run', 'run', '1-run'],
    ['a/run', 'b/run', 'c/other'],
    ['2-run', 'run', 'run', '3-run'],
    ['run', 'RUN'],
])
def test_names_of_runs_differ_on_any_disk(made, names):
  run = finished_run.load(str(made))
  found = result.name_runs(
      [[dataclasses.replace(run, directory=name)] for name in names])
  assert len({name.casefold() for name in found}) == len(names)
  for name, given in zip(found, names):
    assert name.endswith(pathlib.Path(given).name)


def test_any_folder_is_a_name_that_a_page_can_hold(made):
  run = finished_run.load(str(made))
  found = result.name_runs([[dataclasses.replace(run,
                                                 directory='a/r\udcff\n')]])
  assert found == [r'r\udcff\n']
