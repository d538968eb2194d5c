"""workdir, archive, result and page.write: a run's files, sound or not."""

import dataclasses
import json
import pathlib
import shutil

import numpy as np
import pytest

from hpa_records.conversion import convert
from hpa_records.conversion import shard_plan
from hpa_records.format import spec
from hpa_records.runtime import errors
from hpa_records.storage import file_lock
from tests.support import fakes
from tests.support import rights
from trainer import config as config_lib
from trainer.report import page
from trainer.report import result
from trainer.run import arrays as arrays_lib
from trainer.run import finished_fold
from trainer.run import workdir
from trainer.training import loop


@pytest.fixture(name='made', scope='module')
def _made(tmp_path_factory):
  """Folder of a real run of one fold and one epoch."""
  folder = tmp_path_factory.mktemp('workdir')
  csv, images = fakes.write_source(folder, num_samples=40, size_px=32)
  convert.convert(csv, images, str(folder / 'records'),
                  shard_plan.Settings(image_size=32, num_folds=2),
                  convert.How(workers=1))
  loop.train(
      config_lib.Config(records=str(folder / 'records'),
                        workdir=str(folder / 'run'),
                        distribute='cpu',
                        epochs=1,
                        batch_size=16))
  return folder / 'run'


@pytest.fixture(name='run')
def _run(made, tmp_path):
  """A copy of it, to damage."""
  return pathlib.Path(shutil.copytree(made, tmp_path / 'run'))


def _read_all(run):
  """Reads every file of a run, as the report and the prediction do."""
  fold = workdir.fold_directory(str(run), 0)
  workdir.load(str(run))
  workdir.load_history(fold)
  workdir.load_gallery(fold)
  workdir.load_network(fold)
  arrays_lib.Scores.load(f'{fold}/{workdir.ARRAYS_NAME}')
  workdir.load_json(f'{fold}/{workdir.BEST_SCORES_NAME}')


def _refusal(run):
  with pytest.raises(errors.DataError) as caught:
    _read_all(run)
  return str(caught.value)


def test_a_sound_run_is_read(run):
  _read_all(run)


@pytest.mark.parametrize('text',
                         ['', '{}', '[]', 'null', '7', '{"epoch": "1"}'])
@pytest.mark.parametrize('name', [
    workdir.CONFIG_NAME, workdir.SCORES_NAME, workdir.BEST_SCORES_NAME,
    workdir.ABOUT_NAME, workdir.NETWORK_NAME
])
def test_json_of_another_form_is_named(run, name, text):
  path = run / 'fold0' / name
  path.write_text(text)
  assert f'{name} is missing or damaged' in _refusal(run)


@pytest.mark.parametrize('name', [
    workdir.CONFIG_NAME, workdir.SCORES_NAME, workdir.BEST_SCORES_NAME,
    workdir.ABOUT_NAME, workdir.NETWORK_NAME, workdir.HISTORY_NAME,
    workdir.ARRAYS_NAME, workdir.SAMPLES_NAME, workdir.GALLERY_NAME
])
def test_a_folder_in_a_files_place_is_named(run, name):
  path = run / 'fold0' / name
  path.unlink()
  path.mkdir()
  assert str(path) in _refusal(run)


@pytest.mark.parametrize('name,key', [
    (workdir.SCORES_NAME, 'threshold'),
    (workdir.ABOUT_NAME, 'device'),
    (workdir.ABOUT_NAME, 'versions'),
    (workdir.ABOUT_NAME, 'records'),
    (workdir.ABOUT_NAME, 'records_versions'),
    (workdir.NETWORK_NAME, 'layers'),
])
def test_what_json_lacks_is_named(run, name, key):
  path = run / 'fold0' / name
  content = json.loads(path.read_text())
  del content[key]
  path.write_text(json.dumps(content))
  refusal = _refusal(run)
  assert str(path) in refusal and f'({key}: ' in refusal


def test_a_layer_without_inputs_is_named(run):
  path = run / 'fold0' / workdir.NETWORK_NAME
  content = json.loads(path.read_text())
  del content['layers'][3]['inputs']
  path.write_text(json.dumps(content))
  assert str(path) in _refusal(run)


