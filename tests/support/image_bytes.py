"""Image files of every kind, as bytes; by hand those that no library writes.

Interlaced PNGs, tiles, big-endian TIFFs, headers that declare what is not
there. Independent of hpa_records, which is held to them.
"""

import io
import struct
from typing import Callable, Sequence
import zlib

import numpy as np
from PIL import Image

_COLORS = {
    'red': (1, 0, 0),
    'green': (0, 1, 0),
    'blue': (0, 0, 1),
    'yellow': (1, 1, 0)
}

_PNG_COLORS = {1: 0, 2: 4, 3: 2, 4: 6}  # by values a pixel
_ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2),
          (0, 1, 2, 2), (1, 0, 2, 1))


def save(pixels: np.ndarray, file_format: str, **options) -> bytes:
  """Returns what Pillow writes of an array."""
  file = io.BytesIO()
  Image.fromarray(pixels).save(file, file_format, **options)
  return file.getvalue()


def tint(plane: np.ndarray, channel: str) -> np.ndarray:
  """Returns [H, W, 3] in the channel's color of a plane [H, W]."""
  return plane[..., None] * np.array(_COLORS[channel], plane.dtype)


def chunk(kind: bytes, data: bytes) -> bytes:
  """Returns one chunk of a PNG."""
  return struct.pack('>I', len(data)) + kind + data + struct.pack(
      '>I', zlib.crc32(kind + data))


def png_header(height: int,
               width: int,
               bits: int = 8,
               color: int = 0,
               interlaced: bool = False) -> bytes:
  """Returns signature and IHDR, 33 bytes."""
  ihdr = struct.pack('>IIBBBBB', width, height, bits, color, 0, 0, interlaced)
  return b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', ihdr)


def png(pixels: np.ndarray,
        interlaced: bool = False,
        before_data: bytes = b'') -> bytes:
  """Returns [H, W] or [H, W, 1..4], uint8 or uint16, as a PNG.

  Source: PNG specification (W3C), 8.2: Adam7 passes.
  """
  pixels = pixels.reshape(*pixels.shape[:2], -1)
  passes = [pixels]
  if interlaced:
    passes = [pixels[y::dy, x::dx] for y, x, dy, dx in _ADAM7]
  rows = b''.join(b'\0' + row.astype(f'>u{row.itemsize}').tobytes()
                  for part in passes
                  for row in part
                  if row.size)
  head = png_header(*pixels.shape[:2], pixels.itemsize * 8,
                    _PNG_COLORS[pixels.shape[2]], interlaced)
  return head + before_data + chunk(b'IDAT', zlib.compress(rows)) + chunk(
      b'IEND', b'')


def tiff(tags: dict[int, int | list[int]],
         parts: list[bytes],
         order: str = '<',
         following: int = 0,
         extra: Sequence[tuple[int, int, int, bytes]] = (),
         big: bool = False) -> bytes:
  """Returns a TIFF: header, parts, directory.

  Args:
    tags: by number, in the place of what tiff() itself gives; each is written
      as LONGs. 324 in it makes the parts tiles.
    parts: strips, or tiles.
    order: '<' or '>'.
    following: offset of the next image's directory.
    extra: (tag, type, number of values, their bytes) of entries after those.
    big: makes it a BigTIFF.
  """
  data, starts = bytearray(16 if big else 8), []
  offset, count, entry = (f'{order}{each}'
                          for each in (('Q', 'Q',
                                        'HHQ8s') if big else ('I', 'H',
                                                              'HHI4s')))
  for part in parts:
    starts.append(len(data))
    data += part + bytes(len(part) % 2)
  places = (324, 325) if 324 in tags else (273, 279)
  tags = {
      **tags, places[0]: starts,
      places[1]: list(map(len, parts)),
      **{
          tag: tags[tag] for tag in places if tag in tags and tag != 324
      }
  }
  listed = []
  for tag, value in sorted(tags.items()):
    values = value if isinstance(value, list) else [value]
    listed.append(
        (tag, 4, len(values), struct.pack(f'{order}{len(values)}I', *values)))
  entries = b''
  for tag, kind, number, content in (*listed, *extra):
    if len(content) > struct.calcsize(offset):
      data += content
      content = struct.pack(offset, len(data) - len(content))
    entries += struct.pack(entry, tag, kind, number, content)
  head = (b'II' if order == '<' else b'MM') + (struct.pack(
      f'{order}HHH', 43, 8, 0) if big else struct.pack(f'{order}H', 42))
  head += struct.pack(offset, len(data))
  data[:len(head)] = head
  return bytes(data + struct.pack(count,
                                  len(tags) + len(extra)) + entries +
               struct.pack(offset, following))


