"""page: what a run wrote, on one page."""

import base64
import contextlib
import dataclasses
import html
import importlib.metadata
import io
import json
import pathlib
import re
import shutil

import cv2
import numpy as np
import pandas as pd
import pytest
from selenium.webdriver.common import action_chains

from hpa_records.conversion import convert
from hpa_records.conversion import shard_plan
from hpa_records.datasets import description
from hpa_records.reading import dataset
from hpa_records.runtime import errors
from hpa_records.sampling import balance
from hpa_records.sampling import resampling
from tests.support import browser
from tests.support import fakes
from tests.support import prestarted
from trainer import config as config_lib
from trainer.report import comparison
from trainer.report import files as files_lib
from trainer.report import gallery
from trainer.report import page as page_lib
from trainer.report import result
from trainer.report import tables as tables_lib
from trainer.run import arrays
from trainer.run import finished_run
from trainer.run import out_of_fold
from trainer.scoring import metrics
from trainer.training import loop

_BALANCE = balance.Balance('exact', target=9)
_SPEC = description.default().spec(32)


@pytest.fixture(name='run', scope='module')
def _run(tmp_path_factory):
  """Folder of a real run of two folds, an epoch each, and of its records."""
  folder = tmp_path_factory.mktemp('report')
  csv, images = fakes.write_source(folder, num_samples=40, size_px=32)
  settings = shard_plan.Settings(image_size=32,
                                 balance='exact',
                                 balance_target=9)
  records = str(folder / 'records')
  convert.convert(csv, images, records, settings, convert.How(workers=1))
  config = config_lib.Config(records=records,
                             workdir=str(folder / 'run'),
                             distribute='cpu',
                             epochs=1,
                             batch_size=16)
  for fold in (0, 3):
    loop.train(dataclasses.replace(config, fold=fold))
  return folder / 'run', records


@pytest.fixture(name='page', scope='module')
def _page(run, tmp_path_factory):
  """The report of that run twice: (text of the page, folder)."""
  output = tmp_path_factory.mktemp('page')
  other = output / 'other'
  shutil.copytree(run[0], other)
  done = prestarted.run([
      'tools/report.py', f'--workdir={run[0]}', f'--workdir={other}',
      f'--output={output}'
  ])
  assert done.returncode == 0, done.stderr
  assert done.stdout.strip() == str(output / 'report.html')
  return (output / 'report.html').read_text(), output / 'report'


@pytest.fixture(name='text_alone')
def _text_alone(monkeypatch):
  """Figures are drawn, but files of them are empty: seconds each."""
  for name in ('to_png', 'to_svg'):
    monkeypatch.setattr(files_lib.figure, name, lambda drawn: b'')


def test_a_run_is_what_the_trainer_wrote(run):
  found = finished_run.load(str(run[0]))
  assert [fold.number for fold in found.folds] == [0, 3]
  records = dataset.load(run[1])
  assert found.fingerprint == records.manifest.fingerprint
  for fold in found.folds:
    path = run[0] / f'fold{fold.number}' / 'metrics.json'
    assert fold.metrics == json.loads(path.read_text())
    np.testing.assert_array_equal(fold.samples.repeats,
                                  records.repeats(fold.number))
    np.testing.assert_array_equal(fold.samples.labels, records.labels)
    assert fold.samples.ids.tolist() == records.index['id'].tolist()
    assert fold.samples.balance == _BALANCE


def test_scores_are_those_of_the_folds_with_mean_and_population_std(run, page):
  found = finished_run.load(str(run[0]))
  table = tables_lib.tabulate_metrics(found)
  values = [fold.metrics['auc_macro'] for fold in found.folds]
  assert table['auc_macro'].tolist() == pytest.approx(
      [*values, np.mean(values), np.std(values)])
  saved = pd.read_csv(page[1] / 'run_metrics.csv', index_col=0)
  np.testing.assert_allclose(saved, table)
  for value in values:
    assert f'<td>{value:.3f}</td>' in page[0]


def test_class_counts_are_those_of_every_policy(run, page):
  counts = pd.read_csv(page[1] / 'run_class_counts.csv', index_col=0)
  records = dataset.load(run[1])
  training = (records.index['fold'] != 0).to_numpy()
  assert counts['images'].tolist() == records.labels[training].sum(
      axis=0).tolist()
  for policy in balance.POLICIES:
    drawn = records.repeats(0, dataclasses.replace(_BALANCE, policy=policy))
    np.testing.assert_allclose(counts[policy],
                               drawn.astype(float) @ records.labels)
  np.testing.assert_allclose(counts['this run'], counts['exact'])
  for name in _SPEC.classes:
    assert name.replace('&', '&amp;') in page[0]


