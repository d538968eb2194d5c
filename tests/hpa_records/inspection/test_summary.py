"""summary: the tables are those of the data; and tools/inspect_records.py."""

import dataclasses
import shutil

import numpy as np
import pytest

from hpa_records.conversion import convert
from hpa_records.conversion import shard_plan
from hpa_records.format import manifest
from hpa_records.datasets import description
from hpa_records.inspection import summary
from hpa_records.runtime import errors
from hpa_records.sampling import balance
from hpa_records.sampling import resampling
from tests.support import fakes
from tests.support import forgery
from tests.support import plain_dataset
from tests.support import prestarted
from tests.support import specs

_HPA = description.default().spec(16)


@pytest.fixture(name='folder', scope='module')
def _folder(tmp_path_factory):
  return forgery.write_dataset(tmp_path_factory.mktemp('summary'))


@pytest.fixture(name='dataset', scope='module')
def _dataset(folder):
  """(manifest, index) of 20 records."""
  made = manifest.load(str(folder))
  return made, manifest.load_index(str(folder), made)


def test_shards_add_up(dataset, folder):
  table = summary.tabulate_shards(dataset[0])
  assert list(table.index) == [f'fold{i}' for i in range(5)] + ['all']
  assert table['shards'].tolist() == [1] * 5 + [5]
  assert table['records'].tolist()[-1] == 20 == table['records'][:-1].sum()
  sizes = [path.stat().st_size for path in folder.glob('*.tfrecord')]
  np.testing.assert_allclose(table['MB'].iloc[-1], sum(sizes) / 1e6)


def test_classes_are_counted_by_fold_and_by_draws(dataset):
  made, index = dataset
  doubled = index.assign(repeats=[2 * row for row in index['repeats']])
  table = summary.tabulate_classes(made,
                                   doubled,
                                   _HPA.multi_hot(index['labels']),
                                   fold=3)
  assert len(table) == 28 and table.index[27] == '27 Rods & rings'
  # Of 20 samples, i has class i % 5, every third also 5 + i % 7.
  second = [5 + i % 7 for i in range(0, 20, 3)]
  want = [4] * 5 + [second.count(k) for k in range(5, 28)]
  assert table['all'].tolist() == want
  folds = [f'fold{i}' for i in range(5)]
  np.testing.assert_array_equal(table[folds].sum(axis=1), table['all'])
  np.testing.assert_array_equal(table['drawn'],
                                2 * (table['all'] - table['fold3']))


def test_labels_of_an_image_are_counted(dataset):
  table = summary.count_labels(dataset[1])
  assert table['images'].to_dict() == {1: 13, 2: 7}


def test_pixels_are_those_of_the_source(dataset):
  pixels = np.stack([fakes.image(i) for i in range(20)])
  table = summary.tabulate_pixels(dataset[0], _HPA)
  assert list(table.index) == list(_HPA.channel_names)
  np.testing.assert_allclose(table['mean'], pixels.mean(axis=(0, 1, 2)), atol=2)


def test_the_text_names_settings_classes_and_hashes(dataset):
  made, index = dataset
  text = summary.describe(made, index, _HPA, fold=2)
  assert text.startswith('20 records in 5 shards, 23.4 kB; 16 x 16 x 4 uint8')
  for name in (*made.settings, *made.versions, *_HPA.classes, made.csv_sha256,
               made.fingerprint, 'an epoch without fold 2'):
    assert name in text


@pytest.mark.parametrize('fold', [-1, 5])
def test_a_fold_out_of_range_is_refused(dataset, fold):
  with pytest.raises(errors.DataError, match=f'0..4, received {fold}'):
    summary.require_fold(dataset[0], fold)


def test_a_set_without_labels_has_no_classes(tmp_path):
  folder = tmp_path / 'records'
  forgery.write_unlabelled(folder)
  made = manifest.load(str(folder))
  text = summary.describe(made, manifest.load_index(str(folder), made), _HPA, 0)
  assert text.startswith('7 records in 1 shards') and 'Nucleoli' not in text


def test_values_of_a_manifest_are_printed_on_one_line(dataset):
  made, index = dataset
  bad = 'x\x1b]0;title\x07\ny'
  made = dataclasses.replace(made,
                             settings=made.settings | {'pattern': bad},
                             versions={bad: bad})
  text = summary.describe(made, index, _HPA, 0)
  assert '\x1b' not in text and text.count(r"'x\x1b]0;title\x07\ny'") == 3


def test_tool_checks_the_index_that_it_shows(folder, tmp_path):
  copy = shutil.copytree(folder, tmp_path / 'copy')
  forgery.forge_index(copy, lambda index: index.assign(id=['a\x1b[2J'] * 20))
  done = _run_tool(f'--records={copy}')
  assert done.returncode == 2 and '\x1b' not in done.stderr
  assert len(done.stderr.splitlines()) == 1


def _run_tool(*flags):
  return prestarted.run(['tools/inspect_records.py', *flags])


def test_tool_prints_the_text_and_draws_on_request(folder, dataset, tmp_path):
  done = _run_tool(f'--records={folder}')
  assert done.returncode == 0, done.stderr
  assert done.stdout == summary.describe(*dataset, _HPA, 0) + '\n'
  done = _run_tool(f'--records={folder}', f'--figures={tmp_path / "figures"}')
  paths = sorted(map(str, (tmp_path / 'figures').iterdir()))
  assert done.returncode == 0 and len(paths) == 4 + len(
      balance.POLICIES), done.stderr
  assert done.stdout.splitlines()[-len(paths):] == paths


