"""hpa-embed --figures, and the section that the report makes of it."""

import dataclasses
import json
import pathlib
import re
import shutil

import numpy as np
import pandas as pd
import pytest
from selenium.webdriver.common import keys

from hpa_records.runtime import errors
from tests.support import browser
from tests.support import prestarted
from tests.support import runs
from trainer.report import features
from trainer.report import files
from trainer.report import page as page_lib
from trainer.report import result
from trainer.run import arrays
from trainer.run.embedding import feature_map
from trainer.run import finished_run

# Without UMAP, whose functions take a minute to compile.
_WITHOUT_UMAP = '''
import runpy, sys
sys.modules['umap'] = None
sys.argv[0] = 'tools/embed.py'
runpy.run_path(sys.argv[0], run_name='__main__')
'''


def _embed(workdir, *words):
  return prestarted.run([
      '-c', _WITHOUT_UMAP, f'--workdir={workdir}',
      f'--output={workdir / "features.parquet"}', *words
  ])


@pytest.fixture(name='embedded', scope='module')
def _embedded(made, tmp_path_factory):
  """A run with features and figures, and what the command said."""
  folder = tmp_path_factory.mktemp('features')
  workdir = pathlib.Path(shutil.copytree(made, folder / 'run'))
  done = _embed(workdir, f'--records={made.parent / "records"}',
                f'--figures={folder / "figures"}', '--mlsmote')
  assert done.returncode == 0, done.stderr
  return workdir, done


def _load(workdir):
  run = finished_run.load(str(workdir))
  return feature_map.FeatureMap.load(str(workdir / 'features_map.npz'),
                                     run.spec)


def test_the_command_writes_map_scores_and_neighbours(embedded):
  workdir, done = embedded
  assert ('umap-learn is not installed, so the map is drawn by PCA; pip '
          'install "hpa-records[embed]".\n') in done.stderr
  assert re.search(
      r'^k nearest neighbours  AUC macro \.?[0-9.]+ \([0-9.]+ to [0-9.]+\)\n'
      r'linear probe          AUC macro .*\n'
      r'linear probe, MLSMOTE AUC macro .*\n'
      r'the network itself    AUC macro .*\n'
      r'PCA of 20 images: .*features_map.npz$', done.stdout, re.MULTILINE)
  figures = workdir.parent / 'figures'
  assert (figures / 'features_map.png').read_bytes().startswith(b'\x89PNG')
  assert b'<svg' in (figures / 'features_map.svg').read_bytes()
  scores = pd.read_csv(figures / 'features_scores.csv')
  assert set(scores['scorer']) == set(feature_map.SCORERS)
  assert (scores['low'] <= scores['value']).all()
  found = _load(workdir)
  held_out = arrays.Predictions.load(str(workdir / 'fold0/predictions.npz'), 28)
  assert set(found.ids) == set(held_out.ids)
  assert found.method == 'PCA' and found.space == 'hidden2'
  assert found.scored == 20
  # The thumbnails are the images themselves.
  with np.load(workdir / 'fold0/gallery.npz') as file:
    images = {
        str(name): each for name, each in zip(file['ids'], file['images'])
    }
  for query, thumbnails in zip(found.queries, found.images):
    if found.ids[query] in images:
      np.testing.assert_array_equal(thumbnails[0], images[found.ids[query]])


def test_a_table_without_figures_removes_an_earlier_map(embedded, made,
                                                        tmp_path):
  workdir = pathlib.Path(shutil.copytree(embedded[0], tmp_path / 'run'))
  csv = tmp_path / 'some.csv'
  csv.write_text('Id\ns1\n')
  done = _embed(workdir, f'--records={made.parent / "records"}', f'--csv={csv}')
  assert done.returncode == 0, done.stderr
  assert not (workdir / 'features_map.npz').exists()
  (workdir / 'features_map.npz').write_text('mine')
  done = _embed(workdir, f'--records={made.parent / "records"}', f'--csv={csv}')
  assert done.returncode == 2 and 'is no map of features' in done.stderr
  assert (workdir / 'features_map.npz').read_text() == 'mine'


@pytest.fixture(name='report', scope='module')
def _report(embedded):
  workdir, _ = embedded
  return pathlib.Path(page_lib.write([str(workdir)], str(workdir), 0))


def test_the_report_has_the_map_the_numbers_and_neighbours(report):
  text = report.read_text()
  assert '<h2 id="features">' in text and 'href="#features"' in text
  found = _load(report.parent)
  assert text.count('<circle cx=') >= 20
  for sample in found.ids:
    assert f'data-tip="{sample}: ' in text
  for scorer, scores in found.scores.items():
    assert feature_map.SCORERS[scorer] in text
    assert f'{scores["auc_macro"][0]:.3f}' in text
  assert text.count(' and its nearest neighbours') == len(found.queries)
  assert (report.parent / 'report/run_features_map.svg').exists()


def test_a_run_without_features_has_no_section(made):
  found = result.compute(finished_run.load(str(made)), 'run', 0)
  assert features.describe(found, files.Files('run', {})) is None