def test_policies_are_compared_in_the_six_figures(run, page):
  table = pd.read_csv(page[1] / 'run_policies.csv', index_col=0)
  assert table.index.tolist() == list(balance.POLICIES)
  records = dataset.load(run[1])
  training = (records.index['fold'] != 0).to_numpy()
  want = resampling.summary(records.labels[training],
                            records.repeats(0, _BALANCE)[training])
  assert table.loc['exact'].to_dict() == pytest.approx(want)


def test_the_page_holds_its_figures_and_fetches_nothing(page):
  text, folder = page
  images = [
      each.partition(';base64,') for each in re.findall(r'src="([^"]*)"', text)
  ]
  data = {kind: set() for kind in ('svg+xml', 'webp')}
  for kind, _, each in images:
    data[kind.removeprefix('data:image/')].add(base64.b64decode(each))
  files = {path.stem: path.read_bytes() for path in folder.glob('*.svg')}
  left_out = {'run_confusion_matrix', 'other_confusion_matrix'}  # a table there
  assert data['svg+xml'] == {files[name] for name in files.keys() - left_out}
  assert {path.stem for path in folder.glob('*.png')} == files.keys()
  for each in data['webp']:
    assert cv2.imdecode(np.frombuffer(each, np.uint8), 1) is not None
  assert len(images) > 2 * (1 + len(balance.POLICIES)) and data['webp']
  assert not re.search(r'(src|href)="(?!data:|#)|@import|url\(', text)


def test_both_runs_are_on_the_page(page):
  assert re.findall(r'<h3 class="run">(.*?)</h3>', page[0]) == ['run', 'other']


def test_a_run_compared_with_itself_does_not_differ(page):
  table = pd.read_csv(page[1] / 'runs_comparison_run_other.csv', index_col=0)
  assert 'f1_macro' in table.index
  assert (table['difference'] == 0).all() and (table['p_value'] == 1).all()
  assert page[0].count('not significant') == len(table)
  assert f'Holm for all {len(table)} tests on this page' in page[0]
  assert 'is higher' not in page[0]


def test_intervals_hold_the_means(page):
  table = pd.read_csv(page[1] / 'runs_classes_run.csv', index_col=0)
  known = table[table['folds'] > 0]
  assert len(known) > 5
  assert (known['f1_low'] <= known['f1'] + 1e-9).all()
  assert (known['f1_high'] >= known['f1'] - 1e-9).all()


@pytest.mark.usefixtures('text_alone')
def test_a_run_that_is_better_on_all_images_is_said_to_be(run, tmp_path):
  better = tmp_path / 'better'
  shutil.copytree(run[0], better)
  for path in better.glob('*/predictions.npz'):
    found = arrays.Predictions.load(str(path), 28)
    predictions = (0.1 + 0.8 * found.labels).astype(np.float32)
    dataclasses.replace(found, predictions=predictions).save(str(path))
  page_lib.write([str(run[0]), str(better)], str(tmp_path), 1000)
  text = (tmp_path / 'report.html').read_text(encoding='utf-8')
  rows = re.findall(r'<th scope="row">([^<]*)</th>.*?>([^<>]*) is higher<',
                    text)
  assert ('F1 macro', 'better') in rows and ('AUC macro', 'better') in rows
  assert {winner for _, winner in rows} == {'better'}
  table = pd.read_csv(tmp_path / 'report/runs_comparison_run_better.csv',
                      index_col=0)
  assert table.loc['f1_macro', 'p_holm'] > table.loc['f1_macro', 'p_value']