@pytest.fixture(name='balanced', scope='module')
def _balanced(tmp_path_factory):
  """A folder that stores exact repeats of a target and seed of its own."""
  folder = tmp_path_factory.mktemp('balanced')
  csv, images = fakes.write_source(folder)
  settings = shard_plan.Settings(image_size=16,
                                 balance='exact',
                                 balance_target=7,
                                 seed=3)
  convert.convert(csv, images, str(folder / 'records'), settings,
                  convert.How(workers=1))
  return folder / 'records'


def test_every_policy_is_compared_as_the_converter_computes_it(balanced):
  made = manifest.load(str(balanced))
  index = manifest.load_index(str(balanced), made)
  chosen = balance.Balance(target=7)
  labels = _HPA.multi_hot(index['labels'])
  figures, totals = summary.compare_policies(made, index, labels, 1, chosen)
  folds = index['fold'].to_numpy()
  training = folds != 1
  assert list(figures.index) == list(balance.POLICIES)
  assert list(totals.columns) == ['images', *balance.POLICIES]
  assert len(totals) == 28 and totals.index[27] == '27 Rods & rings'
  np.testing.assert_array_equal(totals['images'], labels[training].sum(axis=0))
  np.testing.assert_array_equal(totals['none'], totals['images'])
  for policy in balance.POLICIES:
    drawn = resampling.repeats(index['id'].tolist(), labels, folds, 5,
                               dataclasses.replace(chosen, policy=policy), 3)[:,
                                                                              1]
    assert figures.loc[policy].to_dict() == resampling.summary(
        labels[training], drawn[training])
    np.testing.assert_array_equal(totals[policy],
                                  drawn.astype(np.float64) @ labels)
  stored = summary.tabulate_classes(made, index, labels, 1)['drawn']
  np.testing.assert_array_equal(totals['exact'], stored)
  assert not np.array_equal(totals['hybrid'], stored)


def test_a_policy_that_was_not_chosen_may_draw_too_much(balanced):
  made = manifest.load(balanced)
  index = manifest.load_index(balanced, made)
  chosen = balance.Balance('none', target=10**8)
  labels = _HPA.multi_hot(index['labels'])
  figures, totals = summary.compare_policies(made, index, labels, 1, chosen)
  assert 'none' in figures.index and 'hybrid' not in {*figures.index, *totals}
  with pytest.raises(errors.DataError, match='choose smaller values'):
    summary.compare_policies(made, index, labels, 1,
                             dataclasses.replace(chosen, policy='hybrid'))


def test_tool_compares_with_the_datasets_settings_or_those_of_flags(balanced):
  stored = _run_tool(f'--records={balanced}')
  assert stored.returncode == 0, stored.stderr
  assert 'target 7, tolerance 0.05, max_repeat 0' in stored.stdout
  other = _run_tool(f'--records={balanced}', '--balance_target=9',
                    '--max_repeat=30')
  assert 'target 9, tolerance 0.05, max_repeat 30' in other.stdout
  made = manifest.load(str(balanced))
  index = manifest.load_index(str(balanced), made)
  assert other.stdout == summary.describe(
      made, index, _HPA, 0, balance.Balance(target=9, max_repeat=30.0)) + '\n'


@pytest.mark.parametrize('flags,message', [
    ([], 'pass --records=PATH'),
    (['--records=nowhere'], 'in nowhere: manifest.json is missing'),
    (['--records={folder}', '--fold=5'], 'Expected --fold of 0..4, received 5'),
    (['--records={folder}', '--balance_target=0'], 'target from 1 to 2^63-1'),
])
def test_wrong_flags_end_with_one_line_and_exit_code_2(folder, flags, message):
  done = _run_tool(*(flag.format(folder=folder) for flag in flags))
  assert done.returncode == 2 and not done.stdout
  assert message in done.stderr and len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize('num_classes,num_channels', [(1, 1), (65, 5),
                                                      (2000, 16)])
def test_tables_have_all_classes_and_channels(tmp_path, num_classes,
                                              num_channels):
  spec = specs.make(8, num_channels, num_classes)
  labels = [[i * 7 % num_classes] for i in range(20)] + [[]]
  folder = plain_dataset.write(tmp_path, spec, labels, plates=True)
  made = manifest.load(str(folder))
  text = summary.describe(made, manifest.load_index(str(folder), made), spec, 0)
  assert text.startswith('21 records in 2 shards') and (
      f'8 x 8 x {num_channels} uint8' in text.splitlines()[0])
  lines = [line.split() for line in text.splitlines()]
  for k in range(num_classes):
    assert sum(line[:3] == [str(k), 'class', str(k)] for line in lines) == 2
  pixels = [line for line in lines if line[:1] == ['channel']]
  assert [line[-2:] for line in pixels
         ] == [['stain', str(c)] for c in range(num_channels)]
  done = _run_tool(f'--records={folder}')
  assert done.stdout == text + '\n' and not done.returncode


def test_the_policy_table_of_other_classes_needs_factors(tmp_path):
  spec = specs.make(8, 2, 3)
  folder = plain_dataset.write(tmp_path, spec, [[i % 3] for i in range(9)])
  made = manifest.load(str(folder))
  index = manifest.load_index(str(folder), made)
  labels = spec.multi_hot(index['labels'])
  _, totals = summary.compare_policies(made, index, labels, 0,
                                       balance.Balance(factors='1:3'))
  images = totals['images']
  assert totals['table'].tolist() == [
      images.iloc[0], 3 * images.iloc[1], images.iloc[2]
  ]
  done = _run_tool(f'--records={folder}', '--balance_factors=3:2')
  assert done.returncode == 2
  assert 'classes 0..2, received class 3' in done.stderr
