"""Groups that stay in one fold, and folds from a CSV, end to end."""

import hashlib
import pathlib

import numpy as np
import pytest

from hpa_records.conversion import convert
from hpa_records.conversion import shard_plan
from hpa_records.format import manifest
from hpa_records.inspection import index_check
from hpa_records.inspection import verify
from hpa_records.runtime import errors
from hpa_records.storage import filesystem
from tests.support import fakes
from tests.support import prestarted

_NUM_SAMPLES = 40


@pytest.fixture(name='source', scope='module')
def _source(tmp_path_factory):
  return fakes.write_source(tmp_path_factory.mktemp('source'), _NUM_SAMPLES)


def _group(i):
  return f'plate {i // 3}'


def _write_groups(folder, rows=None, head='Id,group'):
  if rows is None:
    rows = [f's{i},{_group(i)}' for i in reversed(range(_NUM_SAMPLES))]
  path = folder / 'groups.csv'
  path.write_text('\n'.join([head, *rows]) + '\n', 'utf-8')
  return str(path)


def _write_folds(source, folder, fold_of):
  """Returns the source with a column split, fold_of(i) for the sample s<i>."""
  head, *lines = pathlib.Path(source[0]).read_text('utf-8').splitlines()
  lines = [f'{line},{fold_of(i)}' for i, line in enumerate(lines)]
  path = folder / 'folds.csv'
  path.write_text('\n'.join([f'{head},split', *lines]), 'utf-8')
  return str(path), source[1]


def _convert(source, output, groups='', how=None, **settings):
  return convert.convert(*source, str(output),
                         shard_plan.Settings(**{
                             'image_size': 16,
                             **settings
                         }), convert.How(**{
                             'workers': 1,
                             **(how or {})
                         }), groups)


def _refusal(*args, **kwargs):
  with pytest.raises(errors.DataError) as caught:
    _convert(*args, **kwargs)
  return str(caught.value)


def _folds(output):
  """Returns the fold of each sample number, as the index says."""
  index = manifest.load_index(str(output), manifest.load(str(output)))
  return {int(row.id[1:]): row.fold for row in index.itertuples()}


def _content(folder):
  return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_groups_stay_together_in_balanced_folds(source, tmp_path):
  made = _convert(source, tmp_path / 'records', _write_groups(tmp_path))
  fold_of = _folds(tmp_path / 'records')
  assert set(fold_of) == set(range(_NUM_SAMPLES))
  assert all(fold_of[i] == fold_of[i - i % 3] for i in fold_of)
  counts = np.array(made.class_counts)
  even = counts.sum(axis=0) / 5
  assert np.abs(counts - even).max() < 2 and set(fold_of.values()) == set(
      range(5))
  assert verify.verify(str(tmp_path / 'records'), True, 1)
  apart = tmp_path / 'apart'
  _convert(source, apart)
  assert any(_folds(apart)[i] != _folds(apart)[i - i % 3] for i in fold_of)


def test_the_index_has_the_group_of_each_sample(source, tmp_path):
  _convert(source, tmp_path / 'records', _write_groups(tmp_path))
  made = manifest.load(str(tmp_path / 'records'))
  index = manifest.load_index(str(tmp_path / 'records'), made)
  assert index['group'].tolist() == [_group(int(i[1:])) for i in index['id']]
  apart = index.assign(group='all')
  assert index_check.check(
      made, apart) == ['index.parquet: group all is in 5 folds, expected one']
  (issue,) = index_check.check(made, index.drop(columns='group'))
  assert 'expected the columns' in issue


def test_the_manifest_has_the_groups_hash_but_not_their_path(source, tmp_path):
  groups = _write_groups(tmp_path)
  made = _convert(source, tmp_path / 'records', groups)
  content = pathlib.Path(groups).read_bytes()
  assert made.settings['groups_sha256'] == hashlib.sha256(content).hexdigest()
  for data in _content(tmp_path / 'records').values():
    assert b'groups.csv' not in data and bytes(tmp_path) not in data


