"""Killed, failed, repeated and split conversions give the same bytes."""

import os
import pathlib
import resource
import shutil
import signal
import subprocess
import sys
import time

import pytest

from hpa_records.conversion import convert
from hpa_records.conversion import shard_plan
from hpa_records.format import manifest
from hpa_records.inspection import verify
from hpa_records.runtime import errors
from hpa_records.runtime import json_text
from hpa_records.storage import filesystem
from hpa_records.storage import folders
from tests.support import fakes
from tests.support import prestarted
from tests.support import signalled

_ROOT = pathlib.Path(__file__).parents[3]
_SIZE_PX = 300  # two records a shard of 1 MiB
_NUM_SAMPLES = 120


@pytest.fixture(name='source', scope='module')
def _source(tmp_path_factory):
  return fakes.write_source(tmp_path_factory.mktemp('source'), _NUM_SAMPLES)


@pytest.fixture(name='undisturbed', scope='module')
def _undisturbed(source, tmp_path_factory):
  """Content of the dataset."""
  output = tmp_path_factory.mktemp('undisturbed') / 'records'
  assert _run_with_workers(source, output).returncode == 0
  return _content(output)


def _command(source, output, *flags):
  return [
      sys.executable, 'tools/make_records.py', f'--csv={source[0]}',
      f'--images={source[1]}', f'--output={output}', f'--image_size={_SIZE_PX}',
      '--shard_mb=1', *flags
  ]


def _start(source, output, *flags):
  return subprocess.Popen(_command(source, output, *flags),
                          cwd=_ROOT,
                          stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL)


def _run(source, output, *flags):
  words = _command(source, output, '--workers=1', *flags)
  return prestarted.run(words[1:])


def _run_with_workers(source, output, *flags, **kwargs):
  """The same as a user starts it, with a worker a core."""
  return subprocess.run(_command(source, output, *flags),
                        cwd=_ROOT,
                        capture_output=True,
                        text=True,
                        check=False,
                        **kwargs)


def _content(folder):
  return {
      str(path.relative_to(folder)): path.read_bytes()
      for path in folder.rglob('*')
      if path.is_file()
  }


def _assert_refused(done, message):
  assert done.returncode == 2, done.stderr
  lines = [line for line in done.stderr.splitlines() if '/s, ' not in line]
  assert len(lines) == 1 and message in lines[0], done.stderr


def test_valid_shards_are_kept(source, undisturbed, tmp_path):
  output = tmp_path / 'records'
  process = signalled.start_stopped(_command(source, output, '--workers=1'),
                                    '*.tfrecord', 4)
  process.kill()
  process.wait()
  kept = {path.name for path in output.glob('*.tfrecord')}
  before = {name: (output / name).stat().st_ino for name in kept}
  assert len(kept) == 3
  assert _run_with_workers(source, output).returncode == 0
  assert {name: (output / name).stat().st_ino for name in kept} == before
  assert _content(output) == undisturbed


def _half_done(source,
               output,
               monkeypatch,
               settings=shard_plan.Settings(image_size=_SIZE_PX, shard_mb=1),
               **how):
  """Makes all shards but the last, and no manifest, as a killed run leaves."""
  monkeypatch.setattr(convert.commit, 'complete', _interrupt)
  with pytest.raises(KeyboardInterrupt):
    convert.convert(*source, str(output), settings, convert.How(workers=1,
                                                                **how))
  monkeypatch.undo()
  last = sorted(output.glob('*.tfrecord'))[-1]
  last.unlink()


def _interrupt(*_):
  raise KeyboardInterrupt


@pytest.mark.parametrize('harm', [
    'flip',
    'input',
    pytest.param('cut', marks=pytest.mark.soak),
])
def test_a_kept_shard_must_match_its_sidecar(harm, undisturbed, tmp_path,
                                             monkeypatch):
  source = fakes.write_source(tmp_path, _NUM_SAMPLES)
  output = tmp_path / 'records'
  _half_done(source, output, monkeypatch)
  shard = sorted(output.glob('*.tfrecord'))[0]
  data = bytearray(shard.read_bytes())
  if harm == 'flip':
    data[1000] ^= 1
    shard.write_bytes(data)
  elif harm == 'cut':
    shard.write_bytes(data[:-1])
  else:  # the pixels of a sample change: other bytes are right now
    path = pathlib.Path(source[1]) / 's0_red.png'
    shutil.copy(pathlib.Path(source[1]) / 's1_red.png', path)
  assert _run(source, output).returncode == 0
  same = _content(output) == undisturbed
  assert same == (harm != 'input')
  fresh = tmp_path / 'fresh'
  assert _run(source, fresh).returncode == 0
  assert _content(output) == _content(fresh)


