"""Reads the tags of a TIFF's directories that affect the pixels.

Parsers differ on unusual directories: of a duplicate tag Pillow takes the last,
libtiff (which Pillow uses for compressed files) the first, and both have their
own rules for types, counts, and strips beside tiles. So tiff_directory is the
only parser of a file's directories. Ambiguous files are refused (tiff_kind,
tiff_parts), and the decoder gets the strips or tiles of one image with a
directory that tiff_pixels makes from the checked numbers only. So what is
checked is what is decoded. The same holds for BigTIFF, and for each image of a
file with several.

Source: TIFF 6.0 (Adobe), sections 8, 14 and 15; MetaMorph Stack (STK) file
format; Exif 2.32 (CIPA).
"""

from typing import BinaryIO, NamedTuple

from hpa_records.images.containers import tiff_directory
from hpa_records.images.containers import tiff_text
from hpa_records.runtime import errors

WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC = 256, 257, 258, 259, 262
FILL_ORDER, ORIENTATION, SAMPLES, PLANAR = 266, 274, 277, 284
SAMPLE_FORMAT, PREDICTOR = 339, 317
STRIPS, STRIP_ROWS, STRIP_BYTES = 273, 278, 279
TILE_WIDTH, TILE_HEIGHT, TILES, TILE_BYTES = 322, 323, 324, 325
_DESCRIPTION, _SUB_DIRECTORIES, _DEPTH, _STACK_PLANES = 270, 330, 32997, 33629
SEPARATE = 2  # PLANAR: each sample has strips or tiles of its own

# Tags with a value for each color, strip or tile; the others have one value.
_LISTS = {BITS, SAMPLE_FORMAT, STRIPS, STRIP_BYTES, TILES, TILE_BYTES}
_TAGS = _LISTS | {
    WIDTH, HEIGHT, COMPRESSION, PHOTOMETRIC, SAMPLES, PREDICTOR, TILE_WIDTH,
    TILE_HEIGHT, FILL_ORDER, ORIENTATION, PLANAR, STRIP_ROWS, _DEPTH
}

MAX_IMAGES = 2**12  # 16 channels of 256 z planes
# Entries and values of all directories after the first. Each of 4,096
# directories may declare 65,536.
_MAX_NUMBERS = 2**20
_UNCOMPRESSED = 1


class Tags(NamedTuple):
  """The tags of a directory that affect the pixels.

  Attributes:
    order: byte order, '<' or '>'.
    numbers: values by tag.
    hidden: description of further images; '' if there is one image.
    layers: description of images in this one, which stacked files do not have
      either; '' if there are none.
    text: the description of the first image; its first part if it is long.
  """
  order: str
  numbers: dict[int, tuple[int, ...]]
  hidden: str
  layers: str = ''
  text: str = ''

  def first(self, tag: int) -> int:
    """Returns a tag's first value; 1, the default of all tags, if missing."""
    return self.numbers.get(tag, (1,))[0]

  @property
  def row_bytes(self) -> int:
    """Bytes of a row of all samples, uncompressed."""
    return self.first(WIDTH) * self.first(SAMPLES) * self.first(BITS) // 8


def read(file: BinaryIO, num_bytes: int) -> Tags:
  """Returns the tags of the first image of a TIFF or BigTIFF.

  Args:
    file: with the signature of a TIFF.
    num_bytes: its size.

  Raises:
    errors.DataError: the directory is ambiguous or invalid.
    struct.error: the directory is truncated.
  """
  return _read_tags(tiff_directory.read(file, num_bytes), with_text=True)


def read_all(file: BinaryIO, num_bytes: int) -> tuple[Tags, ...]:
  """Returns the tags of all images of a TIFF or BigTIFF.

  The images of an uncompressed stack may follow each other without directories
  of their own, as ImageJ and tifffile write large stacks.

  Args and errors: as of read; also an errors.DataError for more than MAX_IMAGES
  images, and a stack without directories that is compressed.
  """
  found: list[Tags] = []
  read_numbers = 0
  for directory in tiff_directory.walk(file, num_bytes):
    if len(found) == MAX_IMAGES:
      raise errors.DataError(
          f'expected at most {MAX_IMAGES:,} images in a TIFF, received more')
    tags = _read_tags(directory, with_text=not found)
    if found:
      read_numbers += len(directory.entries) + sum(
          map(len, tags.numbers.values()))
    if read_numbers > _MAX_NUMBERS:
      raise errors.DataError('too many values in the directories of a TIFF')
    found.append(tags)
  if len(found) > 1:
    return tuple(found)
  return _split(found[0])


