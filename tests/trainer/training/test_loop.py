"""loop and main: whole small runs, cut off, continued, refused."""

from concurrent import futures
import contextlib
import dataclasses
import fcntl
import io
import json
import os
import pathlib
import re
import shutil
import signal
import struct
import subprocess
import sys
import termios
import threading
import traceback

import cv2
import numpy as np
import pandas as pd
import pytest
from tensorflow.python.framework import ops  # pylint: disable=no-name-in-module

from hpa_records.conversion import convert
from hpa_records.conversion import shard_plan
from hpa_records.datasets import description
from hpa_records.runtime import errors
from hpa_records.runtime.tensorflow import tf
from tests.support import fakes
from tests.support import forgery
from tests.support import prestarted
from tests.support import runs
from tests.support import signalled
from trainer.run import finished_run
from trainer.training import calls
from trainer.training import epoch as epoch_lib
from trainer.training import evaluate
from trainer.training import loop
from trainer.training.recording import recorder
from trainer.training import step

_ROOT = pathlib.Path(__file__).parents[3]


@pytest.fixture(name='records', scope='module')
def _records(tmp_path_factory):
  folder = tmp_path_factory.mktemp('loop')
  return fakes.write_records(folder, 40, 32, balance='hybrid', balance_target=9)


@pytest.fixture(name='whole', scope='module')
def _whole(records, tmp_path_factory):
  """An undisturbed run: (configuration, its summary, folder of the fold)."""
  config = runs.configure(records, tmp_path_factory.mktemp('whole'))
  return config, loop.train(config), pathlib.Path(config.workdir) / 'fold1'


def test_run_writes_what_other_tools_read(whole):
  _, summary, directory = whole
  assert json.loads((directory / 'metrics.json').read_text()) == summary
  assert summary['epoch'] == runs.EPOCHS and summary['num_samples'] == 8
  best = json.loads((directory / 'best_metrics.json').read_text())
  assert 'chosen on the same held-out fold' in best['note']
  table = pd.read_csv(directory / 'per_class.csv')
  assert table['name'].tolist() == list(description.default().spec(1).classes)
  arrays = runs.arrays(directory / 'predictions.npz')
  assert arrays['predictions'].shape == arrays['labels'].shape == (8, 28)
  index = pd.read_parquet(f'{whole[0].records}/index.parquet')
  held_out = index[index['fold'] == 1]
  assert arrays['ids'].tolist() == held_out['id'].tolist()
  assert [np.flatnonzero(row).tolist() for row in arrays['labels']
         ] == [row.tolist() for row in held_out['labels']]


def _first_epoch(records, workdir, **values):
  """Returns loss and about.json of an epoch on records."""
  loop.train(runs.configure(records, workdir, epochs=1, **values))
  history = pd.read_csv(workdir / 'fold1' / 'history.csv')
  about = json.loads((workdir / 'fold1' / 'about.json').read_text())
  return history['loss'][0], about['pixels']


def test_pixels_of_the_held_out_fold_do_not_bear_on_the_training(
    records, whole, tmp_path):
  csv, images = fakes.write_source(tmp_path, 40, 32)
  index = pd.read_parquet(f'{records}/index.parquet')
  for name in index['id'][index['fold'] == 1]:
    for path in pathlib.Path(images).glob(f'{name}_*.png'):
      cv2.imwrite(str(path), np.full((32, 32), 255, np.uint8))
  other = str(tmp_path / 'records')
  convert.convert(
      csv, images, other,
      shard_plan.Settings(image_size=32, balance='hybrid', balance_target=9),
      convert.How(workers=1))
  loss, pixels = _first_epoch(other, tmp_path)
  assert loss == pd.read_csv(whole[2] / 'history.csv')['loss'][0]
  assert pixels == json.loads((whole[2] / 'about.json').read_text())['pixels']