@pytest.mark.parametrize('damage', [
    pathlib.Path.unlink,
    lambda path: path.write_bytes(path.read_bytes()[:20]),
])
@pytest.mark.parametrize('name', [
    *sorted(workdir.FILE_NAMES - {workdir.SCORES_NAME}),
    f'{workdir.CHECKPOINTS_NAME}/epoch-00001.npz'
])
def test_a_fold_that_lacks_a_file_is_not_finished(run, name, damage):
  config, _ = workdir.load_config(str(run / 'fold0' / workdir.CONFIG_NAME))
  config = dataclasses.replace(config, workdir=str(run))
  scores, reason = finished_fold.find_scores(config)
  assert scores['epoch'] == 1 and not reason
  damage(run / 'fold0' / name)
  scores, reason = finished_fold.find_scores(config)
  assert scores is None and str(run / 'fold0' / name) in reason


def _put(value):
  """Sets the first element of an array."""

  def change(array):
    array = array.copy()
    array.flat[0] = value
    return array

  return change


@pytest.mark.parametrize('name,key,change', [
    (workdir.ARRAYS_NAME, 'scores', _put(np.nan)),
    (workdir.ARRAYS_NAME, 'scores', _put(1.5)),
    (workdir.ARRAYS_NAME, 'scores', lambda each: each[:, :20]),
    (workdir.ARRAYS_NAME, 'labels', lambda each: each[:-1]),
    (workdir.ARRAYS_NAME, 'labels', _put(2)),
    (workdir.ARRAYS_NAME, 'ids', lambda each: each[0]),
    (workdir.ARRAYS_NAME, 'ids', lambda each: np.arange(len(each))),
    (workdir.ARRAYS_NAME, 'ids', None),
    (workdir.ARRAYS_NAME, 'scores', None),
    (workdir.SAMPLES_NAME, 'repeats', lambda each: each[:-1]),
    (workdir.SAMPLES_NAME, 'repeats', _put(-1)),
    (workdir.SAMPLES_NAME, 'folds', lambda each: each.astype(float)),
    (workdir.SAMPLES_NAME, 'groups', lambda each: np.array(['a'])),
    (workdir.SAMPLES_NAME, 'groups', lambda each: np.zeros((0, 1), str)),
    (workdir.SAMPLES_NAME, 'groups', lambda each: np.full(40, '\ud800')),
    (workdir.SAMPLES_NAME, 'groups',
     lambda each: np.full(40, 0x110000, np.uint32).view('<U1')),
    (workdir.SAMPLES_NAME, 'balance', lambda each: np.array('[]')),
    (workdir.SAMPLES_NAME, 'balance', lambda each: np.array(
        str(each).replace('"target": 500', '"target": 1000000000000'))),
    (workdir.SAMPLES_NAME, 'balance', lambda each: np.array(
        str(each).replace('"target": 500', '"target": 500.0'))),
    (workdir.SAMPLES_NAME, 'folds', _put(2**40)),
    (workdir.SAMPLES_NAME, 'seed', None),
    (workdir.SAMPLES_NAME, 'seed', lambda each: np.array(-1)),
    (workdir.SAMPLES_NAME, 'ids', _put('a\x1b[2J')),
    (workdir.SAMPLES_NAME, 'ids', _put('../a')),
    (workdir.GALLERY_NAME, 'kinds', lambda each: np.full_like(each, 'hi')),
    (workdir.GALLERY_NAME, 'classes', _put(28)),
    (workdir.GALLERY_NAME, 'images', lambda each: each[1:]),
    (workdir.GALLERY_NAME, 'images', lambda each: np.zeros(
        (len(each), 1, 20_000, 4), np.uint8)),
    (workdir.GALLERY_NAME, 'images', lambda each: each[..., :3]),
    (workdir.GALLERY_NAME, 'map1', lambda each: each[:-1]),
    (workdir.GALLERY_NAME, 'images', lambda each: np.zeros(
        (len(each), 257, 1, 4), np.uint8)),
    (workdir.GALLERY_NAME, 'map1', lambda each: each[:, :0]),
    (workdir.GALLERY_NAME, 'map1', None),
    (workdir.GALLERY_NAME, 'kinds', lambda each: each.astype('<U256')),
    (workdir.SAMPLES_NAME, 'ids', lambda each: each.astype('<U256')),
    (workdir.SAMPLES_NAME, 'balance',
     lambda each: np.array(str(each) + ' ' * 20_000)),
])
def test_arrays_of_another_form_are_named(run, name, key, change):
  path = run / 'fold0' / name
  with np.load(path) as file:
    arrays = dict(file)
  array = arrays.pop(key)
  if change:
    arrays[key] = change(array)
  np.savez(path, **arrays)
  assert str(path) in _refusal(run)