def _split(tags: Tags) -> tuple[Tags, ...]:
  """Returns the tags of each image of a file with one directory."""
  count = tiff_text.count_planes(tags.text,
                                 tags.first(WIDTH) * tags.first(HEIGHT),
                                 tags.first(SAMPLES))
  if count <= 1:
    return (tags,)
  if count > MAX_IMAGES:
    raise errors.DataError(f'expected at most {MAX_IMAGES:,} images in a TIFF, '
                           f'received {count:,}')
  starts = tags.numbers.get(STRIPS, ())
  height = tags.first(HEIGHT)
  strip_bytes = tags.row_bytes * min(height,
                                     tags.numbers.get(STRIP_ROWS, (height,))[0])
  if tags.first(COMPRESSION) != _UNCOMPRESSED or not starts or starts != tuple(
      starts[0] + i * strip_bytes for i in range(len(starts))):
    raise errors.DataError(
        f'expected a directory for each of {count:,} images in a TIFF, '
        'received one')
  image_bytes = height * tags.row_bytes
  return tuple(
      tags._replace(
          numbers={
              **tags.numbers, STRIP_ROWS: (height,),
              STRIPS: (starts[0] + i * image_bytes,),
              STRIP_BYTES: (image_bytes,)
          }) for i in range(count))


def _read_tags(directory: tiff_directory.Directory, with_text: bool) -> Tags:
  """Returns the tags of one directory; errors as of read."""
  numbers: dict[int, tuple[int, ...]] = {}
  text = ''
  for entry in directory.entries:
    if entry.tag in _TAGS:
      if entry.tag in numbers:
        raise errors.DataError(f'duplicate tag {entry.tag} in a TIFF')
      found = numbers[entry.tag] = directory.read_numbers(entry)
      if entry.tag not in _LISTS and len(found) > 1:
        raise errors.DataError(f'expected one value in tag {entry.tag} of a '
                               f'TIFF, received {len(found):,}')
    elif (with_text and entry.tag == _DESCRIPTION and not text and
          entry.kind == tiff_directory.ASCII):
      text = directory.read_text(entry, tiff_text.MAX_BYTES)
  if {WIDTH, HEIGHT, PHOTOMETRIC} - numbers.keys():
    raise errors.DataError('TIFF without a width, a height or a color space')
  # The most values of each other tag.
  counts: dict[int, int] = {}
  for entry in directory.entries:
    if entry.tag in (_SUB_DIRECTORIES, _STACK_PLANES):
      counts[entry.tag] = max(entry.count, counts.get(entry.tag, 0))
  layers = _find_layers(counts, numbers)
  hidden = layers or _find_hidden(directory.following, counts, numbers, text)
  return Tags(directory.order, numbers, hidden, layers, text)


def _find_layers(counts: dict[int, int], numbers: dict[int, tuple[int,
                                                                  ...]]) -> str:
  """Returns Tags.layers."""
  if numbers.get(_DEPTH, (1,)) != (1,):
    return f'{numbers[_DEPTH][0]:,} layers'
  planes = counts.get(_STACK_PLANES, 0)
  return f'a MetaMorph stack of {planes:,}' if planes > 1 else ''


def _find_hidden(following: int, counts: dict[int, int],
                 numbers: dict[int, tuple[int, ...]], text: str) -> str:
  """Returns Tags.hidden of an image without layers."""
  if following:
    return 'each with a directory'
  if counts.get(_SUB_DIRECTORIES):
    return 'a pyramid, or other sub-images'
  width, height, samples = (
      numbers.get(tag, (1,))[0] for tag in (WIDTH, HEIGHT, SAMPLES))
  return tiff_text.describe_planes(text, width * height, samples)