@pytest.mark.parametrize('encoding', ['raw', 'png'])
@pytest.mark.parametrize('changes', [
    {},
    {
        'offsets': [0, 2**70]
    },
    {
        'payloads': [2**70, 2**70]
    },
    {
        'payloads': [-1, 1],
    },
    {
        'payloads': [1, 1],
        'heads': [2**40, 2**40]
    },
    {
        'sums': [0] * 4
    },
    {
        'sums_of_squares': [2**90] * 4
    },
    {
        'inputs': [[[1, 1]] * 3] * 2
    },
    {
        'inputs': [[[2**70, 1]] * 4] * 2
    },
    {
        'bytes': 2**70
    },
],
                         ids=str)
def test_a_sidecar_that_does_not_fit_its_shard_is_ignored(
    encoding, changes, tmp_path, monkeypatch):
  source = fakes.write_source(tmp_path, 20)
  output = tmp_path / 'records'
  settings = shard_plan.Settings(image_size=_SIZE_PX,
                                 shard_mb=1,
                                 encoding=encoding)
  _half_done(source, output, monkeypatch, settings)
  path = sorted((output / '.unfinished').glob('fold*.json'))[0]
  kept = output / path.stem
  before = kept.stat().st_ino
  path.write_bytes(
      json_text.seal({
          **json_text.unseal(path.read_bytes()),
          **changes
      }))
  convert.convert(*source, str(output), settings, convert.How(workers=1))
  assert (kept.stat().st_ino == before) == (not changes)
  verify.verify(str(output), deep=True, workers=1)


@pytest.mark.parametrize('flags,differs', [
    (['--seed=1'], 'seed 0, requested 1'),
    (['--encoding=png', '--num_folds=4'
     ], "encoding 'raw', requested 'png'; num_folds 5, requested 4"),
])
def test_an_unfinished_folder_is_kept_from_other_settings(
    source, tmp_path, monkeypatch, flags, differs):
  output = tmp_path / 'records'
  _half_done(source, output, monkeypatch)
  before = _content(output)
  _assert_refused(_run(source, output, *flags), differs)
  assert _content(output) == before
  done = _run(source, output, *flags, '--overwrite')
  assert done.returncode == 0, done.stderr
  assert not (output / '.unfinished').exists()


def test_an_unfinished_folder_is_kept_from_another_csv(source, tmp_path,
                                                       monkeypatch):
  output = tmp_path / 'records'
  _half_done(source, output, monkeypatch)
  other = tmp_path / 'other.csv'
  lines = pathlib.Path(source[0]).read_text('utf-8').splitlines()
  other.write_text('\n'.join(lines[:-1]), 'utf-8')
  _assert_refused(_run((other, source[1]), output), '--csv of sha256')


def test_a_second_converter_stops_with_an_error(source, undisturbed, tmp_path):
  output = tmp_path / 'records'
  first = signalled.start_stopped(_command(source, output, '--workers=1'),
                                  '*.tfrecord', 1)
  _assert_refused(_run(source, output), 'Another conversion is running')
  _assert_refused(_run(source, output, '--only_shard=0'),
                  'Another conversion is running')
  first.send_signal(signal.SIGCONT)
  assert first.wait() == 0
  assert _content(output) == undisturbed


def test_workers_end_with_a_killed_converter(source, tmp_path):
  log = tmp_path / 'log'
  process = subprocess.Popen(  # pylint: disable=consider-using-with
      _command(source, tmp_path / 'records', '--workers=2'),
      cwd=_ROOT,
      env=signalled.environment('*.tfrecord', 1, 0, log=str(log)),
      stderr=subprocess.DEVNULL)
  _wait_until(log.exists)  # a worker is at work, and waits there
  workers = _children_of(process.pid)
  process.kill()
  process.wait()
  assert len(workers) >= 2
  _wait_until(lambda: not any(map(_is_alive, workers)))