def _save_gallery(path, num_samples, num_maps):
  """Writes an empty gallery, as Gallery.save does."""
  count, classes = num_samples, spec.NUM_CLASSES
  arrays_lib.Gallery(np.full(count, 'a'), np.zeros((count, classes), np.uint8),
                     np.zeros((count, classes), np.float32),
                     np.zeros(count, int), np.full(count, 'hit'),
                     np.zeros((count, 1, 1, 4), np.uint8), (np.zeros(
                         (count, 1, 1), np.float32),) * num_maps).save(path)


@pytest.mark.parametrize('num_samples,num_maps,message', [
    (85, 3, 'ids: expected up to 84, received 85'),
    (3, 9, 'maps: expected map0, map1, .* up to map7, received 9'),
    (3, 1000, 'up to 16 arrays, received 1,006'),
])
def test_a_gallery_of_any_size_is_refused(tmp_path, num_samples, num_maps,
                                          message):
  path = str(tmp_path / workdir.GALLERY_NAME)
  _save_gallery(path, 84, 8)
  assert len(workdir.load_gallery(str(tmp_path)).maps) == 8
  _save_gallery(path, num_samples, num_maps)
  with pytest.raises(errors.DataError, match=message):
    workdir.load_gallery(str(tmp_path))


@pytest.mark.parametrize('text', [
    'some text\nand more\n', 'epoch,loss\none,0.5\n', 'epoch\n',
    'epoch,loss\n1,0.5\n1,0.4\n', 'epoch,loss\n1,1e300\n',
    'epoch,loss\n1,inf\n', 'epoch,loss\n1,0.5\n2,3,4,5\n'
])
def test_another_history_is_named_in_one_line(run, text):
  path = run / 'fold0' / workdir.HISTORY_NAME
  path.write_text(text)
  message = _refusal(run)
  assert str(path) in message and '\n' not in message


_COLUMNS = 'epoch' + ',a' * 1000


@pytest.mark.parametrize('text,message', [
    (f'{_COLUMNS}\n1{",1" * 1000}\n', 'up to 100 columns, received 1,001'),
    (f'epoch,loss\n1{",1" * 1000}\n', 'rows of different lengths'),
    ('epoch,"' + '\n",a,"' * 1000 + '"\n', 'rows of different lengths'),
    ('epoch,' + 'a' * 5000 + '\n1,0.5\n', 'up to 4,096 bytes, received 5,006'),
    ('epoch\n' + '1\n' * 200_001, 'more than 99,999 rows'),
    ('epoch' + '\r' * 200_002, 'more than 99,999 rows'),
])
@pytest.mark.parametrize('name,load', [
    (workdir.HISTORY_NAME, workdir.load_history),
    (workdir.PER_CLASS_NAME, workdir.load_per_class),
])
def test_a_table_of_any_size_is_not_parsed(tmp_path, name, load, text, message):
  path = tmp_path / name
  path.write_text(text)
  if name == workdir.PER_CLASS_NAME and len(text) > 2**16:
    message = 'expected up to 65,536 bytes, received '
  with pytest.raises(errors.DataError, match=message) as caught:
    load(str(tmp_path))
  assert str(path) in str(caught.value) and '\n' not in str(caught.value)


def test_a_history_without_numbers_is_refused(tmp_path):
  (tmp_path / workdir.HISTORY_NAME).write_text('epoch,loss\n1,good\n')
  with pytest.raises(errors.DataError, match='loss: expected numbers'):
    workdir.load_history(str(tmp_path))


def test_a_score_that_no_epoch_has_is_a_gap(tmp_path):
  (tmp_path / workdir.HISTORY_NAME).write_text('epoch,auc_macro\n1,\n2,\n')
  assert workdir.load_history(str(tmp_path))['auc_macro'].isna().all()


@pytest.mark.parametrize('name',
                         ['fold00', 'fold\u0661', 'fold-1', 'fold1.bak'])
def test_a_folder_of_another_name_is_no_fold(run, name):
  shutil.copytree(run / 'fold0', run / name)
  (run / 'fold1').mkdir()  # empty: not finished
  assert [fold.number for fold in workdir.load(str(run)).folds] == [0]


def test_a_copy_of_a_fold_is_refused(run):
  shutil.copytree(run / 'fold0', run / 'fold1')
  with pytest.raises(errors.DataError, match='fold1 holds fold 0, by its conf'):
    workdir.load(str(run))


def test_a_fold_that_the_records_do_not_have_is_refused(run):
  (run / 'fold0').rename(run / 'fold7')
  path = run / 'fold7' / workdir.CONFIG_NAME
  path.write_text(path.read_text().replace('"fold": 0', '"fold": 7'))
  with pytest.raises(errors.DataError, match='has no samples of fold 7'):
    workdir.load(str(run))


