"""Encoding of samples as tf.train.Example bytes, and decoding.

The converter must start without TensorFlow (its import takes longer than a
small conversion), and the protobuf package would copy each image twice. So the
protobuf wire format of the five keys is written here by hand. The image comes
last: a record is a short head and the image's bytes, and the image's offset is
the length of the head. The tests compare both directions with tf.train.Example.

Source: protobuf's encoding guide; tensorflow/core/example/example.proto and
feature.proto (Example.features = 1, Features.feature = 1 as a map, Feature's
bytes_list = 1, float_list = 2, int64_list = 3, each with value = 1).
"""

import dataclasses
import functools
import itertools
from typing import Iterator

import numpy as np

from hpa_records.format import spec
from hpa_records.runtime import errors
from hpa_records.runtime import printable

_BYTES, _FLOAT, _INT64 = 1, 2, 3  # Feature's oneof
_VARINT, _LENGTH = 0, 2  # wire types
_VARINT_BYTES = 10  # most bytes of 64 bits

_LABELLED = (spec.FOLD, spec.LABELS, spec.REPEATS)
_KINDS = {
    spec.ID: _BYTES,
    spec.FOLD: _INT64,
    spec.LABELS: _INT64,
    spec.REPEATS: _FLOAT,
    spec.IMAGE: _BYTES,
}


@dataclasses.dataclass(frozen=True)
class Sample:
  """One record's content.

  Attributes:
    id: the sample's Id in the CSV.
    image: stored bytes of the pixels, raw or PNG; an array is [n] uint8.
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

  The image's offset in the record is the length of the head.
  """
  entries = [_entry(spec.ID, _BYTES, sample.id.encode())]
  if sample.labels is not None:
    # A varint below 128 is its own byte.
    labels = np.asarray(sample.labels, np.uint8).tobytes()
    repeats = np.asarray(sample.repeats, '<f4').tobytes()
    entries += [
        _entry(spec.FOLD, _INT64, _varint(sample.fold)),
        _entry(spec.LABELS, _INT64, labels),
        _entry(spec.REPEATS, _FLOAT, repeats),
    ]
  before = b''.join(entries)
  image_head = _entry_head(spec.IMAGE, _BYTES, len(sample.image))
  body = len(before) + len(image_head) + len(sample.image)
  return _tag(1, body) + before + image_head


def holds_id(head: bytes, sample_id: str) -> bool:
  """Returns whether the bytes of a record before its image hold an id.

  Ten times as fast as decode, and enough for a record with valid checksums.

  Args:
    head: as of encode_head.
    sample_id: the id.
  """
  content = sample_id.encode()
  return _tag(1, len(content)) + content in head


def decode(data: bytes | memoryview, num_classes: int) -> Sample:
  """Returns the sample of a record written by any tf.train.Example writer.

  Time and memory are bounded by the length of data, also for invalid data. The
  image's content is not checked.

  Args:
    data: one serialized tf.train.Example with the keys of spec.py, in any
      order: all five, or id and image.
    num_classes: K, the number of labels.

  Raises:
    errors.DataError: data is not such an Example.
  """
  try:
    values = dict.fromkeys(_KINDS)
    for key, content in _entries(memoryview(data)):
      if values[key] is not None:
        raise ValueError(f'duplicate key {key}')
      values[key] = content
    if any(values[key] is None for key in (spec.ID, spec.IMAGE)):
      raise ValueError('id or image is missing')
    labels = [values[key] for key in _LABELLED]
    if any(each is None for each in labels) and labels != [None] * len(labels):
      raise ValueError(f'only some of {", ".join(_LABELLED)} are present')
    return _to_sample(values, num_classes)
  except ValueError as error:
    raise errors.DataError('not a tf.train.Example with the keys of spec.py '
                           f'({len(data):,} bytes): {error}') from error


