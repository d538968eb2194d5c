"""--validation=inner: images of the training folds decide, not the held-out."""

import dataclasses
import json
import pathlib
import re

import cv2
import numpy as np
import pandas as pd
import pytest

from hpa_records.conversion import convert
from hpa_records.conversion import shard_plan
from hpa_records.runtime import errors
from tests.support import fakes
from tests.support import runs
from trainer.training import loop

_PACE = ['images_per_s', 'input_wait']


@pytest.mark.parametrize('reader,cache', [
    ('indexed', 'device'),
    pytest.param('streaming', 'none', marks=pytest.mark.soak),
])
def test_a_run_with_inner_validation_is_continued_to_the_same_end(
    tmp_path, capsys, reader, cache):
  records = fakes.write_records(tmp_path,
                                40,
                                32,
                                balance='hybrid',
                                balance_target=9)
  config = runs.configure(records,
                          tmp_path / 'whole',
                          validation='inner',
                          reader=reader,
                          plateau_patience=1)
  loop.train(config)
  assert re.search(
      '--validation=inner: [34] images of the training folds choose the rate '
      'and the best epoch',
      capsys.readouterr().out)
  again = dataclasses.replace(config,
                              workdir=str(tmp_path / 'again'),
                              cache=cache)
  loop.train(dataclasses.replace(again, epochs=1))
  loop.train(again)
  whole, again = (tmp_path / name / 'fold1' for name in ('whole', 'again'))
  runs.assert_same_end(again, whole)
  history, other = (pd.read_csv(each / 'history.csv').drop(columns=_PACE)
                    for each in (whole, again))
  pd.testing.assert_frame_equal(history, other, check_exact=True)
  inner = json.loads((whole / 'about.json').read_text())['inner_images']
  index = pd.read_parquet(f'{records}/index.parquet')
  stored = np.stack(list(index['repeats']))[:, 1]
  left_out = runs.arrays(whole / 'samples.npz')['repeats'] != stored
  assert 0 < left_out.sum() <= inner
  best = json.loads((whole / 'best_metrics.json').read_text())
  assert best['epoch'] == history['inner_f1_macro'].argmax() + 1
  assert 'a tenth of the training folds' in best['note']
  with pytest.raises(errors.DataError, match="validation 'inner', not 'held"):
    loop.train(dataclasses.replace(config, validation='heldout'))


def _convert_folds(folder, is_other):
  """Records with given folds, whose fold 1 may be of other images."""
  csv, images = fakes.write_source(folder, 60, 32)
  head, *rows = pathlib.Path(csv).read_text('utf-8').splitlines()
  lines = [f'{head},fold']
  for i, row in enumerate(rows):
    fold = i // 5 % 5
    if is_other and fold == 1:
      row = f's{i},{11 - i % 12}'
      for path in pathlib.Path(images).glob(f's{i}_*.png'):
        cv2.imwrite(str(path), fakes.plane(i + 7, 1, 32) // 2)
    lines.append(f'{row},{fold}')
  pathlib.Path(csv).write_text('\n'.join(lines) + '\n', 'utf-8')
  settings = shard_plan.Settings(image_size=32,
                                 fold_column='fold',
                                 balance='none')
  convert.convert(csv, images, str(folder / 'records'), settings,
                  convert.How(workers=1))
  return str(folder / 'records')


def test_with_inner_validation_the_held_out_fold_decides_nothing(tmp_path):
  # Mean and deviation of all pixels would tell of the held-out ones.
  folds = []
  for name in ('one', 'other'):
    config = runs.configure(_convert_folds(tmp_path / name, name == 'other'),
                            tmp_path / name / 'run',
                            validation='inner',
                            input_scaling='image',
                            plateau_patience=1,
                            epochs=5)
    loop.train(config)
    folds.append(tmp_path / name / 'run' / 'fold1')
  one, other = (pd.read_csv(each / 'history.csv') for each in folds)
  decided = ['loss', 'val_loss', 'inner_f1_macro', 'learning_rate']
  pd.testing.assert_frame_equal(one[decided], other[decided], check_exact=True)
  assert one['learning_rate'].nunique() > 1
  assert (one['heldout_loss'] != other['heldout_loss']).all()
  assert not one['val_loss'].equals(one['heldout_loss'])
  epochs = [
      json.loads((each / 'best_metrics.json').read_text())['epoch']
      for each in folds
  ]
  assert epochs[0] == epochs[1]
