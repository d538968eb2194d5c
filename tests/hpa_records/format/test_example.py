"""example: encoding and decoding, compared with tf.train.Example."""

import hypothesis
from hypothesis import strategies as st
import numpy as np
import pytest

from hpa_records.format import example as example_lib
from hpa_records.runtime import errors
from hpa_records.runtime import printable
from hpa_records.runtime.tensorflow import tf

_SAMPLES = st.builds(
    example_lib.Sample,
    id=st.text(
        min_size=1,
        max_size=200).filter(lambda text: not printable.find_name_issue(text)),
    image=st.binary(max_size=70000),
    fold=st.integers(0, 300),
    labels=st.lists(st.integers(0, 1), min_size=28,
                    max_size=28).map(lambda x: np.array(x, np.int64)),
    repeats=st.lists(st.floats(0, 2**20, width=32), min_size=1,
                     max_size=10).map(lambda x: np.array(x, np.float32)))


def _bytes(sample):
  return example_lib.encode_head(sample) + bytes(sample.image)


@hypothesis.given(_SAMPLES)
@hypothesis.settings(deadline=None, max_examples=100)
def test_tensorflow_reads_what_we_write(sample):
  feature = tf.train.Example.FromString(_bytes(sample)).features.feature
  assert feature['id'].bytes_list.value == [sample.id.encode()]
  assert feature['image'].bytes_list.value == [sample.image]
  assert feature['fold'].int64_list.value == [sample.fold]
  assert feature['labels'].int64_list.value == sample.labels.tolist()
  assert feature['repeats'].float_list.value == sample.repeats.tolist()
  assert set(feature) == {'id', 'image', 'fold', 'labels', 'repeats'}


@hypothesis.given(_SAMPLES)
@hypothesis.settings(deadline=None, max_examples=100)
def test_we_read_what_tensorflow_writes(sample):
  example = tf.train.Example()
  feature = example.features.feature
  feature['image'].bytes_list.value.append(sample.image)
  feature['repeats'].float_list.value.extend(sample.repeats)
  feature['labels'].int64_list.value.extend(sample.labels)
  feature['fold'].int64_list.value.append(sample.fold)
  feature['id'].bytes_list.value.append(sample.id.encode())
  found = example_lib.decode(example.SerializeToString(), 28)
  assert (found.id, bytes(found.image), found.fold) == (sample.id, sample.image,
                                                        sample.fold)
  np.testing.assert_array_equal(found.labels, sample.labels)
  np.testing.assert_array_equal(found.repeats, sample.repeats)


def test_image_is_the_tail_of_the_record():
  sample = example_lib.Sample('a', b'pixels', 1, np.zeros(28), np.ones(5))
  assert _bytes(sample)[len(example_lib.encode_head(sample)):] == b'pixels'


def test_unlabelled_sample_has_id_and_image_only():
  data = _bytes(example_lib.Sample('a', b'xyz'))
  feature = tf.train.Example.FromString(data).features.feature
  assert set(feature) == {'id', 'image'}
  assert example_lib.decode(data,
                            28) == example_lib.Sample('a', memoryview(b'xyz'))


@pytest.mark.parametrize('data', [b'', b'\xff', b'hello', b'\n\x05abc'])
def test_other_bytes_are_refused(data):
  with pytest.raises(errors.DataError, match='not a tf.train.Example'):
    example_lib.decode(data, 28)


def _varint(value):
  out = bytearray()
  while value > 0x7f:
    out.append(value & 0x7f | 0x80)
    value >>= 7
  return bytes([*out, value])


def _field(number, content):
  return _varint(number << 3 | 2) + _varint(len(content)) + content


def _feature(key, kind, content):
  value = _field(kind, content)
  return _field(1, _field(1, key.encode()) + _field(2, value))


_SOUND = {
    'id': (1, _field(1, b'a')),
    'fold': (3, _field(1, b'\2')),
    'labels': (3, _field(1, bytes(28))),
    'repeats': (2, _field(1, bytes(20))),
    'image': (1, _field(1, b'xyz')),
}


def _example(**changes):
  entries = {**_SOUND, **changes}
  return _field(
      1, b''.join(
          _feature(key, *entry) for key, entry in entries.items() if entry))


def test_the_handmade_example_is_valid():
  assert example_lib.decode(_example(), 28).fold == 2
  unpacked = (3, b''.join(b'\x08' + _varint(k % 2) for k in range(28)))
  assert example_lib.decode(_example(labels=unpacked), 28).labels.sum() == 14
  negative = (3, _field(1, _varint(2**64 - 1)))
  assert example_lib.decode(_example(fold=negative), 28).fold == -1


_INF = np.array([np.inf], '<f4').tobytes()


@pytest.mark.parametrize('changes', [
    {'id': (1, b'\x08' + _varint(2**29))},
    {'id': (1, b'\x08' + _varint(2**70))},
    {'id': (1, _field(1, b'a') * 2)},
    {'id': (1, _field(1, b'\xff'))},
    {'id': (1, _field(1, b'a\x1b[2J'))},
    {'id': (1, _field(1, b'../a'))},
    {'id': None},
    {'fold': (2, _field(1, _INF))},
    {'fold': (3, _field(1, _varint(2**64)))},
    {'fold': (3, _field(1, b'\1\1'))},
    {'fold': (3, b'')},
    {'fold': None},
    {'labels': (2, _field(1, _INF * 28))},
    {'labels': (3, _field(1, bytes(27)))},
    {'labels': (3, _field(1, bytes(10**6)))},
    {'labels': (3, _field(1, b'') * 10**5)},
    {'repeats': (3, _field(1, _varint(10**400)))},
    {'repeats': (2, _field(1, bytes(19)))},
    {'repeats': (2, _field(1, bytes(4)) * 2)},
    {'image': (3, _field(1, b'\1'))},
    {'more': (1, _field(1, b'x'))},
])  # yapf: disable
def test_features_of_other_kinds_or_numbers_are_refused(changes):
  with pytest.raises(errors.DataError, match='not a tf.train.Example') as told:
    example_lib.decode(_example(**changes), 28)
  assert '\n' not in str(told.value) and len(str(told.value)) < 300


def test_duplicate_keys_and_endless_parts_are_refused():
  twice = _feature('id', *_SOUND['id'])
  for data in (_field(1, twice * 2), _example() * 2, b'\xff' * 10**6,
               _field(1, _field(1, b'\x08' + _varint(2**29))), b'\x0a\xff'):
    with pytest.raises(errors.DataError, match='not a tf.train.Example'):
      example_lib.decode(data, 28)