def test_records_of_an_earlier_version_are_trained_on_with_a_note(
    records, tmp_path, capsys):
  folder = shutil.copytree(records, tmp_path / 'records')
  forgery.forge_content(folder, lambda said: said['pixels'].pop('folds'))
  _, pixels = _first_epoch(str(folder), tmp_path)
  note = ('The records are of an earlier version, without the pixel sums of '
          'each fold: ')
  assert capsys.readouterr().out.count(note) == 1
  said = json.loads((folder / 'manifest.json').read_text())['pixels']
  assert pixels == {'mean': said['mean'], 'std': said['std']}
  _first_epoch(str(folder), tmp_path / 'image', input_scaling='image')
  assert note not in capsys.readouterr().out


def test_checkpoints_of_an_earlier_version_are_refused_and_kept(
    whole, tmp_path):
  fold = shutil.copytree(whole[2], tmp_path / 'fold1')
  for path in (fold / 'checkpoints').iterdir():
    values = runs.arrays(path)
    state = values.pop('state')
    np.savez(path,
             **dict(zip(map(str, range(len(values))), values.values())),
             state=state)
  before = {each: each.read_bytes() for each in fold.rglob('*.*')}
  config = dataclasses.replace(whole[0], workdir=str(tmp_path))
  for epochs in (runs.EPOCHS, runs.EPOCHS + 1):
    with pytest.raises(errors.DataError,
                       match='^[^ ]* was written by an earlier version'):
      loop.train(dataclasses.replace(config, epochs=epochs))
  assert before == {each: each.read_bytes() for each in before}


def test_balance_overrides_the_stored_repeats(records, whole, tmp_path):
  config = runs.configure(records, tmp_path, epochs=1, balance='none')
  loop.train(config)
  history = pd.read_csv(tmp_path / 'fold1' / 'history.csv')
  stored = pd.read_csv(whole[2] / 'history.csv')
  index = pd.read_parquet(f'{records}/index.parquet')
  assert history['images'].tolist() == [(index['fold'] != 1).sum()]
  drawn = np.stack(list(index['repeats']))[:, 1].sum()
  assert (stored['images'] == drawn).all() and drawn != history['images'][0]
  with pytest.raises(errors.DataError, match="balance 'none', not 'exact'"):
    loop.train(runs.configure(records, tmp_path, epochs=1, balance='exact'))


def test_the_loss_of_an_epoch_is_the_mean_over_its_images(
    records, tmp_path, monkeypatch):
  config = runs.configure(records, tmp_path, epochs=1, steps_per_call=2)
  losses, fetch = [], step.fetch

  def note(*tensors):
    found = fetch(*tensors)
    if found[0].ndim == 1:  # not an evaluation's
      losses.extend(found[0].tolist())
    return found

  monkeypatch.setattr(step, 'fetch', note)
  loop.train(config)
  row = pd.read_csv(tmp_path / 'fold1' / 'history.csv').iloc[0]
  left = int(row['images']) % config.batch_size
  assert left
  weights = [*[config.batch_size] * (len(losses) - 1), left]
  mean = np.average(np.array(losses, np.float64), weights=weights)
  assert row['loss'] == pytest.approx(mean, rel=1e-12)
  assert mean != pytest.approx(np.mean(losses), rel=1e-6)


def test_history_has_a_row_an_epoch(whole):
  history = pd.read_csv(whole[2] / 'history.csv')
  assert history['epoch'].tolist() == list(range(1, runs.EPOCHS + 1))
  assert history[['loss', 'val_loss', 'images_per_s']].gt(0).all(axis=None)
  assert history['learning_rate'].eq(0.1).all()
  assert history['loss'].iloc[-1] < history['loss'].iloc[0]


def test_the_wait_for_input_is_a_share_of_the_time(whole):
  history = pd.read_csv(whole[2] / 'history.csv')
  assert history['input_wait'].between(0, 1, inclusive='neither').all()


