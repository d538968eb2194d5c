"""Parsers of image files."""

import functools
import io
import pathlib

import numpy as np
from PIL import Image

from hpa_records.images import header
from hpa_records.runtime import errors
from tests.fuzz import mutation
from tests.fuzz import target
from tests.support import decoding
from tests.support import fakes
from tests.support import image_bytes

_CHANNEL = 'green'
_WHITE_LEVEL = 4095
_GRAY = fakes.plane(1, 2, 16)
_DEEP = _GRAY.astype(np.uint16) * 16
_TINTED = image_bytes.tint(_GRAY, _CHANNEL)


def _parse(data: bytes, folder: pathlib.Path, ending: str) -> None:
  """Checks a file and decodes it, as the converter does."""
  path = folder / f'a{ending}'
  path.write_bytes(data)
  try:
    size = decoding.check(str(path), _CHANNEL, _WHITE_LEVEL)
  except errors.DataError:
    size = None
  pixels = decoding.decode(data, str(path), _CHANNEL, _WHITE_LEVEL)
  if pixels.shape != size:
    raise AssertionError(f'checked as {size}, decoded as {pixels.shape}')
  if pixels.size > header.MAX_PIXELS:
    raise AssertionError(f'{pixels.shape} are more than MAX_PIXELS')


def _pngs(_) -> list[bytes]:
  palette = io.BytesIO()
  Image.fromarray(_GRAY).convert('P').save(palette, 'PNG')
  return [
      image_bytes.png(_GRAY),
      image_bytes.png(_DEEP),
      image_bytes.png(_TINTED),
      image_bytes.png(_GRAY, interlaced=True),
      image_bytes.png(_GRAY, before_data=image_bytes.chunk(b'tEXt', b'a\0b')),
      image_bytes.save(_GRAY, 'PNG'),
      image_bytes.png(_GRAY) + b'behind',
      image_bytes.png_header(8192, 8192),
      palette.getvalue(),
  ]


def _tiffs(_) -> list[bytes]:
  tags, tiles = image_bytes.tile(_GRAY, 16)
  saved = [
      image_bytes.save(pixels, 'TIFF', compression=compression)
      for pixels in (_GRAY, _DEEP, _TINTED)
      for compression in (None, 'tiff_lzw', 'tiff_adobe_deflate', 'packbits')
  ]
  return [
      image_bytes.gray_tiff(_GRAY),
      image_bytes.gray_tiff(_DEEP),
      image_bytes.gray_tiff(_GRAY, t262=0),
      image_bytes.tiff(image_bytes.gray_tags(_GRAY), [_GRAY.tobytes()], '>'),
      image_bytes.tiff(tags, tiles),
      *saved,
  ]


def _jpegs(_) -> list[bytes]:
  return [
      image_bytes.save(_GRAY, 'JPEG'),
      image_bytes.save(_TINTED, 'JPEG', quality=95),
      image_bytes.save(_GRAY, 'JPEG', progressive=True),
      image_bytes.jpeg_header(8192, 8192),
  ]


TARGETS = {
    'png':
        target.Target(_pngs, functools.partial(_parse, ending='.png'),
                      mutation.change_png),
    'tiff':
        target.Target(_tiffs, functools.partial(_parse, ending='.tif')),
    'jpeg':
        target.Target(_jpegs, functools.partial(_parse, ending='.jpg')),
}