def _wait_until(is_so):
  deadline = time.monotonic() + 240
  while not is_so():
    assert time.monotonic() < deadline
    time.sleep(0.02)


def _children_of(pid):
  tasks = pathlib.Path(f'/proc/{pid}/task').glob('*/children')
  return [
      int(child) for each in tasks for child in each.read_text('utf-8').split()
  ]


def _is_alive(pid):
  try:
    status = pathlib.Path(f'/proc/{pid}/status').read_text('utf-8')
    return 'State:\tZ' not in status
  except OSError:
    return False


def _limit_file_size():
  resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, 500_000))


def test_a_file_that_cannot_be_written_stops_in_one_line(
    source, undisturbed, tmp_path):
  output = tmp_path / 'records'
  done = _run_with_workers(source,
                           output,
                           '--workers=1',
                           preexec_fn=_limit_file_size)
  _assert_refused(done, 'File too large')
  assert 'finished shards are kept' in done.stderr
  assert not (output / 'manifest.json').exists()
  assert _run(source, output).returncode == 0
  assert _content(output) == undisturbed


@pytest.fixture(name='disk')
def _disk(tmp_path):
  """(folder, command that mounts a disk there and runs a script)."""
  disk = tmp_path / 'disk'
  disk.mkdir()
  unshare = ['unshare', '--map-root-user', '--mount', 'sh', '-c']
  if shutil.which('unshare') is None or subprocess.run(
      [*unshare, f'mount -t tmpfs none {disk}'],
      check=False,
      capture_output=True).returncode:
    pytest.skip('this machine lets no test mount a disk')
  return disk, lambda size_kb, script: [
      *unshare, f'mount -t tmpfs -o size={size_kb}k none {disk}\n{script}', 'sh'
  ]


def test_a_full_disk_is_an_error_before_the_first_shard(source, disk):
  disk, mounted = disk
  # Smaller than the images; how small does not matter.
  done = subprocess.run([
      *mounted(1000, f'"$@"; code=$?; ls {disk}/records; exit $code'),
      *_command(source, disk / 'records')
  ],
                        cwd=_ROOT,
                        capture_output=True,
                        text=True,
                        check=False)
  _assert_refused(done, 'Not enough free disk space')
  assert '.tfrecord' not in done.stdout


def test_an_old_dataset_is_kept_if_the_new_one_does_not_fit(source, disk):
  disk, mounted = disk
  old = ' '.join(_command(source, disk / 'records', '--image_size=16'))
  script = (f'{old} 2>/dev/null; "$@" --overwrite; code=$?; ls {disk}/records; '
            'exit $code')
  done = subprocess.run(
      [*mounted(1000, script), *_command(source, disk / 'records')],
      cwd=_ROOT,
      capture_output=True,
      text=True,
      check=False)
  _assert_refused(done, 'Not enough free disk space')
  assert 'manifest.json' in done.stdout


