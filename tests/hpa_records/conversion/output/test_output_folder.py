"""output_folder: what is kept, what is refused, what --overwrite does."""

import json
import multiprocessing
import os
import pathlib

import pytest

from hpa_records.conversion import convert
from hpa_records.conversion import shard_plan
from hpa_records.conversion.output import output_folder
from hpa_records.conversion.output import output_lock
from hpa_records.format import manifest
from hpa_records.inspection import verify
from hpa_records.runtime import errors
from hpa_records.storage import filesystem
from tests.support import fakes
from tests.support import forgery

_SMALL = shard_plan.Settings(image_size=16)
_OTHER = shard_plan.Settings(image_size=16, num_folds=3)
_WAYS = ({}, {'only_shard': 0}, {'overwrite': True})


@pytest.fixture(name='source', scope='module')
def _source(tmp_path_factory):
  return fakes.write_source(tmp_path_factory.mktemp('source'))


@pytest.fixture(name='output')
def _output(source, tmp_path):
  """A finished dataset."""
  _convert(source, tmp_path / 'records')
  return tmp_path / 'records'


def _convert(source, output, settings=_SMALL, **how):
  return convert.convert(*source, str(output), settings,
                         convert.How(**{
                             'workers': 1,
                             **how
                         }))


def _content(folder):
  return {path.name: path.read_bytes() for path in folder.iterdir()}


def _first_shard(output):
  return output / manifest.load(str(output)).shards[0].name


def test_a_dataset_whose_index_was_cut_is_not_finished(source, output):
  (output / 'index.parquet').write_bytes(b'')
  with pytest.raises(errors.DataError, match='index.parquet.*was changed'):
    _convert(source, output)


@pytest.mark.parametrize('name', ['shard', 'index.parquet', 'features.json'])
def test_a_dataset_that_lacks_a_file_is_not_finished(source, output, name):
  whole = _content(output)
  path = _first_shard(output) if name == 'shard' else output / name
  path.unlink()
  for how in ({}, {'only_shard': 0}):
    with pytest.raises(errors.DataError, match=path.name):
      _convert(source, output, **how)
  _convert(source, output, overwrite=True)
  assert _content(output) == whole


def test_overwrite_repairs_what_only_verify_finds(source, output):
  whole = _content(output)
  path = _first_shard(output)
  data = bytearray(path.read_bytes())
  data[1000] ^= 1
  path.write_bytes(data)
  _convert(source, output, overwrite=True)
  assert _content(output) == whole


@pytest.mark.parametrize('name,text', [
    ('index.parquet', 'of another project'),
    ('skipped.csv', ''),
    ('manifest.json', '{"name": "my web app"}'),
    ('manifest.json', '{"format_version": 2, "header": {}}'),
    ('manifest.json.tmp', '{"name": '),
])
def test_files_of_unknown_origin_are_not_touched(source, tmp_path, name, text):
  mine = tmp_path / 'mine'
  mine.mkdir()
  (mine / name).write_text(text)
  message = f"'{name}' but .* not a dataset of this program; choose another"
  for how in _WAYS:
    with pytest.raises(errors.DataError, match=message):
      _convert(source, mine, **how)
    with pytest.raises(errors.DataError, match=message):
      convert.describe(*source, str(mine), _SMALL, convert.How(**how))
  assert _content(mine) == {name: text.encode()}


