"""Seeded random changes to bytes, to JSON values and to PNG files.

A parser that proves a hash, a checksum or a JSON syntax first refuses nearly
all random bytes there. These changes keep the container valid and change what
it says.
"""

import copy
import json
import random
import struct
from typing import Any, Callable

from tests.support import image_bytes

Change = Callable[[bytes, random.Random], bytes]

# What strangers put in the place of a value.
_ODD = (None, True, False, 0, -1, 1, 255, 2**31, 2**63, 2**64, -2**63, 10**30,
        0.5, 1e308, -0.0, float('nan'), float('inf'), '', 'x', '1', '..', '.',
        '../x', '/etc/passwd', 'a/b', '\x1b[31m', '\ud800', '\0', 'a\nb', ' ',
        'e\u0301', '\u202e', 'NaN', 'x' * 5000, [], {}, [[]], [None], {
            '': None
        }, {
            'x': [1]
        })
_DEEP = 100_000
_NUMBERS = (0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0xffff, 0x7fffffff, 0x80000000,
            0xffffffff)


def change_bytes(data: bytes, rng: random.Random) -> bytes:
  """Returns data with one to four changes of bytes."""
  found = bytearray(data)
  for _ in range(rng.randint(1, 4)):
    start = rng.randrange(len(found) + 1)
    length = min(rng.choice((1, 1, 2, 4, 8, 64)), len(found) - start)
    kind = rng.randrange(5)
    if kind == 0 and length:
      found[start] ^= 1 << rng.randrange(8)
    elif kind == 1:
      found[start:start + length] = rng.randbytes(length)
    elif kind == 2:
      layout = rng.choice(('<I', '>I', '<H', '>H'))
      number = rng.choice(_NUMBERS) & (2**(8 * struct.calcsize(layout)) - 1)
      number = struct.pack(layout, number)
      found[start:start + len(number)] = number
    elif kind == 3:
      del found[start:start + length]
    else:
      other = rng.randrange(len(found) + 1)
      found[start:start] = found[other:other + length]
  return bytes(found)


def change_json(data: bytes, rng: random.Random) -> bytes:
  """Returns JSON with one to three of its values changed.

  Args:
    data: JSON; what is none gets changes of bytes.
    rng: where the changes come from.
  """
  try:
    value = json.loads(data)
  except (ValueError, RecursionError):
    return change_bytes(data, rng)
  for _ in range(rng.randint(1, 3)):
    value = _change_value(value, rng)
  text = json.dumps(value)
  if rng.random() < 0.01:
    text = text.replace('1', '[' * _DEEP + ']' * _DEEP, 1)
  if rng.random() < 0.02:
    text = text.replace('{', '{"settings": 1, ', 1)  # perhaps a key twice
  return text.encode()


def _change_value(value: Any, rng: random.Random) -> Any:
  """Goes down to a random depth and changes what is there."""
  if isinstance(value, (dict, list)) and value and rng.random() < 0.85:
    keys = list(value) if isinstance(value, dict) else range(len(value))
    key = rng.choice(keys)
    value[key] = _change_value(value[key], rng)
    return value
  kind = rng.randrange(4)
  if isinstance(value, dict) and kind < 3:
    return _change_dict(value, rng)
  if isinstance(value, list) and value and kind < 3:
    return _change_list(value, rng)
  if isinstance(value, str) and kind < 2:
    return change_bytes(value.encode('utf-8', 'surrogatepass'),
                        rng).decode('latin-1')
  if isinstance(value, (int, float)) and kind < 3:
    return rng.choice((value + 1, value - 1, -value, str(value), [value],
                       float(value), value * 1000))
  return _odd(rng)


def _odd(rng: random.Random) -> Any:
  """One of _ODD, which later changes do not change."""
  return copy.deepcopy(rng.choice(_ODD))


def _change_dict(value: dict, rng: random.Random) -> dict:
  if value and rng.random() < 0.5:
    found = value.pop(rng.choice(list(value)))
    return {**value, rng.choice((*value, 'x')): found}
  return {**value, rng.choice(('', 'x', '__class__', 'a\nb')): _odd(rng)}


def _change_list(value: list, rng: random.Random) -> list:
  position = rng.randrange(len(value))
  return rng.choice((value[:position], value[position:], value * 2,
                     value[:position] + [_odd(rng)] + value[position:],
                     value[::-1], value + [value[position]]))


def change_png(data: bytes, rng: random.Random) -> bytes:
  """Returns a PNG with chunks changed, copied or lost, their checksums right.
  """
  chunks, position = [], 8
  while position + 12 <= len(data):
    length = int.from_bytes(data[position:position + 4], 'big')
    chunks.append((data[position + 4:position + 8],
                   data[position + 8:position + 8 + length]))
    position += 12 + length
  if not chunks:
    return change_bytes(data, rng)
  i = rng.randrange(len(chunks))
  kind, content = chunks[i]
  what = rng.randrange(6)
  if what < 4:
    chunks[i] = kind, change_bytes(content, rng)
  elif what == 4:
    chunks.insert(i, chunks[rng.randrange(len(chunks))])
  else:
    del chunks[i]
  return data[:8] + b''.join(image_bytes.chunk(*each) for each in chunks)