def _to_sample(values: dict[str, memoryview | None],
               num_classes: int) -> Sample:
  """Returns the sample of each key's serialized list of values."""
  sample_id = bytes(_one_bytes(values[spec.ID])).decode()
  wrong = printable.find_name_issue(sample_id, 'an id')
  if wrong:
    raise ValueError(wrong)
  image = _one_bytes(values[spec.IMAGE])
  if values[spec.LABELS] is None:
    return Sample(sample_id, image)
  fold, = _integers(values[spec.FOLD], 1)
  labels = _integers(values[spec.LABELS], num_classes)
  return Sample(sample_id, image, fold, np.array(labels, np.int64),
                _floats(values[spec.REPEATS]))


def _varint(value: int) -> bytes:
  out = bytearray()
  while value > 0x7f:
    out.append(value & 0x7f | 0x80)
    value >>= 7
  out.append(value)
  return bytes(out)


def _tag(field: int, length: int) -> bytes:
  return _varint(field << 3 | _LENGTH) + _varint(length)


@functools.lru_cache(256)  # few distinct lengths
def _entry_head(key: str, kind: int, length: int) -> bytes:
  """Returns a Features map entry's bytes before its last field's content."""
  value = _tag(1, length)
  feature = _tag(kind, len(value) + length) + value
  name = _tag(1, len(key)) + key.encode()
  inside = name + _tag(2, len(feature) + length) + feature
  return _tag(1, len(inside) + length) + inside


def _entry(key: str, kind: int, content: bytes) -> bytes:
  return _entry_head(key, kind, len(content)) + content


def _entries(data: memoryview) -> Iterator[tuple[str, memoryview]]:
  """Yields (key, serialized list of values) of each feature of an Example."""
  for entry in _messages(_only(_messages(data, 1), 'features'), 1):
    fields = list(itertools.islice(_fields(entry), 3))
    parts = dict(fields)
    if len(fields) != 2 or set(parts) != {1, 2}:
      raise ValueError('a feature without exactly one key and one value')
    key = bytes(_require_bytes(parts[1])).decode()
    if key not in _KINDS:
      raise ValueError(f'unknown key {printable.quote(key)}')
    kind = _KINDS[key]
    yield key, _only(_messages(_require_bytes(parts[2]), kind),
                     f'list of values of {printable.quote(key)}')


def _messages(data: memoryview, number: int) -> Iterator[memoryview]:
  """Yields each field's content; all fields must have this number."""
  for field, content in _fields(data):
    if field != number:
      raise ValueError(f'expected field {number}, received {field}')
    yield _require_bytes(content)


def _require_bytes(content: memoryview | int) -> memoryview:
  if isinstance(content, int):
    raise ValueError('expected bytes, received a number')
  return content


def _only(found: Iterator[memoryview], what: str) -> memoryview:
  """Returns the only item; reads at most two."""
  first, second = next(found, None), next(found, None)
  if first is None or second is not None:
    raise ValueError(f'expected exactly one {what}')
  return first


def _one_bytes(values: memoryview) -> memoryview:
  return _only(_messages(values, 1), 'value')


def _floats(values: memoryview) -> np.ndarray:
  """Returns the values [n] float32 of a packed float list."""
  return np.frombuffer(_one_bytes(values), '<f4').astype(np.float32)


def _integers(values: memoryview, count: int) -> list[int]:
  """Returns the count values of an int64 list, packed or not."""
  found = []
  for field, content in _fields(values):
    if field != 1:
      raise ValueError(f'expected field 1, received {field}')
    found += ([content] if isinstance(content, int) else itertools.islice(
        _varints(content), count + 1))
    if len(found) > count:
      break
  if len(found) != count:
    raise ValueError(f'expected {count} values, received {len(found)} or more')
  return [value - 2**64 if value >= 2**63 else value for value in found]


def _varints(data: memoryview) -> Iterator[int]:
  position = 0
  while position < len(data):
    value, position = _read_varint(data, position)
    yield value


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
      raise ValueError(f'invalid wire type {tag & 7} at byte {position}')


def _read_varint(data: memoryview, position: int) -> tuple[int, int]:
  """Returns a number of at most 64 bits, and the position after it."""
  value = 0
  for i, byte in enumerate(data[position:position + _VARINT_BYTES]):
    value |= (byte & 0x7f) << 7 * i
    if byte < 0x80:
      if value >= 2**64:
        break
      return value, position + i + 1
  raise ValueError(f'invalid varint at byte {position}')
