"""verify: every damage is found and named."""

import os
import re

import cv2
import numpy as np
import pytest

from hpa_records.format import manifest
from hpa_records.format import tfrecord
from hpa_records.inspection import verify
from hpa_records.runtime import errors
from hpa_records.storage import filesystem
from tests.support import forgery
from tests.support import plain_dataset
from tests.support import specs


@pytest.mark.parametrize('deep', [False, True])
def test_a_valid_dataset_passes(sound, deep):
  found = verify.verify(str(sound), deep, workers=1)
  assert found.manifest.num_records == 20
  sizes = {path.name: path.stat().st_size for path in sound.iterdir()}
  assert found.num_bytes == sum(sizes.values()) - sizes['manifest.json']


def test_an_address_is_read_like_a_folder(copy):
  assert verify.verify(f'file://{copy}', deep=True, workers=1).num_bytes
  forgery.list_shards(copy)[1].unlink()
  assert forgery.list_issues(f'file://{copy}')[0].endswith('file not found')


@pytest.mark.parametrize('seed', range(4))
def test_any_flipped_byte_is_found_and_its_file_named(copy, seed):
  rng = np.random.default_rng(seed)
  names = sorted(path.name for path in copy.iterdir())
  assert len(names) == 9
  for flip in range(50):
    path = copy / names[flip % len(names)]
    whole = path.read_bytes()
    position = rng.integers(len(whole))
    damaged = bytearray(whole)
    damaged[position] ^= rng.integers(1, 256)
    path.write_bytes(damaged)
    issues = forgery.list_issues(copy)
    assert len(issues) == 1 and path.name in issues[0], (path, position)
    path.write_bytes(whole)
  verify.verify(str(copy), workers=1)


@pytest.mark.parametrize('keep', ['bytes', 'records'])
def test_a_truncated_shard_is_named(copy, keep):
  path = forgery.list_shards(copy)[2]
  offsets = [offset for offset, _ in tfrecord.read(str(path))]
  size = path.stat().st_size
  cut = offsets[-1] if keep == 'records' else size - 100
  path.write_bytes(path.read_bytes()[:cut])
  assert forgery.list_issues(copy) == [
      f'{path.name}: expected {size} bytes, received {cut}'
  ]


def test_an_empty_a_missing_and_an_extra_file_are_all_named(copy):
  paths = forgery.list_shards(copy)
  paths[0].write_bytes(b'')
  paths[3].unlink()
  (copy / 'features.json').unlink()
  (copy / 'notes').mkdir()
  (copy / 'notes' / 'a.txt').write_text('mine')
  (copy / 'fold9-00000-of-00001.tfrecord').write_bytes(b'')
  issues = forgery.list_issues(copy)
  assert len(issues) == 5
  assert issues[0].startswith(
      paths[0].name) and issues[0].endswith('received 0')
  assert f'{paths[3].name}: file not found' in issues
  assert 'features.json: file not found' in issues
  assert 'notes/a.txt: not a file of the dataset; remove it' in issues
  assert issues[3].startswith('fold9-00000-of-00001.tfrecord: not a file')


@pytest.mark.parametrize(
    'first,second',
    [('features.json', 'dataset_info.json'),
     ('fold0-00000-of-00001.tfrecord', 'fold3-00000-of-00001.tfrecord')])
def test_swapped_files_are_named(copy, first, second):
  (copy / first).rename(copy / 'kept')
  (copy / second).rename(copy / first)
  (copy / 'kept').rename(copy / second)
  issues = forgery.list_issues(copy)
  assert {line.partition(':')[0] for line in issues} == {first, second}


def test_a_file_with_the_bytes_of_another_is_named(copy):
  made = manifest.load(str(copy))
  (copy / 'features.json').write_bytes(
      (copy / 'dataset_info.json').read_bytes())
  assert forgery.list_issues(copy) == [
      f'features.json: expected sha256 {made.files["features.json"][:12]}..., '
      'received that of dataset_info.json'
  ]


def test_an_unfinished_folder_is_one_issue(copy):
  (copy / '.unfinished').mkdir()
  for name in 'ab':
    (copy / '.unfinished' / name).write_bytes(b'half')
  issues = forgery.list_issues(copy)
  assert len(issues) == 1 and issues[0].startswith('.unfinished/: ')
  assert 'run the same hpa-make-records command' in issues[0]


def test_no_more_than_20_issues_are_shown(copy):
  for i in range(25):
    (copy / f'extra{i}').write_bytes(b'')
  issues = forgery.list_issues(copy)
  assert len(issues) == 21 and issues[-1] == '... and 5 more'


def test_an_unreadable_file_is_named(copy, monkeypatch):
  read = filesystem.sha256

  def fail(path):
    if path.endswith('features.json'):
      raise OSError(5, 'Input/output error', path)
    return read(path)

  monkeypatch.setattr(filesystem, 'sha256', fail)
  issue, = forgery.list_issues(copy)
  assert issue.startswith('features.json: cannot be read: Input/output error; ')
  assert 'convert' not in issue


def test_tables_are_checked_when_hashes_are_right(copy):
  forgery.forge_index(copy, lambda index: index[:-1])
  assert forgery.list_issues(copy)[0].startswith(
      f'{copy}/index.parquet is not a valid index: expected 20 rows, '
      'received 19')
  (copy / 'index.parquet').unlink()
  forgery.forge_manifest(copy, num_records=21)
  assert forgery.list_issues(copy) == [
      'index.parquet: file not found',
      'manifest.json: expected 21 records, received shards with 20'
  ]


