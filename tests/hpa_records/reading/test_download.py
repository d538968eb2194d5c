"""download: verified copies of a dataset from an S3 server."""

import contextlib
import http.server
import io
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pandas as pd
import pytest

from hpa_records.format import manifest
from hpa_records.reading import download
from hpa_records.runtime import errors
from hpa_records.storage import driver
from hpa_records.storage import file_lock
from tests.support import fakes
from tests.support import forgery
from tests.support import signalled
from trainer import config as config_lib
from trainer.training import cross_validation
from trainer.training import loop

_ROOT = pathlib.Path(__file__).parents[3]
_STAGE = ('import sys; from hpa_records.reading import download; '
          'download.stage(*sys.argv[1:])')


@pytest.fixture(name='records', scope='module')
def _records(tmp_path_factory):
  folder = tmp_path_factory.mktemp('staging')
  return pathlib.Path(fakes.write_records(folder, 40, 32))


@pytest.fixture(name='address')
def _address(records, store, request, monkeypatch):
  """The records in a bucket of the test's own."""
  for name, value in store.environment.items():
    monkeypatch.setenv(name, value)
  bucket = ''.join(c if c.isalnum() else '-' for c in request.node.name.lower())
  return store.upload(records, bucket[-60:].strip('-'))


def _content(folder):
  return {path.name: path.read_bytes() for path in folder.iterdir()}


def _times(folder):
  return {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}


def _key(address, name):
  bucket, _, folder = address.removeprefix('s3://').partition('/')
  return {'Bucket': bucket, 'Key': f'{folder}/{name}'}


def _stage(*arguments):
  return pathlib.Path(download.stage(*map(str, arguments)))


def test_a_dataset_is_downloaded_once(records, address, tmp_path):
  copy = _stage(address, tmp_path)
  assert copy.name == manifest.load(str(records)).fingerprint
  assert _content(copy) == _content(records)
  before = _times(copy)
  assert _stage(address, tmp_path) == copy
  del before['manifest.json']
  assert before.items() <= _times(copy).items()