def test_a_map_is_used_by_mouse_and_keyboard(report):
  opened = browser.start()
  try:
    opened.open(report)
    driver = opened.driver
    points = driver.find_elements('css selector', '.points circle')
    assert len(points) == 20
    assert sum(each.get_attribute('tabindex') == '0' for each in points) == 1
    tip = driver.find_element('id', 'tip')
    driver.execute_script(
        'arguments[0].dispatchEvent(new MouseEvent("mouseover", '
        '{bubbles: true}))', points[3])
    assert tip.text == points[3].get_attribute('data-tip')
    places = [float(each.get_attribute('cx')) for each in points]
    left = points[int(np.argmin(places))]
    driver.execute_script('arguments[0].focus()', left)
    left.send_keys(keys.Keys.ARROW_RIGHT)
    now = driver.switch_to.active_element
    assert float(now.get_attribute('cx')) > min(places)
    assert tip.text == now.get_attribute('data-tip') and tip.is_displayed()
    assert now.get_attribute('tabindex') == '0'
    assert left.get_attribute('tabindex') == '-1'
    opened.open(report, 360)
    assert driver.execute_script(
        'return document.documentElement.scrollWidth') <= 360
    assert not opened.console()
  finally:
    opened.driver.quit()


def test_of_many_images_some_are_drawn(monkeypatch):
  monkeypatch.setattr(features, '_MOST_POINTS', 10)
  # pylint: disable=protected-access
  rows = features._choose(np.arange(100, 200))
  assert len(set(rows.tolist())) == 10 and rows.min() >= 100
  assert features._choose(np.arange(5)).tolist() == [0, 1, 2, 3, 4]


def _change(name, value):
  return lambda values: values.update({name: value})


def _edit_about(**changes):

  def edit(values):
    about = json.loads(str(values['about'])) | changes
    values['about'] = np.array(json.dumps(about))

  return edit


@pytest.mark.parametrize('damage,message', [
    (_change('models', np.full(20, -1, np.int32)), 'models'),
    (_change('labels', np.full((20, 28), 2, np.uint8)), 'labels'),
    (_change('labels', np.zeros((20, 27), np.uint8)), 'labels'),
    (_change('places', np.full((20, 2), np.nan, np.float32)), 'places'),
    (_change('queries', np.full(1, 20)), 'queries'),
    (_change('neighbours', np.zeros((40, 5), np.int64)), '40 with 5'),
    (_change('images', np.zeros((1, 6, 999, 9, 4), np.uint8)), '999 x 9'),
    (_change('ids', np.full(20, 'a\x1bb')), 'ids'),
    (_change('more', np.zeros(1)), 'more'),
    (_edit_about(method='other'), 'method'),
    (_edit_about(space='a\nb'), 'space'),
    (_edit_about(scores={'probe': {
        'auc_macro': [0.5, float('nan'), 1]
    }}), 'scores|NaN'),
    (_edit_about(scores={'probe': {}}), 'scores'),
    (_edit_about(scores={'<b>': {
        'auc_macro': [0, 0, 0]
    }}), 'scores'),
    (lambda values: values.clear(), 'about'),
])
def test_a_damaged_map_is_refused_in_one_line(embedded, tmp_path, damage,
                                              message):
  values = runs.arrays(embedded[0] / 'features_map.npz')
  damage(values)
  path = tmp_path / 'features_map.npz'
  np.savez(path, **values)
  spec = finished_run.load(str(embedded[0])).spec
  with pytest.raises(errors.DataError, match=message) as error:
    feature_map.FeatureMap.load(str(path), spec)
  assert 'is damaged' in str(error.value) and '\n' not in str(error.value)


def test_a_map_without_images_is_refused(embedded, tmp_path):
  found = _load(embedded[0])
  path = tmp_path / 'features_map.npz'
  none = {
      name: getattr(found, name)[:0]
      for name in ('ids', 'models', 'labels', 'places', 'queries', 'neighbours',
                   'distances', 'images')
  }
  dataclasses.replace(found, **none).save(str(path))
  spec = finished_run.load(str(embedded[0])).spec
  with pytest.raises(errors.DataError, match='is damaged.*0 images'):
    feature_map.FeatureMap.load(str(path), spec)


def test_a_map_of_folds_that_the_run_has_not_is_refused(embedded, tmp_path):
  workdir = pathlib.Path(shutil.copytree(embedded[0], tmp_path / 'run'))
  found = _load(workdir)
  dataclasses.replace(found, models=np.arange(20, dtype=np.int32)).save(
      str(workdir / 'features_map.npz'))
  computed = result.compute(finished_run.load(str(workdir)), 'run', 0)
  with pytest.raises(
      errors.DataError,
      match='model of fold 1, which is not among the finished folds 0; run'):
    features.describe(computed, files.Files('run', {}))


@pytest.mark.parametrize('name', ['features_map.npz', 'run/_map.npz'])
def test_a_table_cannot_have_the_name_of_a_map(name):
  with pytest.raises(errors.DataError, match='not end in _map.npz'):
    feature_map.locate(name)
  assert feature_map.locate('a/features.npz') == 'a/features_map.npz'


def test_a_map_is_read_as_it_was_written(embedded, tmp_path):
  found = _load(embedded[0])
  path = tmp_path / 'features_map.npz'
  found.save(str(path))
  spec = finished_run.load(str(embedded[0])).spec
  again = feature_map.FeatureMap.load(str(path), spec)
  for field in dataclasses.fields(found):
    first, second = (getattr(each, field.name) for each in (found, again))
    if isinstance(first, np.ndarray):
      np.testing.assert_array_equal(first, second)
    else:
      assert first == second
