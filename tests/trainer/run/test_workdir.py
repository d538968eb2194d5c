"""workdir: which folders are those of a fold."""

import shutil

import pytest

from trainer.run import finished_run


@pytest.mark.parametrize('name',
                         ['fold00', 'fold\u0661', 'fold-1', 'fold1.bak'])
def test_a_folder_of_another_name_is_no_fold(run, name):
  shutil.copytree(run / 'fold0', run / name)
  (run / 'fold1').mkdir()  # empty: not finished
  assert [fold.number for fold in finished_run.load(str(run)).folds] == [0]