def test_names_and_order_of_groups_do_not_change_the_records(source, tmp_path):
  _convert(source, tmp_path / 'one', _write_groups(tmp_path))
  rows = [f's{i}, {99 - i // 3} ' for i in range(_NUM_SAMPLES)]
  _convert(source, tmp_path / 'two', _write_groups(tmp_path, rows))
  assert _folds(tmp_path / 'one') == _folds(tmp_path / 'two')


@pytest.mark.parametrize('head,line', [
    ('\ufeffId,group', 's{},"{}"'),
    ('group,well,Id', '{1},"A, 1",s{0}'),
    ('"Id","group"', '"s{}","{}"\n'),
])
def test_dialects_of_the_groups(source, tmp_path, head, line):
  numbers = [*range(_NUM_SAMPLES), 1000]  # the last is in no other table
  rows = [line.format(i, i % 7) for i in numbers]
  _convert(source, tmp_path / 'records', _write_groups(tmp_path, rows, head))
  fold_of = _folds(tmp_path / 'records')
  assert all(fold_of[i] == fold_of[i % 7] for i in fold_of)


def test_samples_without_a_group_are_listed_together(source, tmp_path):
  rows = [f's{i},{i}' for i in range(_NUM_SAMPLES) if i not in (3, 7)]
  groups = _write_groups(tmp_path, rows)
  message = _refusal(source, tmp_path / 'records', groups)
  assert message.splitlines()[0].endswith('2 issues:')
  assert message.splitlines()[1:] == [
      f"  row {i + 2}: no group for 's{i}' in --groups" for i in (3, 7)
  ]
  made = _convert(source,
                  tmp_path / 'records',
                  groups,
                  how={'on_error': 'skip'})
  assert made.num_skipped == 2
  assert set(_folds(tmp_path / 'records')) == set(range(_NUM_SAMPLES)) - {3, 7}
  skipped = (tmp_path / 'records' / 'skipped.csv').read_text('utf-8')
  assert "5,s3,,no group for 's3' in --groups" in skipped


@pytest.mark.parametrize('row,received', [
    ('s3,again', "duplicate Id 's3', first in row 5"),
    ('x,', "expected the name of a group that is a plain name"),
    ('x,  ', "expected the name of a group that is a plain name"),
    ('x,NaN', "expected the name of a group, received 'NaN' (a missing v"),
    ('x,5.0', "group '5.0' is spelled '5' in row 7; spell it the same"),
    (' x,a', "plain name without path parts, received ' x'"),
    ('x', 'expected 2 fields, received 1'),
    ('"x,a', 'unexpected end of data'),
])
@pytest.mark.parametrize('on_error', ['stop', 'skip'])
def test_an_invalid_row_of_the_groups_is_named(source, tmp_path, row, received,
                                               on_error):
  rows = [f's{i},{i}' for i in range(_NUM_SAMPLES)] + [row, ',']
  message = _refusal(source,
                     tmp_path / 'records',
                     _write_groups(tmp_path, rows),
                     how={'on_error': on_error})
  lines = message.splitlines()
  assert f'Invalid rows in {tmp_path}/groups.csv; fix' in lines[0]
  assert f'row {_NUM_SAMPLES + 2}: ' in lines[1] and received in lines[1]
  assert f'row {_NUM_SAMPLES + 3}: ' in lines[2]


def test_groups_that_differ_in_letter_case_are_refused(source, tmp_path):
  rows = [f's{i},{"Plate" if i % 2 else "plate"} {i // 4}' for i in range(8)]
  message = _refusal(source, tmp_path / 'records',
                     _write_groups(tmp_path, rows))
  assert "row 3: group 'Plate 0' is spelled 'plate 0' in row 2" in message


@pytest.mark.parametrize('head,rows,received', [
    ('Id,Group', ['s0,a'], "columns Id,group in row 1 of"),
    ('Id,group,group', ['s0,a,a'], "received 'Id,group,group'"),
    ('Id,group', [], 'No groups in'),
])
def test_unusable_groups_are_one_line(source, tmp_path, head, rows, received):
  message = _refusal(source, tmp_path / 'records',
                     _write_groups(tmp_path, rows, head))
  assert received in message and 'groups.csv' in message
  assert len(message.splitlines()) == 1