@pytest.mark.usefixtures('text_alone')
def test_the_page_says_which_images_chose_the_best_epoch(run, tmp_path):
  inner = shutil.copytree(run[0], tmp_path / 'inner')
  for number, fold in enumerate(sorted(inner.glob('fold*'))):
    for name, change in (('config', {
        'validation': 'inner',
        'init_from': '/home/me/other'
    }), ('about', {
        'inner_images': 70 + number,
        'starting_weights': {
            'source': 'other/fold3, epoch 7',
            'taken': 5,
            'fresh': [f'layer{i} (not in the source)' for i in range(7)],
            'unused': 2,
            'sha256': 'abc',
            'seen': 8 - number,
            'seen_inner': 3
        }
    })):
      path = fold / f'{name}.json'
      path.write_text(json.dumps(json.loads(path.read_text()) | change))
  path = page_lib.write([str(run[0]), str(inner)], str(tmp_path), 0)
  text = ' '.join(pathlib.Path(path).read_text(encoding='utf-8').split())
  assert text.count('the held-out fold itself chose the rate and the best '
                    'epoch') == 1
  assert (
      'images of the training folds that were not trained on (70, 71) chose '
      'the rate and the best epoch, and the held-out fold decided nothing'
      in text)
  for fold, seen in ((0, 8), (3, 7)):
    assert (f'Fold {fold}: other/fold3, epoch 7 was trained on {seen} of the '
            'held-out images, so the scores of this fold are too good.') in text
  assert (
      'Started from other/fold3, epoch 7: 5 of 12 layers; 2 of the source '
      'are not used. SHA-256 abc. Fresh weights: layer0 (not in the source), '
  ) in text
  assert 'trained on 3 of the images of --validation=inner' in text
  assert '/home/me' not in text
  assert 'layer4 (not in the source) and 2 more.' in text


@pytest.mark.usefixtures('text_alone')
def test_a_single_fold_has_no_deviation(run, tmp_path):
  less = shutil.copytree(run[0], tmp_path / 'less')
  shutil.rmtree(less / 'fold3')
  path = page_lib.write([str(run[0]), str(less)], str(tmp_path), 20)
  text = pathlib.Path(path).read_text(encoding='utf-8')
  table = text[text.index('id="class-table"'):text.index('<h3>Counts</h3>')]
  cells = re.findall(r'>(0\.\d{3}[^<]*)<small>', table)
  assert any('±' in each for each in cells[::2])
  assert not any('±' in each for each in cells[1::2])
  assert 'did not predict the same images' in text
  assert 'One fold is finished' in text  # thresholds want two
  assert (tmp_path / 'report' / 'less_roc.svg').exists()


def test_the_page_says_what_macro_means_leave_out(run, page):
  found = out_of_fold.collect(finished_run.load(str(run[0])))
  text = html.unescape(page[0])
  for fold in (0, 3):
    missing = ~found.labels[found.folds == fold].any(axis=0)
    names = [_SPEC.classes[k] for k in np.flatnonzero(missing)]
    said = re.search(rf'folds? (?:\d, )*{fold}(?:, \d)*: ([^.;]*)', text)
    assert said[1].split(', ') == names


def test_scores_stand_with_their_intervals(page):
  table = pd.read_csv(page[1] / 'run_intervals.csv', index_col=0)
  low, high = table.loc['f1_micro', ['low', 'high']]
  row = page[0][page[0].index('95 % interval'):]
  assert f'<td>{low:.3f}–{high:.3f}</td>' in row[:row.index('</tr>')]


def test_thresholds_show_what_they_gain(page):
  table = pd.read_csv(page[1] / 'run_threshold_gain.csv', index_col=0)
  gain = table.loc['f1', 'f1_macro'] - table['f1_macro'].iloc[0]
  assert f'<td>{table.loc["f1", "f1_macro"]:.3f} ({gain:+.3f})</td>' in page[0]


def test_of_all_folds_the_most_extreme_samples_are_shown(run, tmp_path):
  shutil.copytree(run[0], tmp_path / 'run')
  # Of class 4, by fold: probability of the hit, the miss, the false alarm.
  for fold, values in {0: (.7, .3, .6), 3: (.9, .2, .55)}.items():
    predictions = np.zeros((3, _SPEC.num_classes), np.float32)
    predictions[:, 4] = values
    labels = np.zeros((3, _SPEC.num_classes), np.uint8)
    labels[:2, 4] = 1
    ids = np.array([f'{fold}hit', f'{fold}miss', f'{fold}alarm'])
    arrays.Gallery(ids, labels, predictions, np.full(3, 4),
                   np.array(['hit', 'miss', 'false_alarm']),
                   np.full((3, 8, 8, 4), 90, np.uint8), (np.ones(
                       (3, 2, 2), np.float32),)).save(
                           str(tmp_path / f'run/fold{fold}/gallery.npz'))
  found = gallery.describe(
      [result.compute(finished_run.load(str(tmp_path / 'run')), 'run', 0)])
  assert [each['name'] for each in found] == [_SPEC.classes[4]]
  assert [(entry['kind'], entry['id'], entry['truth'], entry['predicted'])
          for entry in found[0]['entries']] == [
              ('best hit', '3hit', [4], [4]),
              ('worst miss', '3miss', [4], []),
              ('worst false alarm', '0alarm', [], [4]),
          ]


