"""Sample to tf.train.Example bytes and back; the one place with wire format.

The converter must start without TensorFlow (its import takes longer than a
small conversion), and protobuf's own Python package would copy each payload
twice. An Example of five known keys is 60 lines of protobuf wire format, so
it is written here by hand. The image comes last: a record is a short head and
the pixels as they lie in memory, and its payload's offset is the head's
length. tests/test_record.py holds both directions to tf.train.Example.

Source: protobuf's encoding guide; tensorflow/core/example/example.proto and
feature.proto (Example.features = 1, Features.feature = 1 as a map, Feature's
bytes_list = 1, float_list = 2, int64_list = 3, each with value = 1).
"""

import dataclasses
import functools
from typing import Iterator

import numpy as np

from hpa_records import schema

_BYTES, _FLOAT, _INT64 = 1, 2, 3  # Feature's oneof
_VARINT, _LENGTH = 0, 2  # wire types


@dataclasses.dataclass(frozen=True)
class Sample:
  """One record's content.

  Attributes:
    id: the sample's Id in the CSV.
    image: stored bytes of the pixels, raw or PNG, as one of the types that
      have a length and share their memory.
    fold: the fold that holds the sample; None in an unlabelled set.
    labels: [K] multi-hot, 0 or 1; None in an unlabelled set.
    repeats: [F] float32 expected draws an epoch; None in an unlabelled set.
  """
  id: str
  image: bytes | memoryview | np.ndarray
  fold: int | None = None
  labels: np.ndarray | None = None
  repeats: np.ndarray | None = None


def encode_head(sample: Sample) -> bytes:
  """Returns the record's bytes before the image; head + image is the record.

  The image's offset in the record is the length of what is returned.
  """
  entries = [_entry(schema.ID, _BYTES, sample.id.encode())]
  if sample.labels is not None:
    # A varint below 128 is its own byte.
    labels = np.asarray(sample.labels, np.uint8).tobytes()
    repeats = np.asarray(sample.repeats, '<f4').tobytes()
    entries += [
        _entry(schema.FOLD, _INT64, _varint(sample.fold)),
        _entry(schema.LABELS, _INT64, labels),
        _entry(schema.REPEATS, _FLOAT, repeats),
    ]
  before = b''.join(entries)
  image_head = _entry_head(schema.IMAGE, _BYTES, len(sample.image))
  body = len(before) + len(image_head) + len(sample.image)
  return _tag(1, body) + before + image_head


def decode(data: bytes | memoryview) -> Sample:
  """Returns the sample of a record written by any tf.train.Example writer.

  Args:
    data: one serialized tf.train.Example; keys may come in any order.

  Raises:
    schema.DataError: data is no Example, or lacks a key.
  """
  try:
    values = dict(_features(memoryview(data)))
    labelled = schema.LABELS in values
    return Sample(
        id=bytes(values[schema.ID][0]).decode(),
        image=values[schema.IMAGE][0],
        fold=int(values[schema.FOLD][0]) if labelled else None,
        labels=np.array(values[schema.LABELS], np.int64) if labelled else None,
        repeats=np.array(values[schema.REPEATS], np.float32)
        if labelled else None)
  except (KeyError, IndexError, TypeError, ValueError) as error:
    raise schema.DataError(
        'expected a tf.train.Example with the keys of schema.py, received '
        f'{len(data)} bytes that are none ({error!r})') from error


def _varint(value: int) -> bytes:
  out = bytearray()
  while value > 0x7f:
    out.append(value & 0x7f | 0x80)
    value >>= 7
  out.append(value)
  return bytes(out)


def _tag(field: int, length: int) -> bytes:
  return _varint(field << 3 | _LENGTH) + _varint(length)


@functools.lru_cache(256)  # lengths hardly differ from record to record
def _entry_head(key: str, kind: int, length: int) -> bytes:
  """The bytes of a Features map entry before its last field's content."""
  value = _tag(1, length)
  feature = _tag(kind, len(value) + length) + value
  name = _tag(1, len(key)) + key.encode()
  inside = name + _tag(2, len(feature) + length) + feature
  return _tag(1, len(inside) + length) + inside


def _entry(key: str, kind: int, content: bytes) -> bytes:
  return _entry_head(key, kind, len(content)) + content


def _features(data: memoryview) -> Iterator[tuple[str, list]]:
  """Yields (key, values) of every feature of a serialized Example."""
  for _, features in _fields(data):
    for _, entry in _fields(features):
      parts = dict(_fields(entry))
      for kind, content in _fields(parts[2]):
        yield bytes(parts[1]).decode(), _values(kind, content)


def _values(kind: int, content: memoryview) -> list:
  """The values of a bytes, float or int64 list, packed or not."""
  values = []
  for _, value in _fields(content):
    if kind == _BYTES:
      values.append(value)
    elif kind == _FLOAT:
      values.extend(np.frombuffer(value, '<f4'))
    elif isinstance(value, int):
      values.append(value)
    else:
      position = 0
      while position < len(value):
        number, position = _read_varint(value, position)
        values.append(number)
  return values


def _fields(data: memoryview) -> Iterator[tuple[int, memoryview | int]]:
  """Yields (field number, content) of a protobuf message."""
  position = 0
  while position < len(data):
    tag, position = _read_varint(data, position)
    value, position = _read_varint(data, position)
    if tag & 7 == _VARINT:
      yield tag >> 3, value
    elif tag & 7 == _LENGTH and position + value <= len(data):
      yield tag >> 3, data[position:position + value]
      position += value
    else:
      raise ValueError(f'wire type {tag & 7} at byte {position}')


def _read_varint(data: memoryview, position: int) -> tuple[int, int]:
  value = shift = 0
  while True:
    byte = data[position]
    position += 1
    value |= (byte & 0x7f) << shift
    if byte < 0x80:
      return value, position
    shift += 7
