"""Parsers of image files."""

import functools
import gzip
import io
import pathlib
import zlib

import numpy as np
from PIL import Image

from hpa_records.images import decode
from hpa_records.images import header
from hpa_records.images import how as how_lib
from hpa_records.images import intensity
from hpa_records.images import load
from hpa_records.images import stack
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


def _parse_stack(data: bytes, folder: pathlib.Path, ending: str,
                 chosen: stack.Stack) -> None:
  """Checks a file with all channels and decodes it, as the converter does."""
  path = folder / f'a{ending}'
  path.write_bytes(data)
  how = how_lib.How(16, ('a', 'b'), ('#ffffff', '#00ff00'),
                    intensity=intensity.Rule('percentiles'),
                    stack=chosen)
  try:
    found = decode.measure(str(path), how)
  except errors.DataError:
    found = None
  pixels = np.stack(list(decode.decode_stack(data, str(path), how)))
  if not found or pixels.shape != (2, found.height, found.width):
    raise AssertionError(f'checked as {found}, decoded as {pixels.shape}')
  load.load([str(path)], how)


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


def _jpegs2000(_) -> list[bytes]:
  return [
      image_bytes.save(pixels, 'JPEG2000', **options)
      for pixels in (_GRAY, _DEEP)
      for options in ({}, {
          'no_jp2': True
      }, {
          'no_jp2': True,
          'tile_size': (8, 8)
      }, {
          'no_jp2': True,
          'precinct_size': (32, 32),
          'codeblock_size': (16, 16)
      })
  ]


def _gzips(_) -> list[bytes]:
  return [
      gzip.compress(each, mtime=0)
      for each in (image_bytes.gray_tiff(_DEEP), b'')
  ]


def _stacks(_) -> list[bytes]:
  """TIFFs of four pages, and of one directory for four planes."""
  pages = [fakes.plane(i, 2, 16) for i in range(4)]
  descriptions = (b'ImageJ=1.54f\nimages=4\nchannels=2\nslices=2\n\0',
                  b'{"shape": [2, 2, 16, 16], "axes": "ZCYX"}\0',
                  b'<OME><Pixels DimensionOrder="XYCZT" SizeC="2" SizeZ="2" '
                  b'SizeT="1"><TiffData IFD="1" FirstC="1"/></Pixels></OME>\0')
  found = []
  for dtype in ('u1', '<u2', '<f4', '<f8'):
    planes = [each.astype(dtype) for each in pages]
    tags = image_bytes.gray_tags(planes[0], t339=3 if 'f' in dtype else 1)
    found += [
        image_bytes.tiff(tags | {279: planes[0].nbytes},
                         [b''.join(each.tobytes()
                                   for each in planes)],
                         extra=[(270, 2, len(text), text)])
        for text in descriptions[:2]
    ]
  for compression in ('raw', 'tiff_lzw', 'tiff_deflate'):
    for text in descriptions:
      file = io.BytesIO()
      first, *others = map(Image.fromarray, pages)
      first.save(file,
                 'TIFF',
                 compression=compression,
                 save_all=True,
                 append_images=others,
                 description=text[:-1].decode('ascii'))
      found.append(file.getvalue())
  return found


def _planes(_) -> list[bytes]:
  """TIFFs of two values a pixel, together or apart, with predictors."""
  found = []
  for dtype, format_ in (('u1', 1), ('<u2', 1), ('<f4', 3), ('<f8', 3)):
    values = np.stack([_GRAY, _GRAY[::-1]], -1).astype(dtype)
    tags = image_bytes.gray_tags(_GRAY.astype(dtype), t277=2, t339=format_)
    rows = values.tobytes()
    found += [
        image_bytes.tiff(tags, [rows]),
        image_bytes.tiff(tags | {
            259: 8,
            317: 2
        }, [zlib.compress(rows)]),
        image_bytes.tiff(
            tags | {284: 2},
            [np.ascontiguousarray(values[..., i]).tobytes() for i in range(2)]),
    ]
    if format_ == 3:
      found.append(
          image_bytes.tiff(tags | {
              259: 8,
              317: 3
          }, [zlib.compress(rows)]))
  return found


def _color_pngs(_) -> list[bytes]:
  values = np.stack([_GRAY] * 4, axis=-1)
  return [
      image_bytes.png(values[..., :count].astype(dtype))
      for count in (3, 4)
      for dtype in (np.uint8, np.uint16)
  ]


TARGETS = {
    'png':
        target.Target(_pngs, functools.partial(_parse, ending='.png'),
                      mutation.change_png),
    'tiff':
        target.Target(_tiffs, functools.partial(_parse, ending='.tif')),
    'jpeg':
        target.Target(_jpegs, functools.partial(_parse, ending='.jpg')),
    'jpeg2000':
        target.Target(_jpegs2000, functools.partial(_parse, ending='.jp2')),
    'gzip':
        target.Target(_gzips, functools.partial(_parse, ending='.tif.gz')),
    'tiff_pages':
        target.Target(
            _stacks,
            functools.partial(_parse_stack,
                              ending='.tif',
                              chosen=stack.Stack('pages', project='max'))),
    'tiff_planes':
        target.Target(
            _planes,
            functools.partial(_parse_stack,
                              ending='.tif',
                              chosen=stack.Stack('planes'))),
    'png_planes':
        target.Target(
            _color_pngs,
            functools.partial(_parse_stack,
                              ending='.png',
                              chosen=stack.Stack('planes', planes=(0, 2))),
            mutation.change_png),
}