def _compare(*workdirs, repetitions=20):
  """Returns what the page says of runs a, b, ..., and its tables by name."""
  runs = [finished_run.load(str(each)) for each in workdirs]
  content = {}
  told = comparison.compare(
      [result.compute(each, name, 20) for each, name in zip(runs, 'abc')],
      files_lib.Files('runs', content), repetitions)
  return told, content


def test_runs_of_other_samples_are_not_tested_against_each_other(run, tmp_path):
  other = shutil.copytree(run[0], tmp_path / 'less')
  shutil.rmtree(other / 'fold3')
  (told,), tables = _compare(run[0], other)
  assert told['reason'] == 'did not predict the same images in the same folds'
  assert not tables


def test_runs_of_other_thresholds_are_not_tested_against_each_other(
    run, tmp_path):
  other = shutil.copytree(run[0], tmp_path / 'lower')
  for path in [*other.glob('*/config.json'), *other.glob('*/metrics.json')]:
    path.write_text(path.read_text().replace('"threshold": 0.5',
                                             '"threshold": 0.25'))
  (told,), tables = _compare(run[0], other)
  assert 'use different thresholds (0.5 and 0.25)' in told['reason']
  assert not tables


def _worsen(run, folder, images):
  """Returns a copy of a run that is wrong about the first images of a fold."""
  shutil.copytree(run, folder)
  for path in folder.glob('*/predictions.npz'):
    found = arrays.Predictions.load(str(path), 28)
    predictions = (0.2 + 0.6 * found.labels).astype(np.float32)
    predictions[:images] = 1 - predictions[:images]
    dataclasses.replace(found, predictions=predictions).save(str(path))
  return folder


def test_p_values_are_adjusted_for_all_pairs_of_the_page(run, tmp_path):
  runs = [
      _worsen(run[0], tmp_path / name, images)
      for name, images in (('one', 0), ('two', 1), ('three', 3))
  ]
  told, content = _compare(*runs, repetitions=500)
  tables = [
      pd.read_csv(io.BytesIO(content[f'runs_comparison_a_{name}.csv']))
      for name in 'bc'
  ]
  found = pd.concat(tables).dropna(subset='p_value')
  tests = sorted(found[['p_value', 'p_holm']].itertuples(index=False))
  assert len(tests) * tests[0].p_value < 1  # else all are adjusted to 1
  expected = []
  for number, test in enumerate(tests):
    least = expected[-1] if expected else 0
    expected.append(max(least, min(1, (len(tests) - number) * test.p_value)))
  assert [test.p_holm for test in tests] == pytest.approx(expected)
  assert len(tests) > len(tables[0])
  assert [each['num_tests'] for each in told] == [len(tests)] * 2


def test_the_confusion_matrix_is_a_table_with_all_its_numbers(run, page):
  table = pd.read_csv(page[1] / 'run_confusion_matrix.csv', index_col=0)
  found = out_of_fold.collect(finished_run.load(str(run[0])))
  matrix = metrics.confusion_matrix(found.labels, found.predictions > 0.5)
  np.testing.assert_array_equal(table, matrix)
  tips = re.findall(r'data-tip="true ([^"]*): ([\d,]+), [\d.]+% of the row"',
                    page[0])
  counts = [int(count.replace(',', '')) for _, count in tips]
  assert counts == [*matrix.ravel(), *matrix.ravel()]


def test_the_settings_say_what_was_run(page):
  for said in ('Trained on the CPU with python ',
               f'tensorflow {_tensorflow_version()}',
               '<td>image_size</td><td>32</td>',
               '<td>activation</td><td>prelu</td>'):
    assert said in page[0], said


def _tensorflow_version() -> str:
  for name in ('tensorflow', 'tensorflow-cpu'):
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
      return importlib.metadata.version(name)
  raise LookupError('no TensorFlow')


def test_runs_of_one_name_are_told_apart(run, tmp_path):
  other = shutil.copytree(run[0], tmp_path / 'run')
  runs = [finished_run.load(str(each)) for each in (run[0], other)]
  assert result.name_runs([[each] for each in runs]) == ['1-run', '2-run']


@pytest.fixture(name='opened', scope='module')
def _opened(page):
  """The page in a browser, a wide window."""
  started = browser.start()
  started.open(page[1].parent / 'report.html')
  yield started
  started.driver.quit()


