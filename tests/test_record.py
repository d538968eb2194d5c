"""record against tf.train.Example, both ways."""

import hypothesis
from hypothesis import strategies as st
import numpy as np
import pytest

from hpa_records import plain_text
from hpa_records import record
from hpa_records import schema
from hpa_records.backend import tf

_SAMPLES = st.builds(
    record.Sample,
    id=st.text(min_size=1, max_size=200).filter(
        lambda text: not plain_text.find_name_fault(text)),
    image=st.binary(max_size=70000),
    fold=st.integers(0, 300),
    labels=st.lists(st.integers(0, 1), min_size=28,
                    max_size=28).map(lambda x: np.array(x, np.int64)),
    repeats=st.lists(st.floats(0, 2**20, width=32), min_size=1,
                     max_size=10).map(lambda x: np.array(x, np.float32)))


def _bytes(sample):
  return record.encode_head(sample) + bytes(sample.image)


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
  found = record.decode(example.SerializeToString())
  assert (found.id, bytes(found.image), found.fold) == (sample.id, sample.image,
                                                        sample.fold)
  np.testing.assert_array_equal(found.labels, sample.labels)
  np.testing.assert_array_equal(found.repeats, sample.repeats)


def test_image_is_the_tail_of_the_record():
  sample = record.Sample('a', b'pixels', 1, np.zeros(28), np.ones(5))
  assert _bytes(sample)[len(record.encode_head(sample)):] == b'pixels'


def test_unlabelled_sample_has_id_and_image_only():
  data = _bytes(record.Sample('a', b'xyz'))
  feature = tf.train.Example.FromString(data).features.feature
  assert set(feature) == {'id', 'image'}
  assert record.decode(data) == record.Sample('a', memoryview(b'xyz'))


@pytest.mark.parametrize('data', [b'', b'\xff', b'hello', b'\n\x05abc'])
def test_other_bytes_are_refused(data):
  with pytest.raises(schema.DataError, match='expected a tf.train.Example'):
    record.decode(data)