def test_a_set_without_labels_is_checked_too(tmp_path):
  folder = tmp_path / 'records'
  forgery.write_unlabelled(folder)
  assert verify.verify(str(folder), True, 1).manifest.num_records == 7
  forgery.forge_record(folder, id='S8')
  issue, = forgery.list_issues(folder, deep=True)
  assert issue.endswith(' as in index.parquet, received S8')


@pytest.mark.parametrize('name,old,new,message', [
    ('features.json', '"16"', '"32"', 'featuresDict does not match'),
    ('dataset_info.json', '{SPLIT}-', '../x/{SPLIT}-', 'splits does not match'),
    ('dataset_info.json', '"fileFormat"', '"other"',
     'fileFormat does not match'),
    ('features.json', '{', '{"type": "os.X",', "unknown key 'type'"),
    ('dataset_info.json', '{', '{"file_format": "x",', "key 'file_format'"),
    ('dataset_info.json', '"hpa_records"', '[]', 'name: received'),
    ('features.json', '{', '[', "expecting|Expecting"),
    ('features.json', '{', '{' + ' ' * 10**5, 'too large for these records'),
    ('dataset_info.json', 'Human', 'Mouse', None),
])
def test_files_of_tensorflow_datasets_are_checked(copy, name, old, new,
                                                  message):
  path = copy / name
  path.write_text(path.read_text().replace(old, new, 1))
  forgery.forge_content(
      copy,
      lambda said: said['files'].update({name: filesystem.sha256(str(path))}))
  if not message:
    verify.verify(str(copy), workers=1)
    return
  issue, = forgery.list_issues(copy)
  assert re.match(f'{name}: .*({message})', issue)


def test_files_elsewhere_are_not_of_a_dataset(copy, tmp_path_factory):
  other = tmp_path_factory.mktemp('other') / 'secret'
  other.write_text('x')
  digest = filesystem.sha256(str(other))
  name = os.path.relpath(other, copy)
  forgery.forge_content(copy, lambda said: said['files'].update({name: digest}))
  with pytest.raises(errors.DataError, match='unknown file'):
    verify.verify(str(copy), workers=1)


def test_a_shard_may_be_a_link_and_file_browsers_leave_files(copy, tmp_path):
  path = forgery.list_shards(copy)[0]
  path.rename(tmp_path.with_name('other_disk'))
  path.symlink_to(tmp_path.with_name('other_disk'))
  (copy / '.DS_Store').write_bytes(b'x')
  (copy / f'._{path.name}').write_bytes(b'x')
  verify.verify(str(copy), deep=True, workers=1)


@pytest.mark.parametrize('make', [os.mkfifo, os.mkdir])
def test_folders_and_pipes_are_named_and_do_not_block(copy, make):
  path = forgery.list_shards(copy)[1]
  path.unlink()
  make(path)
  issue, = forgery.list_issues(copy)
  assert issue.endswith(': not a file but a folder, a pipe or a device')


def test_a_file_far_too_large_is_not_hashed(copy):
  with open(copy / 'features.json', 'ab') as file:
    file.truncate(2**42)
  issue, = forgery.list_issues(copy)
  assert 'features.json: expected at most 67108864 bytes' in issue


def test_messages_have_no_control_characters(copy):
  index = manifest.load_index(str(copy), manifest.load(str(copy)))
  forgery.forge_record(copy, id='\x1b' * len(index['id'][0]))
  issue, = forgery.list_issues(copy, deep=True)
  assert 'a plain name without path parts' in issue and '\x1b' not in issue


def test_the_caller_keeps_its_threads(sound):
  before = cv2.getNumThreads()
  verify.verify(str(sound), deep=True, workers=1)
  assert cv2.getNumThreads() == before


def test_a_folder_that_cannot_be_listed_is_an_issue(copy, monkeypatch):
  (copy / 'mine').mkdir()
  scandir = os.scandir

  def refuse(path):
    if os.path.basename(path) == 'mine':
      raise PermissionError(13, 'Permission denied', path)
    return scandir(path)

  monkeypatch.setattr(os, 'scandir', refuse)
  assert forgery.list_issues(copy) == [
      'mine/: cannot be read: Permission denied; check the permissions of the '
      'file and of the folders above it'
  ]


def test_a_name_with_a_newline_stays_on_its_line(copy):
  (copy / 'mine\n20 records are valid.').touch()
  assert forgery.list_issues(copy) == [
      'mine\\n20 records are valid.: not a file of the dataset; remove it'
  ]


@pytest.mark.parametrize('num_channels,num_classes,encoding',
                         [(1, 1, 'png'), (3, 65, 'png'), (5, 200, 'raw'),
                          (16, 2000, 'raw')])
def test_any_channels_and_classes_are_verified(tmp_path, num_channels,
                                               num_classes, encoding):
  spec = specs.make(8, num_channels, num_classes, encoding)
  labels = [[i % num_classes] for i in range(6)] + [[]]
  folder = plain_dataset.write(tmp_path, spec, labels, plates=True)
  assert verify.verify(str(folder), deep=True,
                       workers=1).manifest.num_records == 7
  wrong = 1 - spec.multi_hot([labels[0]])[0]
  forgery.forge_record(folder, labels=wrong)
  issue, *_ = forgery.list_issues(folder, deep=True)
  assert 'expected labels [1' in issue and 'received [0' in issue
