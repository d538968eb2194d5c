"""tfrecord: cut points, names, and frames that TensorFlow reads."""

import struct

import numpy as np
import pytest

from hpa_records.format import ordering
from hpa_records.format import tfrecord
from hpa_records.runtime import errors
from hpa_records.runtime.tensorflow import tf

_RECORDS = [b'', b'one', b'two' * 1000, bytes(range(256))]


@pytest.fixture(name='path')
def _path(tmp_path):
  return str(tmp_path / 'fold0-00000-of-00001.tfrecord')


def _write(path):
  return tfrecord.write(
      path, [(r[:2], np.frombuffer(r[2:], np.uint8)) for r in _RECORDS])


def test_tensorflow_reads_the_same_records(path):
  _write(path)
  found = list(tf.data.TFRecordDataset(path).as_numpy_iterator())
  assert found == _RECORDS


def test_bytes_are_those_of_tensorflows_writer(path, tmp_path):
  _write(path)
  theirs = tmp_path / 'theirs'
  with tf.io.TFRecordWriter(str(theirs)) as writer:
    for data in _RECORDS:
      writer.write(data)
  with open(path, 'rb') as ours:
    assert ours.read() == theirs.read_bytes()


def test_written_has_offsets_and_sizes(path):
  written = _write(path)
  assert [offset for offset, _ in tfrecord.read(path)
         ] == written.offsets.tolist()
  assert [data for _, data in tfrecord.read(path)] == _RECORDS
  assert written.offsets[-1] + written.sizes[-1] == written.num_bytes


@pytest.mark.parametrize('position', [0, 9, 14, 40, 3100, -1])
def test_a_flipped_byte_is_found(path, position):
  _write(path)
  with open(path, 'rb') as file:
    data = bytearray(file.read())
  data[position] ^= 0x10
  with open(path, 'wb') as file:
    file.write(data)
  with pytest.raises(errors.DataError, match='damaged record at byte'):
    list(tfrecord.read(path))


@pytest.mark.parametrize('position,wrong', [
    (0, 'its frame does not start with the length 26 '),
    (11, 'its frame does not start with the length 26 '),
    (20, 'its CRC-32C is '),
    (-1, 'its CRC-32C is '),
])
def test_issues_of_a_frame_in_pieces_are_described(path, position, wrong):
  tfrecord.write(path, [(bytes(range(26)),)])
  frame = np.fromfile(path, np.uint8)
  assert not tfrecord.find_issue(np.split(frame, [14, 30]))
  frame[position] ^= 0x10
  assert tfrecord.find_issue(np.split(frame, [14, 30])).startswith(wrong)


def test_a_truncated_shard_is_found(path):
  _write(path)
  with open(path, 'r+b') as file:
    file.truncate(3030)
  with pytest.raises(errors.DataError, match='damaged record at byte 35'):
    list(tfrecord.read(path))


def test_failed_write_leaves_nothing(path, tmp_path):

  def records():
    yield (b'one',)
    raise RuntimeError('source ended')

  with pytest.raises(RuntimeError, match='source ended'):
    tfrecord.write(path, records())
  assert not list(tmp_path.iterdir())


def test_hash_order_depends_on_keys_and_salt_not_on_input_order():
  keys = [f's{i}' for i in range(50)]
  forward = [keys[i] for i in ordering.hash_order(keys, 0)]
  backward = [keys[::-1][i] for i in ordering.hash_order(keys[::-1], 0)]
  assert forward == backward
  assert forward != [keys[i] for i in ordering.hash_order(keys, 1)]
  assert sorted(forward) == sorted(keys) and forward != keys


@pytest.mark.parametrize('count,most', [(1, 1), (10, 3), (375, 375), (376, 375),
                                        (0, 5), (1000, 7)])
def test_cuts_are_even_and_cover(count, most):
  cuts = tfrecord.cut(count, most)
  sizes = [stop - start for start, stop in cuts]
  assert sum(sizes) == count
  assert [start for start, _ in cuts[1:]] == [stop for _, stop in cuts[:-1]]
  assert max(sizes, default=0) <= most
  assert max(sizes, default=0) - min(sizes, default=0) <= 1
  assert len(cuts) == -(-count // most)


def test_file_name():
  name = tfrecord.file_name('fold2', 3, 12)
  assert name == 'fold2-00003-of-00012.tfrecord'


def _frame_of(length):
  head = struct.pack('<Q', length)
  return head + tfrecord.checksum([head]) + b'abcd'


@pytest.mark.parametrize('length', [2**60, 2**64 - 1, 2**36, 5])
def test_a_length_beyond_the_file_is_refused(tmp_path, length):
  (tmp_path / 'a').write_bytes(_frame_of(length))
  with pytest.raises(errors.DataError, match='damaged record at byte 0'):
    list(tfrecord.read(str(tmp_path / 'a')))
  assert not tfrecord.has_frames(str(tmp_path / 'a'), [0], [20])


def test_a_record_longer_than_the_longest_is_not_read(tmp_path):
  with open(tmp_path / 'a', 'wb') as file:
    file.write(_frame_of(2**40))
    file.truncate(2**41)
  with pytest.raises(errors.DataError, match='damaged record at byte 0'):
    list(tfrecord.read(str(tmp_path / 'a'), most_bytes=10**6))


def test_frames_are_compared_with_an_index(path):
  written = _write(path)
  offsets, sizes = written.offsets.tolist(), written.sizes.tolist()
  assert tfrecord.has_frames(path, offsets, sizes)
  assert not tfrecord.has_frames(path, offsets, [sizes[0] + 1, *sizes[1:]])
  assert not tfrecord.has_frames(path, [written.num_bytes], [16])