@pytest.mark.parametrize('name,key,value', [
    (workdir.SCORES_NAME, 'epoch', 10**9),
    (workdir.SCORES_NAME, 'f1_macro', '0.5'),
    (workdir.SCORES_NAME, 'f1_macro', True),
    (workdir.SCORES_NAME, 'f1_macro', [0.5]),
    (workdir.BEST_SCORES_NAME, 'epoch', 0),
    (workdir.ABOUT_NAME, 'device', 'the \x1b[31mCPU'),
    (workdir.ABOUT_NAME, 'versions', {
        'keras': 3
    }),
    (workdir.ABOUT_NAME, 'versions', {
        f'package{i}': '1' for i in range(101)
    }),
    (workdir.ABOUT_NAME, 'records', {
        'nested': [[]]
    }),
    (workdir.ABOUT_NAME, 'records', {
        'pattern': 'a' * 5000
    }),
    (workdir.ABOUT_NAME, 'pixels', {
        'mean': [[]]
    }),
    (workdir.ABOUT_NAME, 'pixels', {
        'mean': [1.0] * 5
    }),
    (workdir.ABOUT_NAME, 'classes', ['Nucleoplasm'] * 101),
    (workdir.ABOUT_NAME, 'classes', [['Nucleoplasm']]),
    (workdir.ABOUT_NAME, 'other', [[]]),
    (workdir.BEST_SCORES_NAME, 'note', [[]]),
    (workdir.BEST_SCORES_NAME, 'note', 'a' * 201),
    (workdir.CONFIG_NAME, 'data_service', 'a' * 5000),
    (workdir.CONFIG_NAME, 'other', 1),
    (workdir.NETWORK_NAME, 'parameters', -1),
    (workdir.NETWORK_NAME, 'layers', []),
    (workdir.NETWORK_NAME, 'layers', [{
        'name': 'a',
        'kind': 'Dense',
        'shape': [1],
        'parameters': 0,
        'inputs': ['b']
    }]),
    (workdir.CONFIG_NAME, 'fold', 0.0),
    (workdir.CONFIG_NAME, 'l2', None),
])
def test_values_that_no_run_has_are_named(run, name, key, value):
  path = run / 'fold0' / name
  path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
  refusal = _refusal(run)
  assert str(path) in refusal and key in refusal


@pytest.mark.parametrize('size', [2**20 + 1, 0])
@pytest.mark.parametrize('name', [
    workdir.CONFIG_NAME, workdir.SCORES_NAME, workdir.BEST_SCORES_NAME,
    workdir.ABOUT_NAME, workdir.NETWORK_NAME
])
def test_a_json_of_any_size_is_not_read(run, name, size):
  path = run / 'fold0' / name
  path.write_bytes(path.read_bytes().ljust(size)[:size])
  assert str(path) in _refusal(run)


def test_scores_of_another_threshold_than_the_settings_are_refused(run):
  path = run / 'fold0' / workdir.CONFIG_NAME
  path.write_text(path.read_text().replace('"threshold": 0.5',
                                           '"threshold": 0.25'))
  refusal = _refusal(run)
  assert 'threshold 0.25 of config.json, received those with 0.5' in refusal


@pytest.mark.parametrize('names', [
    ['run', 'run', '1-run'],
    ['a/run', 'b/run', 'c/other'],
    ['2-run', 'run', 'run', '3-run'],
    ['run', 'RUN'],
])
def test_names_of_runs_differ_on_any_disk(made, names):
  run = workdir.load(str(made))
  found = result.name_runs(
      [dataclasses.replace(run, directory=name) for name in names])
  assert len({name.casefold() for name in found}) == len(names)
  for name, given in zip(found, names):
    assert name.endswith(pathlib.Path(given).name)


def test_any_folder_is_a_name_that_a_page_can_hold(made):
  run = workdir.load(str(made))
  found = result.name_runs([dataclasses.replace(run, directory='a/r\udcff\n')])
  assert found == [r'r\udcff\n']


@pytest.mark.parametrize('name', ['file', 'file/report', '/proc/none', 'full'])
def test_an_unwritable_report_is_refused_before_the_work(run, tmp_path, name):
  (run / 'fold0' / workdir.ARRAYS_NAME).unlink()  # the work would end here
  (tmp_path / 'file').touch()
  (tmp_path / 'full' / 'report.html').mkdir(parents=True)
  with pytest.raises(errors.DataError, match='Cannot write to .*--output'):
    page.write([str(run)], str(tmp_path / name))