def test_in_a_browser_nothing_fails_and_nothing_is_fetched(opened):
  for each in opened.driver.find_elements('css selector', 'details'):
    opened.driver.execute_script('arguments[0].open = true', each)
  broken = opened.driver.execute_script(
      'return [...document.images].filter(each => !each.naturalWidth).length')
  assert broken == 0 and not opened.console()
  asked = opened.requests()
  assert asked and all(each.startswith(('file://', 'data:')) for each in asked)


def test_in_a_browser_the_table_sorts(opened, run):
  table = tables_lib.tabulate_classes(
      out_of_fold.collect(finished_run.load(str(run[0]))), _SPEC.classes, 0.5)
  names = list(_SPEC.classes)

  def read():
    return [
        each.text for each in opened.driver.find_elements(
            'css selector', '#class-table tbody th')
    ]

  assert read() == names
  heads = opened.driver.find_elements('css selector', '#class-table button')
  auc = [head.text for head in heads].index('AUC\nrun')
  opened.driver.execute_script('arguments[0].click()', heads[auc])
  value = table.set_index('name')['auc']
  shown = read()
  known = [name for name in shown if not np.isnan(value[name])]
  assert shown[:len(known)] == known  # what has none comes last
  assert value[known].is_monotonic_decreasing and len(known) > 5
  heads[auc].click()
  assert value[read()[:len(known)]].is_monotonic_increasing
  heads[0].click()
  assert read() == sorted(names, key=str.lower)


def test_in_a_browser_hovering_shows_the_numbers(opened):
  cell = opened.driver.find_element('css selector', '#matrix-1 td[tabindex]')
  tip = opened.driver.find_element('id', 'tip')
  assert not tip.is_displayed()
  action_chains.ActionChains(opened.driver).move_to_element(cell).perform()
  assert tip.is_displayed()
  assert tip.text == cell.get_attribute('data-tip')
  assert re.search(r': [1-9]\d*, \d+\.\d% of the row$', tip.text)
  assert cell.text and f': {cell.text}, ' in tip.text
  assert cell.value_of_css_property('print-color-adjust') == 'exact'
  head = opened.driver.find_element('css selector', 'h1')
  action_chains.ActionChains(opened.driver).move_to_element(head).perform()
  assert not tip.is_displayed()


def test_in_a_browser_the_page_fits_a_phone_and_prints(opened, page):
  opened.open(page[1].parent / 'report.html', width_px=390)
  widest = opened.driver.execute_script(
      'return document.documentElement.scrollWidth')
  assert widest <= 390
  printed = base64.b64decode(opened.driver.print_page())
  assert printed.startswith(b'%PDF') and len(printed) > 100_000
  assert not opened.console()


def _refusal(folder):
  with pytest.raises(errors.DataError) as caught:
    finished_run.load(str(folder))
  return str(caught.value)


def test_a_folder_without_a_finished_fold_is_refused(run, tmp_path):
  assert 'No finished fold in' in _refusal(tmp_path / 'missing')
  shutil.copytree(run[0], tmp_path / 'run')
  for path in (tmp_path / 'run').glob('*/metrics.json'):
    path.unlink()
  assert 'No finished fold in' in _refusal(tmp_path / 'run')


@pytest.mark.parametrize(
    'name', ['config.json', 'metrics.json', 'samples.npz', 'about.json'])
def test_a_damaged_file_is_named(run, tmp_path, name):
  shutil.copytree(run[0], tmp_path / 'run')
  path = tmp_path / 'run' / 'fold3' / name
  path.write_bytes(path.read_bytes()[:20])
  assert str(path) in _refusal(tmp_path / 'run')


@pytest.mark.parametrize('name', [
    'fold3/predictions.npz', 'fold3/gallery.npz', 'fold3/history.csv',
    'fold0/network.json'
])
def test_a_damaged_file_is_named_by_the_report(run, tmp_path, name):
  shutil.copytree(run[0], tmp_path / 'run')
  path = tmp_path / 'run' / name
  path.write_bytes(path.read_bytes()[:1])
  with pytest.raises(errors.DataError) as caught:
    page_lib.write([str(tmp_path / 'run')], str(tmp_path), 0)
  assert str(path) in str(caught.value)


def test_folds_of_different_runs_are_refused(run, tmp_path):
  shutil.copytree(run[0], tmp_path / 'run')
  path = tmp_path / 'run' / 'fold3' / 'config.json'
  path.write_text(path.read_text().replace('"prelu"', '"selu"'))
  assert "fold 3 of another: activation 'prelu', not 'selu'" in _refusal(
      tmp_path / 'run')