def test_a_disk_that_fills_up_is_a_one_line_error(source, disk):
  """On a real small disk, mounted where the test may do so."""
  disk, mounted = disk
  script = f'''"$@" & pid=$!
until grep -q 'State:.T' /proc/$pid/status; do sleep 0.02; done
head -c 100000000 /dev/zero > {disk}/other.bin 2>/dev/null; kill -CONT $pid
wait $pid; code=$?; ls {disk}/records; exit $code'''
  done = subprocess.run([
      *mounted(_NUM_SAMPLES * _SIZE_PX**2 * 4 // 1024 + 500, script),
      *_command(source, disk / 'records', '--workers=1')
  ],
                        cwd=_ROOT,
                        env=signalled.environment('*.tfrecord', 2,
                                                  signal.SIGSTOP),
                        capture_output=True,
                        text=True,
                        check=False)
  _assert_refused(done, 'No space left on device')
  assert '.tfrecord' in done.stdout and 'manifest.json' not in done.stdout


@pytest.mark.parametrize(
    'damage', [pathlib.Path.unlink, lambda path: path.write_bytes(b'x')])
def test_a_shard_removed_while_others_are_made_is_an_error(
    source, undisturbed, tmp_path, damage):
  output = tmp_path / 'records'
  process = signalled.start_stopped(_command(source, output, '--workers=1'),
                                    '*.tfrecord',
                                    4,
                                    stderr=subprocess.PIPE,
                                    text=True)
  damage(min(output.glob('*.tfrecord')))
  process.send_signal(signal.SIGCONT)
  _, said = process.communicate()
  assert process.returncode == 2 and not (output / 'manifest.json').exists()
  assert 'run the same command to convert it again' in said.splitlines()[-1]
  assert _run(source, output).returncode == 0
  assert _content(output) == undisturbed


def test_a_read_only_target_is_a_one_line_error(source):
  _assert_refused(_run(source, '/sys/records'), 'write to /sys/records')


def test_an_input_that_vanishes_is_named_and_valid_shards_stay(
    tmp_path, undisturbed):
  source = fakes.write_source(tmp_path, _NUM_SAMPLES)
  output = tmp_path / 'records'
  gone = pathlib.Path(source[1]) / 's7_blue.png'
  kept = gone.read_bytes(), gone.stat()
  process = signalled.start_stopped(_command(source, output, '--workers=1'),
                                    '*.tfrecord', 1)
  gone.unlink()
  process.send_signal(signal.SIGCONT)
  assert process.wait() == 2 and not (output / 'manifest.json').exists()
  assert len(list(output.glob('*.tfrecord'))) >= 29
  gone.write_bytes(kept[0])
  os.utime(gone, ns=(kept[1].st_atime_ns, kept[1].st_mtime_ns))
  assert _run(source, output).returncode == 0
  assert _content(output) == undisturbed


def test_shards_made_alone_are_the_same_dataset(source, undisturbed, tmp_path):
  content, output = undisturbed, tmp_path / 'records'
  count = sum(name.endswith('.tfrecord') for name in content)
  settings = shard_plan.Settings(image_size=_SIZE_PX, shard_mb=1)
  jobs = [_start(source, output, f'--only_shard={i}') for i in (3, 4, 5)]
  assert [job.wait() for job in jobs] == [0, 0, 0]
  assert not (output / 'manifest.json').exists()
  for i in range(count - 1):
    assert convert.convert(*source, str(output), settings,
                           convert.How(only_shard=i)) is None
  _assert_refused(_run(source, output, f'--only_shard={count}'),
                  f'of 0..{count - 1}, received {count}')
  done = _run(source, output)
  assert done.returncode == 0 and _content(output) == content


def test_beam_makes_the_same_bytes(source, undisturbed, tmp_path):
  done = _run(source, tmp_path / 'records', '--runner=beam',
              '--beam_options=--runner=FnApiRunner')
  assert done.returncode == 0, done.stderr
  assert _content(tmp_path / 'records') == undisturbed


def test_plan_only_checks_all_and_writes_nothing(source, undisturbed, tmp_path):
  output = tmp_path / 'records'
  done = _run(source, output, '--plan_only')
  assert done.returncode == 0, done.stderr
  lines = done.stdout.splitlines()
  assert lines[0] == f'{_NUM_SAMPLES} samples of 24 x 24 pixels'
  shards = sum(name.endswith('.tfrecord') for name in undisturbed)
  assert lines[-1].startswith(f'{_NUM_SAMPLES} records, {shards} shards, ')
  assert not output.exists()
  (tmp_path / 'bad.csv').write_text('Id,Target\ns0,99\n', 'utf-8')
  done = _run((tmp_path / 'bad.csv', source[1]), output, '--plan_only')
  assert done.returncode == 2 and "received '99'" in done.stderr
  assert not output.exists()


def test_an_address_gets_the_same_bytes(source, undisturbed):
  output = 'memory://bucket/records'
  convert.convert(*source, output,
                  shard_plan.Settings(image_size=_SIZE_PX, shard_mb=1))
  assert {
      name: filesystem.read_bytes(f'{output}/{name}')
      for name in folders.list_names(output, recursive=True)
  } == undisturbed


def test_a_folder_with_a_damaged_manifest_can_be_overwritten(source, tmp_path):
  output = tmp_path / 'records'
  settings = shard_plan.Settings(image_size=16)
  convert.convert(*source, str(output), settings, convert.How(workers=1))
  path = output / manifest.MANIFEST_NAME
  path.write_bytes(path.read_bytes()[:-20])
  with pytest.raises(errors.DataError, match='is damaged'):
    convert.convert(*source, str(output), settings)
  convert.convert(*source, str(output), settings,
                  convert.How(workers=1, overwrite=True))
  assert manifest.load(str(output)).num_records == _NUM_SAMPLES


def _damage(source, name):
  path = pathlib.Path(source[1]) / name
  data = bytearray(path.read_bytes())
  data[len(data) // 2] ^= 0x40  # the header is sound, the pixels are not
  path.write_bytes(data)


def test_a_conversion_with_skip_is_resumed(tmp_path, monkeypatch):
  source = fakes.write_source(tmp_path, _NUM_SAMPLES)
  sound = (pathlib.Path(source[1]) / 's7_blue.png').read_bytes()
  _damage(source, 's7_blue.png')
  output = tmp_path / 'records'
  _half_done(source, output, monkeypatch, on_error='skip')
  kept = {path: path.stat().st_ino for path in output.glob('*.tfrecord')}
  assert _run(source, output, '--on_error=skip').returncode == 0
  assert {path: path.stat().st_ino for path in kept} == kept
  fresh = tmp_path / 'fresh'
  assert _run(source, fresh, '--on_error=skip').returncode == 0
  assert _content(output) == _content(fresh)
  # What was mended meanwhile is not left out.
  _half_done(source, tmp_path / 'mended', monkeypatch, on_error='skip')
  (pathlib.Path(source[1]) / 's7_blue.png').write_bytes(sound)
  assert _run(source, tmp_path / 'mended', '--on_error=skip').returncode == 0
  assert manifest.load(str(tmp_path / 'mended')).num_records == _NUM_SAMPLES


@pytest.mark.parametrize('on_error', ['stop', 'skip'])
def test_unreadable_files_are_never_skipped(tmp_path, monkeypatch, on_error):
  source = fakes.write_source(tmp_path, 20)
  path = pathlib.Path(source[1]) / 's7_blue.png'
  lay_out = convert.planner.lay_out

  def vanish_then_lay_out(*args):  # after the input was checked
    path.rename(path.with_name('elsewhere'))
    return lay_out(*args)

  monkeypatch.setattr(convert.planner, 'lay_out', vanish_then_lay_out)
  output, how = tmp_path / 'records', convert.How(workers=1, on_error=on_error)
  settings = shard_plan.Settings(image_size=16)
  with pytest.raises(errors.DataError,
                     match='(?s)Cannot read all files.*s7_blue'):
    convert.convert(*source, str(output), settings, how)
  monkeypatch.undo()
  assert len(list(output.glob('*.tfrecord'))) == 4
  assert not (output / 'manifest.json').exists()
  path.with_name('elsewhere').rename(path)
  assert convert.convert(*source, str(output), settings, how).num_skipped == 0


@pytest.mark.parametrize('flag', [[], ['--on_error=skip']])
def test_a_disk_that_fails_to_read_stops(tmp_path, flag):
  source = fakes.write_source(tmp_path, 20)
  path = pathlib.Path(source[1]) / 's7_blue.png'
  path.unlink()
  path.symlink_to('/proc/self/mem')  # answers a read with EIO
  done = _run(source, tmp_path / 'records', *flag)
  assert done.returncode == 2 and 'Cannot read all files' in done.stderr
  assert 's7_blue.png' in done.stderr and 'Input/output error' in done.stderr
  assert not (tmp_path / 'records').exists()


def test_a_job_that_skips_leaves_its_shard_to_the_last_call(tmp_path):
  source = fakes.write_source(tmp_path, 10)
  for i in range(10):
    _damage(source, f's{i}_red.png')
  done = _run(source, tmp_path / 'records', '--only_shard=0', '--on_error=skip')
  assert done.returncode == 0 and 'was not made; the command' in done.stderr
  done = _run(source, tmp_path / 'records', '--on_error=skip')
  assert done.returncode == 2 and 'Invalid samples' in done.stderr
