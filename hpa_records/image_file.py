"""One image file to one plane [H, W] uint8.

Decoder: kornia_rs takes 0.45 ms for a real 512x512 PNG on one core, cv2 1.02,
Pillow 1.24 (BUILD_NOTES.md, "Decode"). It reads palette PNGs as if they were
gray, so the header is checked before every decode, not only beforehand.
"""

import struct

import kornia_rs
import numpy as np

from hpa_records import schema

PNG_SIGNATURE = b'\x89PNG\r\n\x1a\n'
HEADER_BYTES = 33  # signature and IHDR chunk
_COLOR_TYPES = {0: 'gray', 2: 'RGB', 3: 'palette', 4: 'gray+alpha', 6: 'RGBA'}


def read_header(head: bytes) -> tuple[int, int]:
  """Returns (height, width) of an 8-bit gray PNG from its first bytes.

  Args:
    head: at least the first HEADER_BYTES bytes of the file.

  Raises:
    schema.DataError: it is something else; the message says what.

  Source: PNG specification (W3C), 5.2 signature and 11.2.1 IHDR.
  """
  if not head:
    raise schema.DataError('expected an 8-bit gray PNG, received an empty file')
  if head[:3] == b'\xff\xd8\xff':
    raise schema.DataError('expected an 8-bit gray PNG, received a JPEG')
  if head[:8] != PNG_SIGNATURE or head[12:16] != b'IHDR':
    raise schema.DataError('expected an 8-bit gray PNG, received no PNG')
  if len(head) < HEADER_BYTES:
    raise schema.DataError(
        f'expected an 8-bit gray PNG, received {len(head)} bytes of one')
  width, height, depth, color, _, _, interlace = struct.unpack(
      '>IIBBBBB', head[16:29])
  if (depth, color, interlace) != (8, 0, 0):
    name = _COLOR_TYPES.get(color, f'color type {color}')
    raise schema.DataError(
        f'expected an 8-bit gray PNG, received {depth}-bit {name}'
        f'{", interlaced" if interlace else ""}')
  return height, width


def decode_gray(data: bytes) -> np.ndarray:
  """Returns the pixels [H, W] uint8, 0..255, of an 8-bit gray PNG.

  Raises:
    schema.DataError: data is another kind of file, or damaged.
  """
  height, width = read_header(data[:HEADER_BYTES])
  try:
    pixels = kornia_rs.io.decode_image_png_u8(data, (height, width), 'mono')
  except Exception as error:  # kornia_rs raises nothing narrower
    raise schema.DataError(
        f'expected a whole PNG, received a damaged one ({error})') from error
  return pixels[..., 0]