def test_the_host_waits_once_a_call_and_once_an_evaluation(
    records, tmp_path, monkeypatch):
  config = runs.configure(records,
                          tmp_path,
                          batch_size=4,
                          cache='device',
                          steps_per_call=3)
  running, fetched, elsewhere = [], [], []
  read = ops._EagerTensorBase.numpy  # pylint: disable=protected-access

  def is_main():
    return threading.current_thread() is threading.main_thread()

  def mark(owner, name):
    """Notes while a function runs in the main thread."""
    function = getattr(owner, name)

    def call(*arguments, **named):
      if name == 'fetch':
        fetched.append(len(arguments))
      if not is_main():
        return function(*arguments, **named)
      running.append(name)
      try:
        return function(*arguments, **named)
      finally:
        running.pop()

    monkeypatch.setattr(owner, name, call)

  def count(tensor):
    if is_main() and running and running[-1] != 'fetch':
      elsewhere.append(traceback.format_stack())
    return read(tensor)

  mark(epoch_lib.Epochs, 'train')
  mark(evaluate.Evaluator, 'predict')
  mark(step, 'fetch')
  monkeypatch.setattr(ops._EagerTensorBase, 'numpy', count)  # pylint: disable=protected-access
  loop.train(config)
  history = pd.read_csv(tmp_path / 'fold1' / 'history.csv')
  steps = -(-history['images'] // config.batch_size)
  num_calls = -(-steps // config.steps_per_call)
  assert steps.min() > config.steps_per_call
  assert len(fetched) == num_calls.sum() + len(history)
  assert not elsewhere, ''.join(elsewhere[0])


def test_a_profile_is_written_for_tensorboard(whole, tmp_path):
  config = dataclasses.replace(whole[0],
                               workdir=str(tmp_path),
                               epochs=2,
                               profile=True)
  loop.train(config)
  traces = list((tmp_path / 'fold1' / 'tensorboard').rglob('*.xplane.pb'))
  assert len(traces) == 1 and traces[0].stat().st_size > 0


def test_tensorboard_has_the_same_numbers(whole):
  history = pd.read_csv(whole[2] / 'history.csv')
  found = {}
  for path in (whole[2] / 'tensorboard').iterdir():
    for event in tf.compat.v1.train.summary_iterator(str(path)):
      for value in event.summary.value:
        found[value.tag, event.step] = tf.make_ndarray(value.tensor)
  for row in history.itertuples():
    assert found['loss', row.epoch] == pytest.approx(row.loss)
    assert found['f1_micro', row.epoch] == pytest.approx(row.f1_micro)
    assert ('confusion_matrix', row.epoch) in found
    assert ('precision_recall/Nucleoplasm/pr_curves', row.epoch) in found
  assert any(tag.startswith('samples/') for tag, _ in found)


def test_the_newest_two_and_the_best_checkpoint_are_kept(whole):
  best = json.loads((whole[2] / 'best_metrics.json').read_text())['epoch']
  names = sorted(path.name for path in (whole[2] / 'checkpoints').iterdir())
  kept = sorted({best, runs.EPOCHS - 1, runs.EPOCHS})
  assert names == [f'epoch-{e:05d}.npz' for e in kept]


def test_a_torn_checkpoint_falls_back_to_the_one_before(whole, tmp_path,
                                                        capsys):
  shutil.copytree(whole[2], tmp_path / 'fold1')
  torn = tmp_path / 'fold1' / 'checkpoints' / f'epoch-{runs.EPOCHS:05d}.npz'
  torn.write_bytes(torn.read_bytes()[:1000])
  (tmp_path / 'fold1' / 'metrics.json').unlink()  # else it is finished
  loop.train(dataclasses.replace(whole[0], workdir=str(tmp_path)))
  said = capsys.readouterr().out
  assert f'{torn} is missing or damaged' in said
  assert f'Continuing {tmp_path}/fold1 after epoch {runs.EPOCHS - 1}.' in said
  runs.assert_same_end(tmp_path / 'fold1', whole[2])


@pytest.mark.parametrize('number', [
    signal.SIGTERM,
    pytest.param(signal.SIGINT, marks=pytest.mark.soak),
])
def test_a_signal_saves_and_says_how_to_go_on(whole, tmp_path, number):
  config = dataclasses.replace(whole[0],
                               workdir=str(tmp_path),
                               batch_size=4,
                               steps_per_call=1,
                               epochs=2)
  done = subprocess.run(runs.command(config),
                        cwd=_ROOT,
                        env=signalled.environment('*/history.csv', 1, number),
                        capture_output=True,
                        text=True,
                        check=False)
  said = done.stderr
  assert done.returncode == 128 + number
  last = re.fullmatch(
      rf'{number.name}: saved after epoch (\d+)(, step (\d+) of the next)? at '
      rf'{tmp_path}/fold1; run the same command to continue\.',
      said.splitlines()[-1])
  assert last and 'Traceback' not in said
  inside = f'-step-{int(last[3]):07d}' if last[3] else ''
  assert (tmp_path / 'fold1' / 'checkpoints' /
          f'epoch-{int(last[1]):05d}{inside}.npz').exists()


def test_a_signal_in_the_last_epoch_is_not_forgotten(records, tmp_path):
  # Other folds would be trained after this one.
  class Output(io.StringIO):

    def write(self, text):
      if text.startswith('epoch 1/1'):
        signal.raise_signal(signal.SIGTERM)
      return super().write(text)

  with pytest.raises(errors.StoppedEarly, match='SIGTERM: fold 1 is finished'):
    with contextlib.redirect_stdout(Output()):
      loop.train(runs.configure(records, tmp_path, epochs=1))
  assert (tmp_path / 'fold1' / 'metrics.json').exists()


def test_a_terminal_shows_where_the_run_stands(records, tmp_path):
  config = runs.configure(records,
                          tmp_path,
                          epochs=1,
                          batch_size=4,
                          steps_per_call=1)
  ours, theirs = os.openpty()
  fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack('4H', 24, 160, 0, 0))
  with subprocess.Popen(runs.command(config),
                        cwd=_ROOT,
                        stdout=subprocess.DEVNULL,
                        stderr=theirs) as process:
    os.close(theirs)
    shown = b''
    with contextlib.suppress(OSError):  # Linux's way to say that it is closed
      while part := os.read(ours, 4096):
        shown += part
  os.close(ours)
  assert process.returncode == 0, shown
  assert re.search(
      r'epoch 1/1: +\d+%.* \d+/\d+ \[\d\d:\d\d<\d\d:\d\d, +[\d.]+ images/s, '
      r'step \d+/\d+, loss \d\.\d{4}, rate 0\.1, input \d+%\]', shown.decode())


def test_a_loss_that_is_no_number_stops_the_run(whole, tmp_path):
  config = dataclasses.replace(whole[0],
                               workdir=str(tmp_path),
                               learning_rate=1e30,
                               clip_norm=0.0,
                               steps_per_call=1,
                               checkpoint_steps=1)
  with pytest.raises(errors.StoppedEarly,
                     match=r'loss is (nan|inf) in epoch 1, step 2;'):
    loop.train(config)
  # What the step before left is there, and sound.
  last, = (tmp_path / 'fold1' / 'checkpoints').iterdir()
  assert last.name == 'epoch-00000-step-0000001.npz'
  arrays = runs.arrays(last)
  del arrays['state']
  assert all(np.isfinite(value).all() for value in arrays.values())


def test_an_epoch_is_written_before_it_is_saved_as_done(whole):
  last = whole[2] / 'checkpoints' / f'epoch-{runs.EPOCHS:05d}.npz'
  assert (whole[2] /
          'history.csv').stat().st_mtime_ns <= last.stat().st_mtime_ns


def test_an_epoch_that_cannot_be_written_ends_the_next_one_early(
    records, tmp_path, monkeypatch):
  config = runs.configure(records, tmp_path, batch_size=4, steps_per_call=1)
  submitted, started = [], []

  class Executor(futures.ThreadPoolExecutor):

    def submit(self, *arguments):
      submitted.append(super().submit(*arguments))
      return submitted[-1]

  def fail(*_):
    raise errors.DataError('No space left on device')

  def start(running):
    if submitted[1:]:  # in the second epoch
      futures.wait(submitted)
    started.append(running.left)
    begin(running)

  begin = calls.Calls.start
  monkeypatch.setattr(loop.futures, 'ThreadPoolExecutor', Executor)
  monkeypatch.setattr(recorder.Recorder, 'finish_epoch', fail)
  monkeypatch.setattr(calls.Calls, 'start', start)
  with pytest.raises(errors.DataError, match='No space'):
    loop.train(config)
  # One call of the second epoch was started, the last of the first one before.
  assert started[-1] > 2 and started[-2] == 1
  assert not list((tmp_path / 'fold1' / 'checkpoints').iterdir())


def test_an_epoch_that_cannot_be_told_is_kept(records, tmp_path, monkeypatch):
  config = runs.configure(records, tmp_path, epochs=1)
  read, write = os.pipe()
  predict = evaluate.Evaluator.predict

  def count(*arguments):
    os.close(read)  # as `head` does
    return predict(*arguments)

  with pytest.raises(BrokenPipeError), monkeypatch.context() as patch:
    patch.setattr(evaluate.Evaluator, 'predict', count)
    with open(write, 'w', buffering=1, encoding='utf-8') as said:
      with contextlib.redirect_stdout(said):
        loop.train(config)
  said = io.StringIO()
  with contextlib.redirect_stdout(said):
    loop.train(config)
  assert 'Already trained, 1 epochs' in said.getvalue()


def test_a_score_that_stalls_lowers_the_rate_and_ends_the_run(
    whole, tmp_path, capsys):
  # So long a warm-up moves no weight: the first epoch stays the best.
  config = dataclasses.replace(whole[0],
                               workdir=str(tmp_path),
                               epochs=30,
                               warmup_epochs=1e12,
                               plateau_patience=1,
                               min_learning_rate=0.03,
                               stop_patience=3)
  summary = loop.train(config)
  history = pd.read_csv(tmp_path / 'fold1' / 'history.csv')
  # That of the last step of each epoch.
  rates = history['learning_rate'] / history['epoch'] * 1e12
  assert rates.tolist() == pytest.approx([0.1, 0.1, 0.05, 0.03])
  assert history['val_loss'].nunique() == 1
  best = json.loads((tmp_path / 'fold1' / 'best_metrics.json').read_text())
  assert (best['epoch'], summary['epoch']) == (1, 4)
  assert loop.train(config) == summary
  assert 'is finished' in capsys.readouterr().out


def test_a_run_that_is_continued_ends_the_same(whole, tmp_path, capsys):
  config = dataclasses.replace(whole[0], workdir=str(tmp_path))
  loop.train(dataclasses.replace(config, epochs=1))
  capsys.readouterr()
  loop.train(config)
  assert 'after epoch 1' in capsys.readouterr().out
  runs.assert_same_end(tmp_path / 'fold1', whole[2])


def test_paths_logging_and_staging_may_change(records, whole, tmp_path):
  moved = shutil.copytree(records, tmp_path / 'moved')
  config = dataclasses.replace(whole[0],
                               records=str(moved),
                               workdir=str(tmp_path / 'run'))
  loop.train(dataclasses.replace(config, epochs=1))
  (tmp_path / 'run').rename(tmp_path / 'other')
  moved.rename(tmp_path / 'again')
  loop.train(
      dataclasses.replace(config,
                          records=str(tmp_path / 'again'),
                          stage_dir=str(tmp_path / 'stage'),
                          workdir=str(tmp_path / 'other'),
                          cache='host',
                          steps_per_call=2,
                          checkpoint_steps=1,
                          profile=True))
  runs.assert_same_end(tmp_path / 'other' / 'fold1', whole[2])


def test_a_finished_run_says_so_and_gives_its_scores(whole, capsys):
  before = {path: path.stat().st_mtime_ns for path in whole[2].rglob('*')}
  assert loop.train(whole[0]) == whole[1]
  assert f'Fold 1 is finished, {runs.EPOCHS} epochs' in capsys.readouterr().out
  assert before == {p: p.stat().st_mtime_ns for p in whole[2].rglob('*')}


def test_a_finished_fold_that_is_extended_and_cut_off_is_not_finished(
    whole, tmp_path, monkeypatch):
  shutil.copytree(whole[2], tmp_path / 'fold1')
  config = dataclasses.replace(whole[0],
                               workdir=str(tmp_path),
                               epochs=runs.EPOCHS + 1)
  with monkeypatch.context() as cut_off:
    cut_off.setattr(loop.step.Stepper, 'train', _interrupt)
    with pytest.raises(KeyboardInterrupt):
      loop.train(config)
  with pytest.raises(errors.DataError, match='No finished fold'):
    finished_run.load(str(tmp_path))
  loop.train(dataclasses.replace(config, epochs=runs.EPOCHS))
  runs.assert_same_end(tmp_path / 'fold1', whole[2])
  loop.train(config)
  assert finished_run.load(
      str(tmp_path)).folds[0].metrics['epoch'] == runs.EPOCHS + 1


def _interrupt(*_):
  raise KeyboardInterrupt


def test_a_checkpoint_beyond_its_epoch_is_refused(whole, tmp_path):
  fold = shutil.copytree(whole[2], tmp_path / 'fold1')
  (fold / 'metrics.json').unlink()
  last = fold / 'checkpoints' / f'epoch-{runs.EPOCHS - 1:05d}.npz'
  arrays = runs.arrays(last)
  state = json.loads(str(arrays['state']))
  arrays['state'] = np.array(json.dumps({**state, 'step': 500}))
  (fold / 'checkpoints' / f'epoch-{runs.EPOCHS:05d}.npz').unlink()
  np.savez(last.with_stem(f'{last.stem}-step-0000500'), **arrays)
  with pytest.raises(errors.DataError,
                     match='is of step 500 of epoch 3, which'):
    loop.train(dataclasses.replace(whole[0], workdir=str(tmp_path)))


@pytest.mark.parametrize('left', ['checkpoints', 'history.csv'])
def test_a_run_whose_settings_are_lost_is_not_continued(whole, tmp_path, left):
  (tmp_path / 'fold1').mkdir()
  if left == 'checkpoints':
    shutil.copytree(whole[2] / left, tmp_path / 'fold1' / left)
  else:
    shutil.copy(whole[2] / left, tmp_path / 'fold1')
  before = sorted((tmp_path / 'fold1').rglob('*'))
  with pytest.raises(errors.DataError,
                     match=f'{tmp_path}/fold1/config.json is missing'):
    loop.train(dataclasses.replace(whole[0], workdir=str(tmp_path), seed=5))
  assert sorted((tmp_path / 'fold1').rglob('*')) == before


@pytest.mark.parametrize('text', ['', '{}', '[]'])
def test_scores_that_are_damaged_are_made_again(whole, tmp_path, text):
  shutil.copytree(whole[2], tmp_path / 'fold1')
  (tmp_path / 'fold1' / 'best_metrics.json').write_text(text)
  config = dataclasses.replace(whole[0], workdir=str(tmp_path))
  assert loop.train(config) == whole[1]
  runs.assert_same_end(tmp_path / 'fold1', whole[2])


def test_scores_that_are_lost_are_made_again(whole, tmp_path, capsys):
  shutil.copytree(whole[2], tmp_path / 'fold1')
  (tmp_path / 'fold1' / 'metrics.json').unlink()
  config = dataclasses.replace(whole[0], workdir=str(tmp_path))
  assert loop.train(config) == whole[1]
  assert f'Already trained, {runs.EPOCHS} epochs' in capsys.readouterr().out
  runs.assert_same_end(tmp_path / 'fold1', whole[2])


def test_a_finished_fold_that_lost_files_is_finished_again(
    whole, tmp_path, capsys):
  fold = shutil.copytree(whole[2], tmp_path / 'fold1')
  lost = [
      fold / 'checkpoints' / f'epoch-{runs.EPOCHS:05d}.npz', fold / 'about.json'
  ]
  for path in lost:
    path.unlink()
  config = dataclasses.replace(whole[0], workdir=str(tmp_path))
  assert loop.train(config) == whole[1]
  said = capsys.readouterr().out
  assert 'but a file is invalid' in said and 'Continuing' in said
  assert all(path.exists() for path in lost)
  runs.assert_same_end(fold, whole[2])


def test_a_history_that_is_lost_is_written_again(whole, tmp_path):
  fold = shutil.copytree(whole[2], tmp_path / 'fold1')
  (fold / 'history.csv').unlink()
  loop.train(dataclasses.replace(whole[0], workdir=str(tmp_path)))
  assert (fold / 'history.csv').read_bytes() == (whole[2] /
                                                 'history.csv').read_bytes()


_FULL = '''
import resource, runpy, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
sys.argv[:2] = ['trainer.main']
runpy.run_module('trainer.main', run_name='__main__')
'''


@pytest.mark.parametrize('most_bytes', [
    200_000,
    *(pytest.param(size, marks=pytest.mark.soak) for size in (2000, 2_000_000)),
])
def test_a_full_disk_is_one_line(whole, tmp_path, most_bytes):
  config = dataclasses.replace(whole[0], workdir=str(tmp_path), epochs=1)
  done = subprocess.run([
      sys.executable, '-c', _FULL,
      str(most_bytes), *runs.list_words(config)[2:]
  ],
                        capture_output=True,
                        text=True,
                        check=False)
  assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
  assert f'Cannot write to {tmp_path}/fold1' in done.stderr
  assert 'File too large' in done.stderr
  assert not list(tmp_path.rglob('*.tmp'))


def _kill_before(config, name):
  """Runs the command, and kills it before a checkpoint of that name."""
  done = subprocess.run(runs.command(config),
                        cwd=_ROOT,
                        env=signalled.environment(f'*/checkpoints/{name}', 1,
                                                  signal.SIGKILL),
                        capture_output=True,
                        check=False)
  assert done.returncode == -signal.SIGKILL, done.stderr


def test_a_program_that_is_not_deterministic_is_told(whole, tmp_path):
  config = dataclasses.replace(whole[0],
                               workdir=str(tmp_path),
                               deterministic=True)
  with pytest.raises(errors.DataError, match='enable_op_determinism'):
    loop.train(config)
  assert not list(tmp_path.iterdir())


def test_a_cache_that_is_chosen_is_told(records, tmp_path, capsys):
  loop.train(runs.configure(records, tmp_path, epochs=1, cache='auto'))
  assert '--cache=auto: all pixels are in the memory of the device.' in (
      capsys.readouterr().out)


def test_deterministic_runs_are_equal_and_say_what_is_not_measured(
    records, tmp_path):
  # In one that has imported TensorFlow, and in one as a user starts it.
  for name, python in (('one', prestarted.find_python()), ('two',
                                                           [sys.executable])):
    done = subprocess.run([
        *python, '-m', 'trainer.main', f'--records={records}',
        f'--workdir={tmp_path / name}', '--fold=1', f'--epochs={runs.EPOCHS}',
        '--batch_size=16', '--distribute=cpu', '--deterministic'
    ],
                          cwd=_ROOT,
                          check=False,
                          capture_output=True,
                          text=True)
    assert done.returncode == 0, done.stderr
    assert 'The wait for input is not measured' in done.stdout
  runs.assert_same_end(tmp_path / 'one' / 'fold1', tmp_path / 'two' / 'fold1')


# test_kill.py does the same with the indexed reader.
@pytest.mark.soak
@pytest.mark.parametrize('reader', ['streaming'])
def test_a_process_killed_inside_an_epoch_goes_on_with_the_next_batch(
    records, tmp_path, reader):
  config = runs.configure(records,
                          tmp_path / 'killed',
                          reader=reader,
                          batch_size=4,
                          steps_per_call=1,
                          checkpoint_steps=1)
  undisturbed = dataclasses.replace(config,
                                    workdir=str(tmp_path / 'whole'),
                                    checkpoint_steps=0)
  loop.train(undisturbed)
  _kill_before(config, 'epoch-00001-step-0000003.npz')
  said = runs.go_on(config)
  assert re.search('Continuing .* after epoch 1, step 2 of the next', said)
  assert 'f1_macro' in said
  runs.assert_same_end(tmp_path / 'killed' / 'fold1',
                       tmp_path / 'whole' / 'fold1')
  histories = [
      pd.read_csv(tmp_path / name / 'fold1' /
                  'history.csv').drop(columns=['images_per_s', 'input_wait'])
      for name in ('killed', 'whole')
  ]
  pd.testing.assert_frame_equal(*histories, check_exact=True)


@pytest.mark.parametrize('changes,message', [
    ({
        'seed': 1
    }, 'seed 0, not 1'),
    ({
        'activation': 'selu',
        'l2': 1e-5
    }, "activation 'prelu', not 'selu'; l2"),
    ({
        'epochs': 1
    }, f'started {runs.EPOCHS} epochs, more than --epochs=1; pass'),
    ({
        'fold': 5
    }, 'Expected --fold from 0 to 4, received 5'),
    ({
        'records': 'none'
    }, 'in none: manifest.json is missing'),
    ({
        'batch_size': 400_000
    }, 'at most 1,024, received 400,000: an epoch has'),
])
def test_what_does_not_fit_is_refused(whole, changes, message):
  before = {p: p.read_bytes() for p in whole[2].rglob('*') if p.is_file()}
  with pytest.raises(errors.DataError, match=message):
    loop.train(dataclasses.replace(whole[0], **changes))
  after = {p: p.read_bytes() for p in whole[2].rglob('*') if p.is_file()}
  assert all(before[path] == data
             for path, data in after.items()
             if 'tensorboard' not in str(path))


def test_other_records_are_refused(whole, tmp_path):
  records = fakes.write_records(tmp_path, 30, 32)
  with pytest.raises(errors.DataError, match='other settings: records'):
    loop.train(dataclasses.replace(whole[0], records=records))


def test_other_classes_and_channels_are_refused_by_name(whole, tmp_path):
  records = fakes.write_records(tmp_path, 30, 32, description=fakes.describe(2))
  before = sorted(whole[2].rglob('*'))
  with pytest.raises(errors.DataError) as caught:
    loop.train(dataclasses.replace(whole[0], records=records))
  said = str(caught.value)
  assert re.search(
      "other classes or channels .*classes: missing 'Nucleoplasm', .* and 23 "
      "more, unknown 'class 0', .* and 7 more; channels: missing 'red', .*"
      "unknown 'channel0', 'channel1'", said), said
  assert sorted(whole[2].rglob('*')) == before


@pytest.mark.parametrize('flags,message', [
    ([], 'pass --records=PATH'),
    (['--records=none', '--workdir=x'], 'in none: manifest.json is missing'),
    (['--records=none', '--workdir=x', '--epochs=0'], '--epochs from 1'),
    (['--flagfile=missing.flags'], 'missing.flags'),
    (['--activation=tanh'], 'tanh'),
])
def test_wrong_flags_end_with_one_line_and_exit_code_2(flags, message,
                                                       tmp_path):
  flags = [flag.replace('=x', f'={tmp_path}') for flag in flags]
  done = runs.call('-m', 'trainer.main', *flags)
  assert done.returncode == 2
  assert message in done.stderr and 'Traceback' not in done.stderr
