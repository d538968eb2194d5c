"""seed_group: runs of several seeds, in groups, tables and on the page."""

import dataclasses
import json
import pathlib
import re
import shutil

import numpy as np
import pandas as pd
import pytest

from trainer.report import comparison
from trainer.report import files as files_lib
from trainer.report import page as page_lib
from trainer.report import result
from trainer.report import seed_group
from trainer.report import tables
from trainer.run import arrays
from trainer.run import finished_run
from trainer.run import out_of_fold
from trainer.scoring import seed_test

# F1 macro of two folds, by the recipe, which is a learning rate, and the seed.
_SCORES = {
    (0.1, 3): (.2, .4),
    (0.1, 5): (.5, .7),
    (0.2, 3): (.6, .8),
    (0.2, 5): (.6, .6)
}


def _change(path, **changes):
  path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.fixture(name='folders', scope='module')
def _folders(smallest_run, tmp_path_factory):
  """Copies of a run as low-seed3, low-seed5, high-seed3 and high-seed5."""
  made = []
  for (rate, seed), scores in _SCORES.items():
    name = f'{"low" if rate == 0.1 else "high"}-seed{seed}'
    folder = tmp_path_factory.mktemp('runs') / name
    shutil.copytree(smallest_run, folder)
    rng = np.random.default_rng([int(100 * rate), seed])
    for number, score in enumerate(scores):
      fold = folder / f'fold{number}'
      _change(fold / 'config.json', seed=seed, learning_rate=rate)
      _change(fold / 'metrics.json', f1_macro=score)
      path = str(fold / 'predictions.npz')
      found = arrays.Predictions.load(path, 1)
      predictions = rng.random(found.predictions.shape, np.float32)
      dataclasses.replace(found, predictions=predictions).save(path)
    made.append(str(folder))
  return made


def _load(folders):
  return [finished_run.load(each) for each in folders]


def test_runs_of_a_group_differ_in_their_seed_alone(folders):
  a, b, c, d = _load(folders)
  assert seed_group.find([a, c, b, d]) == [[a, b], [c, d]]
  longer = dataclasses.replace(b,
                               config=dataclasses.replace(b.config, epochs=9))
  less = dataclasses.replace(b, folds=b.folds[:1])
  other = dataclasses.replace(b, fingerprint='0')
  # A seed that a group has, and what trained longer, in part, on other data.
  for alone in (a, longer, less, other):
    assert seed_group.find([a, alone, b]) == [[a, b], [alone]]


def test_a_row_is_a_seed_and_deviations_are_of_folds_and_of_seeds(folders):
  table = tables.tabulate_seeds(_load(folders[:2]))['f1_macro']
  assert list(
      table.index) == ['seed 3', 'seed 5', 'mean', 'std', 'std of seeds']
  assert table.tolist() == pytest.approx(
      [.3, .6, .45, np.std([.2, .4, .5, .7]), .3 / np.sqrt(2)])
  text = tables.format_metrics(_load(folders[:2]))
  rows = [line.split('  ')[0] for line in text.splitlines()[1:]]
  assert rows == [
      'seed 3', 'seed 5', 'mean ± std, 2 folds x 2 seeds', 'std of seeds'
  ]
  assert '0.450 ± 0.180' in text and '0.212' in text


@pytest.fixture(name='page', scope='module')
def _page(folders, tmp_path_factory):
  """The report of the four: (text of the page, folder of its files)."""
  output = tmp_path_factory.mktemp('page')
  path = page_lib.write(folders, str(output), 20)
  return pathlib.Path(path).read_text(encoding='utf-8'), output / 'report'


def test_the_page_has_a_section_a_recipe_and_a_row_a_seed(page, folders):
  text, files = page
  assert re.findall(r'<h3 class="run">(.*?)</h3>',
                    text) == ['low (2 seeds)', 'high (2 seeds)']
  assert '<summary>The folds of seed 3</summary>' in text
  for said in ('below the metrics are those of one seed: low with seed 3, high '
               'with seed 3.', 'std of folds and seeds'):
    assert said in ' '.join(text.split())
  for name, part in (('low', folders[:2]), ('high', folders[2:])):
    saved = pd.read_csv(files / f'{name}_seeds.csv', index_col=0)
    np.testing.assert_allclose(saved, tables.tabulate_seeds(_load(part)))
  for number in (3, 5):
    assert text.count(f'<th scope="row">seed {number}</th>') == 2


def test_recipes_are_tested_over_folds_and_seeds_on_the_page(page, folders):
  text, files = page
  saved = pd.read_csv(files / 'runs_comparison_low_high.csv', index_col=0)
  found = [out_of_fold.collect(each) for each in _load(folders)]
  predictions = [each.predictions for each in found]
  table = seed_test.compare(found[0].labels,
                            predictions[:2],
                            predictions[2:],
                            found[0].folds,
                            threshold=0.5,
                            repetitions=20)
  np.testing.assert_allclose(saved[list(table)], table)
  assert saved['p_value'].notna().sum() > 3
  assert f'Holm for all {saved["p_value"].notna().sum()} tests' in text
  assert '<h3>low (2 seeds) against high (2 seeds)</h3>' in text
  assert 'on other images and with other seeds' in ' '.join(text.split())


def test_several_seeds_are_not_tested_against_one(folders):
  first, second, alone = _load(folders[:3])
  told = comparison.compare([
      result.compute(first, 'low', 0, [second]),
      result.compute(alone, 'high', 0)
  ], files_lib.Files('runs', {}), 20)
  assert [(each['a'], each['b']) for each in told] == [('low (2 seeds)', 'high')
                                                      ]
  assert told[0]['reason'] == 'have several seeds and one'
