"""Decides whether the pixels of a TIFF's image are of a supported kind."""

from typing import Iterator

from hpa_records.images.containers import tiff

# LZW, Deflate, PackBits, Zstandard. Of LZMA, a file decides the memory.
_LOSSLESS = {1, 5, 8, 32773, 32946, 50000}
_PREDICTED = {5, 8, 32946, 50000}  # compressions that take a predictor
_HORIZONTAL, _FLOATING = 2, 3  # predictors
_COLORS = {
    0: 'gray with white as 0',
    1: 'gray',
    2: 'RGB',
    3: 'palette',
    5: 'CMYK',
    6: 'YCbCr'
}
_UNSIGNED, _FLOAT = 1, 3  # sample formats
_SAMPLE_FORMATS = {2: 'signed', 3: 'floating-point'}
_DEPTHS = {
    (_UNSIGNED, 8): 'uint8',
    (_UNSIGNED, 16): 'uint16',
    (_FLOAT, 32): 'float32',
    (_FLOAT, 64): 'float64'
}
MAX_SAMPLES = 16


def depth(tags: tiff.Tags) -> str:
  """Returns the type of a sample, such as 'uint8'; '' if not supported."""
  kind = tags.first(tiff.SAMPLE_FORMAT), tags.first(tiff.BITS)
  return _DEPTHS.get(kind, '')


def find_other_kind(tags: tiff.Tags, stacked: str) -> str:
  """Returns the unsupported kind of the pixels; '' if they are supported.

  tiff_parts.check checks the image's size and its strips or tiles.

  Args:
    tags: of one image.
    stacked: how the file is read: 'planes' allows up to MAX_SAMPLES samples a
      pixel, of all depths; 'pages' gray of all depths; '' gray of all depths,
      8-bit RGB, and a file of one image only.
  """
  bits, samples = tags.first(tiff.BITS), tags.first(tiff.SAMPLES)
  color = _COLORS.get(tags.first(tiff.PHOTOMETRIC), 'another color space')
  formats = set(tags.numbers.get(tiff.SAMPLE_FORMAT, (_UNSIGNED,)))
  if color not in ('gray', 'RGB'):
    return f'{bits}-bit {color}'
  if stacked == 'planes':
    if samples > MAX_SAMPLES:
      return f'{samples:,} values a pixel'
  elif samples != (1 if color == 'gray' else 3):
    return f'{bits}-bit {color} with alpha: {samples} values a pixel'
  name = f'{bits}-bit {color}'
  if formats != {_UNSIGNED}:
    name = f'{_SAMPLE_FORMATS.get(max(formats), "untyped")} {name}'
  each, kind = tags.numbers.get(tiff.BITS, ()), depth(tags)
  is_uniform = len(formats) == 1 and each in ((bits,), (bits,) * samples)
  takes_colors = stacked == 'planes' or kind == 'uint8' and not stacked
  if not (kind and is_uniform and (samples == 1 or takes_colors)):
    return name
  return next(
      (f'a TIFF {wrong}' for wrong in _find_other_layouts(tags, stacked)), '')


def _find_other_layouts(tags: tiff.Tags, stacked: str) -> Iterator[str]:
  """As find_other_kind, of gray and RGB; yields each reason."""
  compression, predictor = map(tags.first, (tiff.COMPRESSION, tiff.PREDICTOR))
  fill_order, orientation, planar, samples = map(
      tags.first,
      (tiff.FILL_ORDER, tiff.ORIENTATION, tiff.PLANAR, tiff.SAMPLES))
  if compression not in _LOSSLESS:
    yield f'of compression {compression}'
  predicted = _FLOATING if depth(tags).startswith('float') else _HORIZONTAL
  if predictor != 1 and (predictor not in (_HORIZONTAL, predicted) or
                         compression not in _PREDICTED):
    yield f'of predictor {predictor}'
  if fill_order != 1:
    yield 'with reversed bits'
  if orientation != 1:
    yield f'rotated or mirrored (orientation {orientation})'
  if samples > 1 and planar != 1 and (stacked != 'planes' or
                                      planar != tiff.SEPARATE):
    yield 'with its colors in separate planes'
  hidden = tags.layers if stacked == 'pages' else tags.hidden
  if hidden:
    yield f'of several images ({hidden})'