def test_no_workdir_is_told_in_one_line():
  done = prestarted.run(['tools/report.py'])
  assert done.returncode == 2
  assert done.stderr.count('\n') == 1 and '--workdir=PATH' in done.stderr


def test_a_run_of_one_class_a_sample_has_its_own_metrics(other_run, tmp_path):
  path = page_lib.write([str(other_run)], str(tmp_path), 20)
  text = pathlib.Path(path).read_text(encoding='utf-8')
  assert '<h1>GapNet-PL on fake: run</h1>' in text
  for said in ('log loss', 'so there are no thresholds', 'class 11',
               'stain 0 (channel0), stain 1 (channel1)', 'stain 4 (channel4)'):
    assert said in text, said
  for kaggles in ('F1 paper', 'Nucleoplasm', 'other works', 'id="errata"',
                  '#errata', 'the paper, PReLU'):
    assert kaggles not in text, kaggles
  matrix = pd.read_csv(tmp_path / 'report/run_confusion_matrix.csv',
                       index_col=0).to_numpy()
  assert matrix.shape == (12, 12) and matrix.sum() == 48
  table = pd.read_csv(tmp_path / 'report/run_metrics.csv', index_col=0)
  assert table.columns.tolist() == list(metrics.SINGLE_TITLES)
  found = out_of_fold.collect(finished_run.load(str(other_run)))
  right = found.labels.argmax(axis=1) == found.predictions.argmax(axis=1)
  assert table.loc['mean', 'accuracy_argmax'] == pytest.approx(right.mean())
  intervals = pd.read_csv(tmp_path / 'report/run_intervals.csv', index_col=0)
  assert 'log_loss' in intervals.index


def test_one_class_of_one_channel_has_a_report(smallest_run, tmp_path):
  text = pathlib.Path(page_lib.write([str(smallest_run)], str(tmp_path),
                                     20)).read_text(encoding='utf-8')
  assert 'class 0' in text and 'nan' not in text
  assert (tmp_path / 'report' / 'runs_roc.svg').exists()


def test_runs_of_other_classes_are_not_put_on_one_page(run, other_run,
                                                       tmp_path):
  with pytest.raises(errors.DataError,
                     match='differ in classes: missing .*Nucleoplasm.*of each'):
    page_lib.write([str(run[0]), str(other_run)], str(tmp_path), 0)
  assert not (tmp_path / 'report.html').exists()


def _widen(source, folder, num_classes):
  """Makes a run of two folds one of many classes; returns its folder."""
  shutil.copytree(source, folder)
  rng = np.random.default_rng(0)
  count = 48
  labels = np.eye(num_classes, dtype=np.uint8)[rng.integers(num_classes,
                                                            size=count)]
  for path in folder.glob('fold*'):
    about = json.loads((path / 'about.json').read_text())
    about['classes'] = [f'class {k}' for k in range(num_classes)]
    (path / 'about.json').write_text(json.dumps(about))
    samples = dataclasses.replace(arrays.Samples.load(str(path / 'samples.npz'),
                                                      12),
                                  labels=labels)
    samples.save(str(path / 'samples.npz'))
    rows = samples.folds == int(path.name[4:])
    powers = np.exp(2 * labels[rows] +
                    rng.normal(size=(rows.sum(), num_classes)))
    predictions = powers / powers.sum(axis=1, keepdims=True)
    arrays.Predictions(samples.ids[rows], labels[rows],
                       predictions.astype(np.float32)).save(
                           str(path / 'predictions.npz'))
    (path / 'gallery.npz').unlink()
  return folder


@pytest.mark.soak
def test_of_many_classes_tables_have_all_and_panels_a_few(other_run, tmp_path):
  made = _widen(other_run, tmp_path / 'many', 200)
  text = pathlib.Path(page_lib.write([str(made)], str(tmp_path),
                                     5)).read_text(encoding='utf-8')
  table = text[text.index('id="class-table"'):text.index('<h3>Counts</h3>')]
  assert table.count('<tr>') == 201
  assert 'class="matrix"' not in text and 'most confused pairs of' in text
  assert 'ROC of the 24 largest and worst classes' in text
  found = out_of_fold.collect(finished_run.load(str(made)))
  pairs = pd.read_csv(tmp_path / 'report/many_confused_pairs.csv')
  wrong = found.labels.argmax(axis=1) != found.predictions.argmax(axis=1)
  assert wrong.any() and pairs['count'].sum() == wrong.sum()