def gray_tags(pixels: np.ndarray, **changes: int) -> dict[int, int]:
  """Returns the tags of [H, W] gray pixels in one strip; t262=0 changes 262."""
  height, width = pixels.shape[:2]
  return {
      256: width,
      257: height,
      258: pixels.itemsize * 8,
      259: 1,
      262: 1,
      277: 1,
      278: height,
      **{
          int(tag[1:]): value for tag, value in changes.items()
      }
  }


def gray_tiff(pixels: np.ndarray, **changes: int) -> bytes:
  """Returns [H, W] in one strip, with changes to its tags as in gray_tags."""
  return tiff(gray_tags(pixels, **changes), [pixels.tobytes()])


def gray_tiff_and(pixels: np.ndarray, *extra: tuple[int, int, int,
                                                    bytes]) -> bytes:
  """Returns [H, W] in one strip, with entries as in tiff."""
  return tiff(gray_tags(pixels), [pixels.tobytes()], extra=extra)


def exif(orientation: int) -> bytes:
  """Returns Exif that declares an orientation, without what a format adds."""
  return b'MM\0*\0\0\0\x08' + struct.pack('>HHHIHHI', 1, 274, 3, 1, orientation,
                                          0, 0)


def orientation_texts(orientation: int) -> list[bytes]:
  """Returns chunks of text of a PNG, each of which declares an orientation."""
  raw = exif(orientation).hex()
  profile = f'\nexif\n{len(raw) // 2:8}\n{raw[:72]}\n{raw[72:]}\n'.encode()
  packed = zlib.compress(profile)
  return [
      chunk(b'zTXt', b'Raw profile type exif\0\0' + packed),
      chunk(b'tEXt', b'Raw profile type APP1\0' + profile),
      chunk(b'iTXt', b'XML:com.adobe.xmp\0\0\0\0\0' + xmp(orientation)),
      chunk(b'iTXt',
            b'XML:com.adobe.xmp\0\1\0\0\0' + zlib.compress(xmp(orientation))),
  ]


def xmp(orientation: int) -> bytes:
  """Returns XMP that declares an orientation."""
  return (b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description '
          b'tiff:Orientation="%d"/></x:xmpmeta>' % orientation)


def tile(
    pixels: np.ndarray,
    side: int,
    compress: Callable[[bytes], bytes] = bytes
) -> tuple[dict[int, int], list[bytes]]:
  """Returns tags and tiles, for tiff, of [H, W]; filled up at the edges."""
  height, width = pixels.shape
  padded = np.pad(pixels, ((0, -height % side), (0, -width % side)))
  tiles = [
      compress(padded[y:y + side, x:x + side].tobytes())
      for y in range(0, height, side)
      for x in range(0, width, side)
  ]
  tags = gray_tags(pixels, t322=side, t323=side, t324=0)
  del tags[278]
  return tags, tiles


def jpeg_header(height: int,
                width: int,
                bits: int = 8,
                colors: int = 1,
                kind: int = 0) -> bytes:
  """Returns a JPEG that ends after its frame header (SOF0 + kind)."""
  frame = struct.pack('>BHHB', bits, height, width,
                      colors) + b'\1\x11\0' * colors
  return b'\xff\xd8\xff' + bytes([0xc0 + kind]) + struct.pack(
      '>H', 2 + len(frame)) + frame + b'\xff\xd9'