def test_no_run_leaves_no_folder(tmp_path):
  with pytest.raises(errors.DataError, match='No finished fold'):
    page.write([str(tmp_path / 'none')], str(tmp_path / 'none'))
  assert not (tmp_path / 'none').exists()


def _write(output, *names):
  """Writes a report of these files."""
  page.prepare(str(output)).write('page', {name: b'' for name in names})


def test_a_report_removes_what_an_earlier_one_wrote_alone(tmp_path):
  folder = tmp_path / 'report'
  _write(tmp_path, 'other_scores.csv', 'other_counts.csv')
  (folder / 'other_scores.csv').write_text('changed')
  (folder / 'measurements.csv').write_text('mine')
  _write(tmp_path, 'run_scores.csv')
  left = {path.name for path in folder.iterdir()}
  assert {'measurements.csv', 'other_scores.csv', 'run_scores.csv'} <= left
  assert 'other_counts.csv' not in left


@pytest.mark.parametrize('name', ['report.html', 'report/run_scores.csv'])
def test_a_report_does_not_replace_a_file_that_is_not_its_own(tmp_path, name):
  path = tmp_path / name
  path.parent.mkdir(exist_ok=True)
  path.write_text('mine')
  with pytest.raises(errors.DataError, match=f'{path} is there, and no report'):
    _write(tmp_path, 'run_scores.csv')
  assert path.read_text() == 'mine'
  assert {each.name for each in tmp_path.rglob('*')} <= {path.name, 'report'}


def test_a_report_is_not_written_into_while_another_is(tmp_path):
  place = page.prepare(str(tmp_path))
  _write(tmp_path, 'run_scores.csv')  # after place looked
  with file_lock.hold(f'{tmp_path}/report/lock', ''):
    with pytest.raises(errors.DataError, match='Another report is being'):
      place.write('page', {'run_scores.csv': b'2'})
  place.write('page', {'run_scores.csv': b'2'})
  assert (tmp_path / 'report' / 'run_scores.csv').read_text() == '2'
  assert not (tmp_path / 'report' / 'lock').exists()


def test_a_file_of_the_users_named_lock_stops_a_report(made, tmp_path):
  path = tmp_path / 'report' / 'lock'
  path.parent.mkdir()
  path.write_text('mine')
  with pytest.raises(errors.DataError,
                     match=rf'name is in the way: .*\({path}\)'):
    page.write([str(made)], str(tmp_path), 0)
  assert [each.name for each in path.parent.iterdir()] == ['lock']
  assert path.read_text() == 'mine'


@pytest.mark.parametrize(
    'text',
    ['[', '[]', '{"a.csv": 1}', '{"../outside.csv": ["0"]}', '{"..": []}'])
def test_a_damaged_list_of_files_is_refused(made, tmp_path, text):
  (tmp_path / 'report').mkdir()
  (tmp_path / 'report' / 'files.json').write_text(text)
  with pytest.raises(errors.DataError, match='is not the list of an earlier'):
    page.write([str(made)], str(tmp_path), 0)


def test_a_report_is_not_written_through_a_link(made, tmp_path):
  (tmp_path / 'elsewhere').mkdir()
  (tmp_path / 'report').symlink_to(tmp_path / 'elsewhere')
  with pytest.raises(errors.DataError, match='is a link'):
    page.write([str(made)], str(tmp_path), 0)
  assert not list((tmp_path / 'elsewhere').iterdir())


def test_a_fold_on_a_disk_that_is_away_is_not_left_out(run):
  (run / 'fold1').symlink_to('/mnt/nowhere/fold1')
  with pytest.raises(errors.DataError, match='fold1 is a link to /mnt/nowhere'):
    workdir.load(str(run))


@pytest.mark.parametrize('path', ['.', 'fold0', 'fold0/scores.json'])
def test_a_run_that_may_not_be_read_is_told(run, path):
  with rights.refused(run / path):
    with pytest.raises(errors.DataError) as error:
      workdir.load(str(run))
  assert 'Permission denied; check the rights' in str(error.value)


@pytest.mark.parametrize('path', [
    'checkpoints/epoch-00001.npz', 'scores.json', 'samples.npz', 'history.csv'
])
def test_a_finished_fold_whose_files_cannot_be_read_is_left_alone(run, path):
  config, _ = workdir.load_config(str(run / 'fold0' / 'config.json'))
  config = dataclasses.replace(config, workdir=str(run))
  with rights.refused(run / 'fold0' / path):
    with pytest.raises(errors.UnreadError, match='Permission denied'):
      finished_fold.find_scores(config)
  assert finished_fold.find_scores(config)[0]