def test_fewer_groups_than_folds_are_refused(source, tmp_path):
  rows = [f's{i},{i % 4}' for i in range(_NUM_SAMPLES)]
  message = _refusal(source, tmp_path / 'records',
                     _write_groups(tmp_path, rows))
  assert 'at least 5 groups for 5 folds, received 4' in message


def test_a_folder_of_other_groups_is_refused(source, tmp_path, monkeypatch):
  output, groups = tmp_path / 'records', _write_groups(tmp_path)
  with monkeypatch.context() as patch:
    patch.setattr(convert.commit, 'complete', lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
      _convert(source, output, groups)
  shards = {path: path.stat().st_ino for path in output.glob('*.tfrecord')}
  for _ in ('unfinished', 'finished'):
    assert 'other settings: --groups of sha256' in _refusal(source, output)
    assert _refusal(source, output).endswith(
        'requested no --groups. Choose another --output, or pass --overwrite.')
    _write_groups(tmp_path, [f's{i},{i}' for i in range(_NUM_SAMPLES)])
    assert ', requested --groups of sha256' in _refusal(source, output, groups)
    _write_groups(tmp_path)
    _convert(source, output, groups)
    assert {path: path.stat().st_ino for path in shards} == shards
  _convert(source, tmp_path / 'none')
  assert 'no --groups, requested --groups of sha' in _refusal(
      source, tmp_path / 'none', groups)


def test_a_dataset_from_before_a_setting_was_made_with_its_default(
    source, tmp_path):
  output = tmp_path / 'records'
  made = _convert(source, output)
  settings = dict(made.settings)
  del settings['groups_sha256'], settings['fold_column']
  manifest.write(str(output),
                 manifest.Manifest(**{
                     **vars(made), 'settings': settings
                 }))
  assert _convert(source, output).settings == settings
  assert 'no --groups, requested' in _refusal(source, output,
                                              _write_groups(tmp_path))


def test_folds_of_a_column_are_used_unchanged(source, tmp_path):
  fixed = _write_folds(source, tmp_path, lambda i: i // 7 % 3)
  made = _convert(fixed, tmp_path / 'records', fold_column='split', num_folds=3)
  assert _folds(tmp_path / 'records') == {
      i: i // 7 % 3 for i in range(_NUM_SAMPLES)
  }
  assert made.settings['fold_column'] == 'split'
  assert made.settings['groups_sha256'] == ''
  samples = fakes.read_samples(tmp_path / 'records')
  for i in range(_NUM_SAMPLES):
    assert samples[f's{i}'].fold == i // 7 % 3
  assert 'fold_column \'split\', requested \'\'' in _refusal(fixed,
                                                             tmp_path /
                                                             'records',
                                                             num_folds=3)


def test_two_spellings_of_a_group_are_refused(source, tmp_path):
  """As macOS and others write one accented letter."""
  rows = [f's{i},{_group(i)}' for i in range(_NUM_SAMPLES)]
  rows[3], rows[20] = 's3,\u00e9', 's20,e\u0301'
  groups = _write_groups(tmp_path, rows)
  message = _refusal(source, tmp_path / 'records', groups)
  assert '1 issue' in message
  assert "row 22: group '\u00e9' has other code points" in message
  assert 'than in row 5' in message


@pytest.mark.parametrize('text',
                         ['5', '-1', '', '1.0', '٣', 'test', '1 2', '9' * 5000])
def test_a_wrong_fold_is_an_issue_of_its_row(source, tmp_path, text):
  fixed = _write_folds(source, tmp_path, lambda i: text if i == 4 else i % 5)
  message = _refusal(fixed, tmp_path / 'records', fold_column='split')
  assert '1 issue:' in message
  assert f"row 6: expected a fold 0..4 in split, received '{text[:50]}" in (
      message)
  made = _convert(fixed,
                  tmp_path / 'records',
                  how={'on_error': 'skip'},
                  fold_column='split')
  assert made.num_skipped == 1
  assert _folds(tmp_path / 'records') == {
      i: i % 5 for i in range(_NUM_SAMPLES) if i != 4
  }


@pytest.mark.parametrize('settings,message', [
    ({
        'num_folds': 4
    }, 'No samples in fold 3 of the column split, with --num_folds=4'),
    ({
        'fold_column': 'Split'
    }, 'the columns Id,Target,Split in row 1 of'),
])
def test_columns_with_other_folds_are_refused(source, tmp_path, settings,
                                              message):
  fixed = _write_folds(source, tmp_path, lambda i: i % 3)
  text = _refusal(fixed, tmp_path / 'records', **{
      'fold_column': 'split',
      **settings
  })
  assert message in text and len(text.splitlines()) == 1


@pytest.mark.parametrize('there', [False, True])
def test_after_an_impossible_number_of_folds_the_right_one_works(
    source, tmp_path, there):
  fixed = _write_folds(source, tmp_path, lambda i: i % 3)
  output = tmp_path / 'records'
  if there:
    _convert(source, output)
    before = _content(output)
  how = {'overwrite': there}
  assert 'in fold 3' in _refusal(fixed, output, how=how, fold_column='split')
  if there:
    assert _content(output) == before
  made = _convert(fixed, output, how=how, fold_column='split', num_folds=3)
  assert made.num_folds == 3


def test_a_skipped_sample_may_empty_a_fold(source, tmp_path):
  fixed = _write_folds(source, tmp_path, lambda i: 'x' if i % 3 == 2 else i % 3)
  message = _refusal(fixed,
                     tmp_path / 'records',
                     how={'on_error': 'skip'},
                     fold_column='split',
                     num_folds=3)
  assert 'No samples in fold 2 of the column split' in message


def _run_tool(source, output, *flags):
  return prestarted.run([
      'tools/make_records.py', f'--csv={source[0]}', f'--images={source[1]}',
      f'--output={output}', '--image_size=16', *flags
  ])


def test_the_tool_has_flags_for_both(source, tmp_path):
  groups = _write_groups(tmp_path)
  done = _run_tool(source, tmp_path / 'groups', f'--groups={groups}')
  assert done.returncode == 0, done.stderr
  again = _run_tool(source, tmp_path / 'groups', f'--groups={groups}',
                    '--plan_only')
  assert 'The dataset is finished' in again.stdout
  fixed = _write_folds(source, tmp_path, lambda i: i % 5)
  done = _run_tool(fixed, tmp_path / 'fixed', '--fold_column=split')
  assert done.returncode == 0, done.stderr
  assert set(_folds(tmp_path / 'fixed').items()) == {
      (i, i % 5) for i in range(_NUM_SAMPLES)
  }


@pytest.mark.parametrize('flags,message', [
    (['--groups=none.csv'], 'Cannot read none.csv: No s'),
    (['--groups=none.csv', '--unlabelled'
     ], '--groups and --unlabelled exclude each other'),
    (['--groups=none.csv', '--fold_column=split'
     ], '--groups and --fold_column exclude each other'),
    (['--unlabelled', '--fold_column=split'
     ], '--fold_column and --unlabelled exclude each other'),
    (['--groups_sha256=1'], "Unknown command line flag 'groups_sha256'"),
])
def test_contradictions_end_with_one_line_and_exit_code_2(
    source, tmp_path, flags, message):
  done = _run_tool(source, tmp_path / 'records', *flags)
  assert done.returncode == 2 and message in done.stderr
  assert len(done.stderr.splitlines()) == 1 and not done.stdout


def test_groups_may_be_at_an_address(source, tmp_path):
  groups = _write_groups(tmp_path)
  remote = 'memory://groups/groups.csv'
  filesystem.write_atomically(remote, pathlib.Path(groups).read_bytes())
  assert _convert(source, tmp_path / 'one',
                  groups) == _convert(source, tmp_path / 'two', remote)