@pytest.mark.parametrize('damage', [
    lambda data: b'',
    lambda data: data[:len(data) // 2],
    lambda data: data.replace(b'"format_version": 1', b'"format_version": 99'),
])
def test_overwrite_replaces_a_dataset_with_a_damaged_manifest(
    source, output, damage):
  whole = _content(output)
  (output / 'manifest.json').write_bytes(damage(whole['manifest.json']))
  with pytest.raises(errors.DataError, match='convert the data again'):
    _convert(source, output)
  _convert(source, output, overwrite=True)
  assert _content(output) == whole


def test_overwrite_replaces_a_dataset_that_lost_its_shards(source, output):
  whole = _content(output)
  for path in output.glob('*.tfrecord'):
    path.unlink()
  _convert(source, output, overwrite=True)
  assert _content(output) == whole


def test_an_interrupted_overwrite_goes_on(source, output, monkeypatch):
  whole = _content(output)
  removed = []

  def remove_one(name, **where):
    if len(removed) == stop:
      raise KeyboardInterrupt
    removed.append(name)
    unlink(name, **where)

  unlink = os.unlink
  for stop in range(len(whole) - 1):  # all but the manifest
    removed.clear()
    monkeypatch.setattr(os, 'unlink', remove_one)
    with pytest.raises(KeyboardInterrupt):
      _convert(source, output, overwrite=True)
    monkeypatch.undo()
    _convert(source, output, overwrite=True)
    assert _content(output) == whole


def test_shards_that_lost_their_manifest_are_not_replaced(source, output):
  (output / 'manifest.json').unlink()
  before = _content(output)
  with pytest.raises(errors.DataError, match='but no manifest'):
    _convert(source, output, _OTHER)
  assert _content(output) == before
  assert _convert(source, output, _OTHER, overwrite=True).num_folds == 3


@pytest.mark.parametrize('how', [{'only_shard': 1}, {}])
def test_a_late_call_keeps_a_finished_dataset(source, output, how):
  _convert(source, output, **how)
  assert not (output / '.unfinished').exists()
  assert verify.verify(str(output), True, 1).manifest.num_records == 20


@pytest.mark.parametrize('text', ['{"seed"', '[1]', ''])
def test_damaged_settings_are_an_error_and_can_be_replaced(
    source, tmp_path, text):
  output = tmp_path / 'records'
  (output / '.unfinished').mkdir(parents=True)
  (output / '.unfinished' / 'settings.json').write_text(text)
  with pytest.raises(errors.DataError, match='is damaged; pass --overwrite'):
    _convert(source, output)
  _convert(source, output, overwrite=True)
  assert verify.verify(str(output), True, 1)


@pytest.mark.parametrize('name', ['manifest.json', 'index.parquet'])
@pytest.mark.parametrize('make', [os.mkdir, os.mkfifo])
@pytest.mark.parametrize('overwrite', [False, True])
def test_what_is_no_file_is_refused_before_the_work(source, tmp_path, name,
                                                    make, overwrite):
  make(tmp_path / name)
  with pytest.raises(errors.DataError,
                     match=f'{tmp_path}/{name} is not a regular file'):
    _convert(source, tmp_path, overwrite=overwrite)
  assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_manifest_that_contradicts_itself_is_not_finished(source, output):
  forgery.forge_manifest(output, num_records=10**15)
  with pytest.raises(errors.DataError,
                     match='expected 1000000000000000 records.*--overwrite'):
    _convert(source, output)


def test_a_dataset_with_the_features_of_another_is_not_finished(source, output):
  (output / 'features.json').write_text('{}')
  digest = filesystem.sha256(str(output / 'features.json'))
  files = manifest.load(str(output)).files
  forgery.forge_manifest(output, files={**files, 'features.json': digest})
  with pytest.raises(errors.DataError,
                     match='Invalid dataset at .*features.json.*--overwrite'):
    _convert(source, output)


def test_a_file_as_output_is_refused(source, tmp_path):
  path = tmp_path / 'records'
  path.write_text('mine')
  with pytest.raises(errors.DataError, match='is a file'):
    _convert(source, path)
  with pytest.raises(errors.DataError, match='is a file'):
    convert.describe(*source, str(path), _SMALL)
  assert path.read_text() == 'mine'


def test_a_dataset_that_lacks_samples_needs_on_error_skip(tmp_path):
  source = fakes.write_source(tmp_path)
  path = pathlib.Path(source[1]) / 's3_green.png'
  valid = path.read_bytes()
  data = bytearray(valid)
  data[len(data) // 2] ^= 0x40
  path.write_bytes(data)
  output = tmp_path / 'records'
  assert _convert(source, output, on_error='skip').num_skipped == 1
  with pytest.raises(errors.DataError, match='lacks 1 samples'):
    _convert(source, output)
  path.write_bytes(valid)
  assert _convert(source, output, overwrite=True).num_records == 20


def test_folds_do_not_matter_for_an_unlabelled_set(source, tmp_path):
  settings = {'image_size': 16, 'unlabelled': True}
  first = _convert(('', source[1]), tmp_path / 'records',
                   shard_plan.Settings(**settings))
  assert first == _convert(('', source[1]), tmp_path / 'records',
                           shard_plan.Settings(**settings, num_folds=3))


def test_plan_only_reports_a_finished_dataset(source, output):
  told = convert.describe(*source, str(output), _SMALL)
  assert told == f'The dataset is finished: {output}'
  how = convert.How(overwrite=True)
  told = convert.describe(*source, str(output), _OTHER, how)
  assert '20 records, 3 shards' in told
  assert manifest.load(str(output)).num_folds == 5


def _finish_again_and_again(output, times):
  """Locks, and tidies as a finished conversion does, until it had its turns."""
  turns = 0
  while turns < times:
    try:
      with output_lock.lock(output):
        output_folder.tidy(output)
        turns += 1
    except errors.DataError as error:
      if 'Another conversion is running' not in str(error):
        raise


def test_a_conversion_may_tidy_while_another_starts(tmp_path):
  with multiprocessing.get_context('spawn').Pool(2) as pool:
    pool.starmap(_finish_again_and_again, [(str(tmp_path), 200)] * 2,
                 chunksize=1)
  assert not (tmp_path / '.unfinished').exists()


@pytest.mark.parametrize('how', _WAYS)
def test_a_link_in_place_of_unfinished_is_refused(source, output, how):
  mine = output.parent / 'mine'
  mine.mkdir()
  (mine / 'settings.json').write_text('{}')
  (output / '.unfinished').symlink_to(mine)
  with pytest.raises(errors.DataError, match='.unfinished is a link to'):
    _convert(source, output, **how)
  assert _content(mine) == {'settings.json': b'{}'}


def test_a_link_that_appears_meanwhile_is_not_followed(output):
  mine = output.parent / 'mine'
  mine.mkdir()
  (mine / 'lock').write_text('mine')
  (output / '.unfinished').symlink_to(mine)
  for remove in (output_folder.tidy,
                 lambda folder: output_folder.remove_strays(folder, set())):
    with pytest.raises(OSError):
      remove(str(output))
  assert _content(mine) == {'lock': b'mine'}


@pytest.mark.parametrize('how', _WAYS)
def test_foreign_files_in_unfinished_are_refused(source, tmp_path, how):
  folder = tmp_path / 'records' / '.unfinished'
  folder.mkdir(parents=True)
  for name in ('thesis.tmp', 'thesis.json'):
    (folder / name).write_text('mine')
    with pytest.raises(errors.DataError, match=f'.unfinished/{name}'):
      _convert(source, tmp_path / 'records', **how)
    (folder / name).unlink()


def test_foreign_files_that_appear_meanwhile_are_kept(output, capsys):
  with output_lock.lock(str(output)):
    (output / 'thesis.tex').write_text('mine')
    (output / '.unfinished' / 'notes.tmp').write_text('mine')
    (output / '.unfinished' /
     'fold0-00000-of-00001.tfrecord.0123abcd.tmp').write_text('half')
    output_folder.remove_strays(str(output), set())
    output_folder.tidy(str(output))
  assert set(_content(output / '.unfinished')) == {'notes.tmp'}
  assert (output / 'thesis.tex').read_text() == 'mine'
  said = capsys.readouterr().err
  assert 'contains 2 file(s) that are not of a conversion' in said
  assert len(said.splitlines()) == 1


def test_litter_of_file_browsers_is_ignored(source, output):
  litter = [output / '.DS_Store', output / '._index.parquet']
  (output / '.unfinished').mkdir()
  litter.append(output / '.unfinished' / 'Thumbs.db')
  for path in litter:
    path.write_text('litter')
  assert _convert(source, output).num_records == 20
  _convert(source, output, overwrite=True)
  assert all(path.read_text() == 'litter' for path in litter)


@pytest.mark.parametrize('name', [
    'manifest.json.0123abcd.tmp', 'index.parquet.tmp',
    '.unfinished/settings.json.0123abcd.tmp'
])
def test_temporary_files_of_a_killed_conversion_are_removed(
    source, output, name):
  whole = _content(output)
  (output / 'manifest.json').unlink()
  (output / '.unfinished').mkdir()
  (output / name).write_text('half')
  _convert(source, output, overwrite=True)
  assert _content(output) == whole


@pytest.mark.parametrize('below', ['', 'deep/er'])
def test_a_broken_link_is_an_early_error(source, tmp_path, below):
  (tmp_path / 'disk').symlink_to(tmp_path / 'not-mounted')
  for how in _WAYS:
    with pytest.raises(errors.DataError, match='not-mounted, which does not'):
      _convert(source, tmp_path / 'disk' / below, **how)
  assert not (tmp_path / 'not-mounted').exists()


def test_the_output_may_be_reached_by_a_link(source, tmp_path):
  (tmp_path / 'disk').mkdir()
  (tmp_path / 'records').symlink_to(tmp_path / 'disk')
  for overwrite in (False, True):
    _convert(source, tmp_path / 'records', overwrite=overwrite)
  assert verify.verify(str(tmp_path / 'disk'), True, 1)


def test_a_finished_dataset_may_be_on_a_read_only_disk(source, output):
  before = output.stat().st_mtime_ns
  assert _convert(source, output).num_records == 20
  assert output.stat().st_mtime_ns == before  # nothing was made there


def test_one_of_two_conversions_at_once_is_refused(source, tmp_path):
  for lock in (output_lock.lock, output_lock.share):
    with lock(str(tmp_path / 'records')):
      with pytest.raises(errors.DataError, match='Another conversion is run'):
        _convert(source, tmp_path / 'records')


@pytest.mark.parametrize('name', ['settings', 'issues', 'checked'])
@pytest.mark.parametrize('how', [{}, {'on_error': 'skip'}, {'only_shard': 0}])
def test_large_files_and_pipes_are_not_read(source, tmp_path, name, how):
  unfinished = tmp_path / '.unfinished'
  unfinished.mkdir()
  os.mkfifo(unfinished / f'{name}.json')  # who reads it waits for ever
  (unfinished / 'fold0-00000-of-00001.tfrecord.json').touch()
  os.truncate(unfinished / 'fold0-00000-of-00001.tfrecord.json', 2**38)
  try:
    _convert(source, tmp_path, **how)
  except errors.DataError as error:
    assert name == 'settings' and 'is damaged' in str(error)


def test_a_difference_is_shortened(source, tmp_path):
  (tmp_path / '.unfinished').mkdir()
  (tmp_path / '.unfinished/settings.json').write_text(
      json.dumps({'image_size': 'x' * 10**6}))
  with pytest.raises(errors.DataError, match='image_size') as error:
    _convert(source, tmp_path)
  assert len(str(error.value)) < 1000


def test_a_file_that_is_too_large_is_not_read(source, output):
  os.truncate(output / 'features.json', 2**42)  # sparse: takes no room
  with pytest.raises(errors.DataError, match='features.json in .* was changed'):
    _convert(source, output)
