"""Decodes one image of a TIFF.

Pillow reads 16-bit RGB as 8-bit, no float64 and no image with separate samples,
and libtiff (which it uses for compressed files) applies its own rules. So each
image, or each of its separate samples, is given to Pillow as a TIFF of 8-bit
gray, whose pixels are the bytes of the rows: the same strips or tiles with a
directory of the checked numbers only. Pillow only unpacks. Predictors, byte
order and types are applied here.

Source: TIFF 6.0 (Adobe), section 14; TIFF Technical Note 3 (Adobe), for the
predictor of floating-point samples.
"""

import io
import struct

import numpy as np
from PIL import ImageFile
from PIL import TiffImagePlugin

from hpa_records.images.containers import tiff
from hpa_records.images.containers import tiff_directory
from hpa_records.images.containers import tiff_kind
from hpa_records.images.containers import tiff_parts
from hpa_records.runtime import process

_HORIZONTAL, _FLOATING = 2, 3  # predictors
_HEAD_BYTES = 8


class _BytesFile(TiffImagePlugin.TiffImageFile):
  """A TIFF of 8-bit gray, without Pillow's limit of pixels.

  Its pixels are bytes, which header and tiff_parts have limited. Pillow's limit
  is one of the process, which is the caller's.

  Source: TiffImagePlugin.py of Pillow 12.3, load_prepare, which compares the
  size before it calls this one.
  """

  def load_prepare(self):
    """Takes the memory of the pixels, without comparing the size."""
    ImageFile.ImageFile.load_prepare(self)


def decode(data: bytes, tags: tiff.Tags) -> np.ndarray:
  """Returns the pixels of one image, [H, W, samples], in native byte order.

  Args:
    data: the complete file.
    tags: of the image, passed by tiff_parts.check.

  Raises:
    Exception: of many types, from Pillow: the image is damaged.
  """
  parts = tiff_parts.find(tags)
  samples = tags.first(tiff.SAMPLES)
  if not tiff_parts.is_separate(tags):
    return _decode_parts(data, tags, parts, samples)
  count = len(parts.starts) // samples
  return np.concatenate([
      _decode_parts(
          data, tags,
          parts._replace(starts=parts.starts[i:i + count],
                         lengths=parts.lengths[i:i + count]), 1)
      for i in range(0, len(parts.starts), count)
  ],
                        axis=-1)


def _decode_parts(data: bytes, tags: tiff.Tags, parts: tiff_parts.Parts,
                  samples: int) -> np.ndarray:
  """Returns [H, W, samples] of strips or tiles."""
  height, width = tags.first(tiff.HEIGHT), tags.first(tiff.WIDTH)
  dtype = np.dtype(tiff_kind.depth(tags))
  predictor = tags.first(tiff.PREDICTOR)
  # The predictors work on whole rows of a tile, also beyond the image.
  columns = -(-width // parts.columns) * parts.columns
  row_bytes = columns * samples * dtype.itemsize
  if tags.first(
      tiff.COMPRESSION) == tiff_parts.UNCOMPRESSED and not parts.tiled:
    rows = _join_strips(data, parts, height, row_bytes)
  else:
    rows = _unpack(_wrap(data, tags, parts, row_bytes,
                         samples * dtype.itemsize))
  # [H, tiles, columns of a tile * samples * itemsize]
  rows = rows.reshape(height, columns // parts.columns, -1)
  if predictor == _FLOATING:
    rows = np.cumsum(rows.reshape(*rows.shape[:2], -1, samples),
                     axis=2,
                     dtype=np.uint8)
    # The bytes of a row are sorted by significance, the highest first.
    rows = rows.reshape(height, columns // parts.columns, dtype.itemsize,
                        -1).swapaxes(2, 3)
    values = np.ascontiguousarray(rows).view(dtype.newbyteorder('>'))
  else:
    values = rows.view(dtype.newbyteorder(tags.order))
  values = values.reshape(height, -1, parts.columns, samples)
  # In native byte order, and aligned, which bytes of a file may not be.
  values = np.require(values, dtype, 'A')
  if predictor == _HORIZONTAL:
    integers = values.view(f'u{dtype.itemsize}')
    values = np.cumsum(integers, axis=2, dtype=integers.dtype).view(dtype)
  return values.reshape(height, columns, samples)[:, :width]


def _unpack(packed: bytes) -> np.ndarray:
  """Returns the pixels of a TIFF of _wrap, [height, row_bytes] uint8."""
  with process.silent():  # libtiff also prints a line for a damaged part
    with _BytesFile(io.BytesIO(packed)) as image:
      return np.asarray(image)


def _join_strips(data: bytes, parts: tiff_parts.Parts, height: int,
                 row_bytes: int) -> np.ndarray:
  """Returns the rows of uncompressed strips, [height, row_bytes] uint8.

  Strips that follow each other, as most programs write them, are not copied.
  """
  first, strip_bytes = parts.starts[0], parts.rows * row_bytes
  if parts.starts != tuple(
      range(first, first + len(parts.starts) * strip_bytes, strip_bytes)):
    view, first = memoryview(data), 0
    data = b''.join(view[start:start + strip_bytes] for start in parts.starts)
  return np.frombuffer(data, np.uint8, height * row_bytes,
                       first).reshape(height, row_bytes)


def _wrap(data: bytes, tags: tiff.Tags, parts: tiff_parts.Parts, row_bytes: int,
          pixel_bytes: int) -> bytes:
  """Returns a TIFF of 8-bit gray [H, row_bytes] with these strips or tiles."""
  content = [
      data[start:start + length]
      for start, length in zip(parts.starts, parts.lengths)
  ]
  starts = [_HEAD_BYTES]
  for each in content:
    starts.append(starts[-1] + len(each))
  places = ((tiff.TILES, tiff.TILE_BYTES) if parts.tiled else
            (tiff.STRIPS, tiff.STRIP_BYTES))
  written = {
      tiff.WIDTH: (row_bytes,),
      tiff.HEIGHT: (tags.first(tiff.HEIGHT),),
      tiff.BITS: (8,),
      tiff.COMPRESSION: (tags.first(tiff.COMPRESSION),),
      tiff.PHOTOMETRIC: (1,),
      tiff.SAMPLES: (1,),
      places[0]:
          tuple(starts[:-1]),
      places[1]:
          parts.lengths,
      **({
          tiff.TILE_WIDTH: (parts.columns * pixel_bytes,),
          tiff.TILE_HEIGHT: (parts.rows,)
      } if parts.tiled else {
             tiff.STRIP_ROWS: (parts.rows,)
         })
  }
  end = starts[-1]
  values = entries = b''
  for tag, numbers in sorted(written.items()):
    packed = struct.pack(f'<{len(numbers)}I', *numbers)
    if len(packed) > 4:
      start = struct.pack('<I', end + len(values))
      packed, values = start, values + packed
    entries += struct.pack('<HHI', tag, tiff_directory.LONG,
                           len(numbers)) + packed
  head = b'II*\0' + struct.pack('<I', end + len(values))
  return b''.join(
      (head, *content, values, struct.pack('<H',
                                           len(written)), entries, bytes(4)))