def test_damaged_and_missing_files_are_downloaded_again(records, address,
                                                        tmp_path):
  copy = _stage(address, tmp_path)
  first, second, third = sorted(copy.glob('*.tfrecord'))[:3]
  data = bytearray(first.read_bytes())
  data[len(data) // 2] ^= 1
  first.write_bytes(data)
  second.unlink()
  third.write_bytes(third.read_bytes()[:-1])
  (copy / 'index.parquet').write_bytes(b'')
  _stage(address, tmp_path)
  assert _content(copy) == _content(records)


def test_only_requested_shards_are_downloaded(records, address, tmp_path):
  names = [shard.name for shard in manifest.load(str(records)).shards[1:3]]
  copy = pathlib.Path(download.stage(address, str(tmp_path), names))
  assert sorted(path.name for path in copy.glob('*.tfrecord')) == names
  assert (copy / 'index.parquet').exists()
  with pytest.raises(errors.DataError, match="has no shard 'fold9'"):
    download.stage(address, str(tmp_path), ['fold9'])


def test_a_killed_download_is_resumed(records, address, tmp_path):
  copy = tmp_path / manifest.load(str(records)).fingerprint
  killed = subprocess.run(
      [sys.executable, '-c', _STAGE, address,
       str(tmp_path)],
      env=signalled.environment('*.tfrecord', 3, signal.SIGKILL),
      check=False)
  assert killed.returncode == -signal.SIGKILL
  assert not (copy / 'manifest.json').exists()
  assert len(list(copy.glob('*.tfrecord'))) == 2
  before = {n: t for n, t in _times(copy).items() if not n.endswith('.tmp')}
  assert before
  _stage(address, tmp_path)
  assert before.items() <= _times(copy).items()
  assert _content(copy) == _content(records)


def test_a_flipped_byte_on_the_server_is_refused(records, store, address,
                                                 tmp_path):
  name = 'fold2-00000-of-00001.tfrecord'
  data = bytearray((records / name).read_bytes())
  data[1000] ^= 1
  store.client().put_object(**_key(address, name), Body=bytes(data))
  with pytest.raises(errors.DataError, match=f'Expected {name} with sha256'):
    _stage(address, tmp_path)
  left = {path.name for path in tmp_path.rglob('*')}
  assert not left & {name, 'manifest.json'}
  assert not any(each.endswith('.tmp') for each in left)


@pytest.mark.parametrize(
    'name', ['fold2-00000-of-00001.tfrecord', 'index.parquet', 'manifest.json'])
def test_a_missing_object_is_named(store, address, tmp_path, name):
  store.client().delete_object(**_key(address, name))
  with pytest.raises(errors.DataError,
                     match=f'{address}/{name} does not exist'):
    _stage(address, tmp_path)


def test_a_changed_manifest_is_refused(records, store, address, tmp_path):
  data = (records / 'manifest.json').read_bytes()
  store.client().put_object(**_key(address, 'manifest.json'),
                            Body=data.replace(b'40', b'41', 1))
  with pytest.raises(errors.DataError,
                     match=f'{address}/manifest.json was changed'):
    _stage(address, tmp_path)


def test_other_schemes_give_the_same_copy(records, store, address, tmp_path):
  public = f'{store.endpoint}/{address.removeprefix("s3://")}'
  for i, source in enumerate((public, records.as_uri(), records)):
    assert _content(_stage(source, tmp_path / str(i))) == _content(records)


@pytest.mark.parametrize('source,message', [
    ('http://127.0.0.1:9/records',
     'Cannot access http://127.0.0.1:9/records/manif'
     'est.json: ClientConnectorError'),
    ('nowhere://x', r'of s3://, gs://, .*https:// or another .* nowhere://x'),
    ('/nowhere/records',
     'Cannot read /nowhere/records/manifest.json: No such file'),
])
def test_unreadable_addresses_are_a_one_line_error(monkeypatch, tmp_path,
                                                   source, message):
  monkeypatch.setattr(driver, 'FIRST_S', 1.0)
  with pytest.raises(errors.DataError, match=message) as told:
    _stage(source, tmp_path)
  assert '\n' not in str(told.value)


def test_a_bucket_without_rights_is_an_error(store, address, tmp_path):
  store.client().put_object_acl(**_key(address, 'manifest.json'), ACL='private')
  public = f'{store.endpoint}/{address.removeprefix("s3://")}'
  with pytest.raises(errors.DataError, match='Access to .* is denied .*403'):
    _stage(public, tmp_path)


def test_a_full_disk_is_an_error_before_the_download(monkeypatch, records,
                                                     tmp_path):
  usage = type('Usage', (), {'free': 10**6})
  monkeypatch.setattr(shutil, 'disk_usage', lambda path: usage)
  with pytest.raises(errors.DataError,
                     match=r'for .*: 67\.\d MB are needed, 1\.0 MB are free'):
    _stage(records, tmp_path)
  assert not list(tmp_path.rglob('*.tfrecord'))


def test_a_file_in_place_of_the_folder_is_refused(records, tmp_path):
  (tmp_path / 'file').write_text('')
  with pytest.raises(errors.DataError,
                     match='Cannot write to .*Not a directory.*--stage_dir'):
    _stage(records, tmp_path / 'file')


def test_processes_take_turns(records, tmp_path):
  fingerprint = manifest.load(str(records)).fingerprint
  done = threading.Thread(target=_stage, args=(records, tmp_path))
  (tmp_path / fingerprint).mkdir()
  # Not capsys: what a thread writes while it is read may be lost.
  with file_lock.hold(f'{tmp_path / fingerprint}.lock',
                      'busy'), contextlib.redirect_stderr(
                          io.StringIO()) as said:
    done.start()
    while 'Waiting for another process' not in said.getvalue():
      assert done.is_alive()
      time.sleep(0.01)
    assert not list((tmp_path / fingerprint).iterdir())
  done.join()
  assert _content(tmp_path / fingerprint) == _content(records)


@pytest.mark.parametrize('train', [
    loop.train,
    pytest.param(cross_validation.train, marks=pytest.mark.soak),
])
def test_training_downloads_first(records, address, tmp_path, train):
  config = config_lib.Config(records=address,
                             stage_dir=str(tmp_path / 'copies'),
                             workdir=str(tmp_path / 'run'),
                             epochs=1,
                             batch_size=16,
                             distribute='cpu')
  train(config)
  history = pd.read_csv(tmp_path / 'run' / 'fold0' / 'history.csv')
  assert np.isfinite(history['val_loss']).all()
  copy, = (tmp_path / 'copies').glob('*/')
  assert _content(copy) == _content(records)


@pytest.fixture(name='source')
def _source(records, tmp_path):
  """A copy of the records in a local folder, to forge."""
  return pathlib.Path(shutil.copytree(records, tmp_path / 'source'))


@pytest.mark.parametrize('name', [
    '../outside', '/tmp/outside', 'a/../../outside', '..\\outside',
    'Index.parquet', 'index.parquet.0123abcd.tmp', '.lock', ''
])
def test_no_name_leads_out_of_the_folder(source, tmp_path, name):
  forgery.forge_content(source,
                        lambda said: said['files'].update({name: '0' * 64}))
  with pytest.raises(errors.DataError, match='unknown file'):
    _stage(source, tmp_path / 'stage')
  assert not (tmp_path / 'stage').exists()


def test_a_link_in_the_stage_dir_is_refused_and_its_target_is_kept(
    records, tmp_path):
  made = manifest.load(str(records))
  stage, target = tmp_path / 'stage', tmp_path / 'mine'
  copy = stage / made.fingerprint
  target.write_text('mine')
  copy.mkdir(parents=True)
  for link in (copy / made.shards[0].name, copy / 'index.parquet',
               copy / 'manifest.json'):
    link.symlink_to(target)
    with pytest.raises(errors.DataError, match=f'{link} is a link'):
      _stage(records, stage)
    link.unlink()
  copy.rmdir()
  copy.symlink_to(tmp_path)
  with pytest.raises(errors.DataError, match=f'{copy} is a link'):
    _stage(records, stage)
  copy.unlink()
  lock = stage / f'{made.fingerprint}.lock'
  lock.unlink(missing_ok=True)
  lock.symlink_to(target)
  with pytest.raises(errors.DataError,
                     match=f'a link that must not be followed.*{lock}'):
    _stage(records, stage)
  assert target.read_text() == 'mine'


@pytest.mark.parametrize('scheme', ['', 'file://', 'local://'])
def test_a_pipe_does_not_block(source, tmp_path, scheme):
  name = manifest.load(str(source)).shards[0].name
  (source / name).unlink()
  os.mkfifo(source / name)
  with pytest.raises(errors.DataError, match=f'{name}: a pipe or a device'):
    _stage(f'{scheme}{source}', tmp_path / 'stage')
  (source / 'manifest.json').unlink()
  os.mkfifo(source / 'manifest.json')
  with pytest.raises(errors.DataError,
                     match='manifest.json: a pipe or a device'):
    _stage(f'{scheme}{source}', tmp_path / 'stage')


def test_reading_stops_at_the_maximum_size(source, tmp_path):
  shard = source / manifest.load(str(source)).shards[0].name
  with open(shard, 'ab') as file:
    file.truncate(2**41)
  with pytest.raises(errors.DataError, match='a file that is too large'):
    _stage(source, tmp_path / 'stage')
  with open(source / 'manifest.json', 'ab') as file:
    file.truncate(2**41)
  with pytest.raises(errors.DataError, match='is too large for a manifest'):
    _stage(source, tmp_path / 'stage')


def test_temporary_files_of_killed_downloads_are_removed(records, tmp_path):
  copy = tmp_path / manifest.load(str(records)).fingerprint
  copy.mkdir()
  (copy / 'index.parquet.0123abcd.tmp').write_text('half')
  (copy / 'mine.0123abcd.tmp').write_text('mine')
  _stage(records, tmp_path)
  assert {path.name for path in copy.glob('*.tmp')} == {'mine.0123abcd.tmp'}


@pytest.fixture(name='server')
def _server():
  """Answers 500 below /broken, nothing more below /silent after the head, below
  /ranges what it is asked for and more, and all else without an end."""
  is_over = threading.Event()

  class Handler(http.server.BaseHTTPRequestHandler):

    def do_GET(self):
      if self.path.startswith('/ranges'):
        self.answer_ranges()
        return
      self.send_response(500 if self.path.startswith('/broken') else 200)
      self.end_headers()
      if self.path.startswith('/silent') and self.command == 'GET':
        self.wfile.write(b'{')
        is_over.wait(30)
        return
      with contextlib.suppress(OSError):
        while not self.path.startswith('/broken'):
          self.wfile.write(bytes(2**20))

    def answer_ranges(self):
      """Says that a file is short, and answers each part of it without end."""
      is_part = 'Range' in self.headers
      self.send_response(206 if is_part else 200)
      self.send_header('Accept-Ranges', 'bytes')
      if self.command == 'HEAD':
        self.send_header('Content-Length', '5000')
      elif is_part:
        self.send_header('Content-Range', 'bytes 0-4999/5000')
      self.end_headers()
      with contextlib.suppress(OSError):
        while self.command == 'GET':
          self.wfile.write(bytes(2**20))

    do_HEAD = do_GET

    def log_message(self, *_):  # pylint: disable=arguments-differ
      pass

  with http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler) as server:
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f'http://127.0.0.1:{server.server_port}'
    is_over.set()
    server.shutdown()


@pytest.mark.parametrize('folder,message',
                         [('endless', 'is too large'),
                          ('ranges', 'is too large'),
                          ('broken', 'server of .* failed .*500')])
def test_endless_and_broken_responses_are_errors(server, monkeypatch, tmp_path,
                                                 folder, message):
  monkeypatch.setattr(driver, 'FIRST_S', 1.0)
  with pytest.raises(errors.DataError, match=message):
    download.stage(f'{server}/{folder}', str(tmp_path))


def test_a_server_that_stops_sending_is_an_error(server, monkeypatch, tmp_path):
  monkeypatch.setattr(driver, 'SILENCE_S', 0.3)
  with pytest.raises(errors.DataError, match='No answer in time .*manifest'):
    download.stage(f'{server}/silent', str(tmp_path))
