"""The orientation (rotated or mirrored) that Exif and XMP declare."""

import io
import re
import struct

from hpa_records.images.containers import tiff
from hpa_records.images.containers import tiff_directory
from hpa_records.runtime import errors

EXIF = b'Exif\0\0'  # precedes Exif in a JPEG
MAX_BYTES = 2**20  # of Exif or XMP; the rest is ignored
_XMP_ORIENTATION = re.compile(
    rb'tiff:Orientation(?:\s*=\s*["\']|>)\s*([0-9])\b')


def find_in_exif(exif: bytes) -> set[int]:
  """Returns the orientations that Exif declares.

  An empty set if it is damaged: viewers then ignore it.

  Args:
    exif: in TIFF layout.
  """
  if not exif.startswith((b'II*\0', b'MM\0*')):
    return set()
  try:
    directory = tiff_directory.read(io.BytesIO(exif), len(exif))
    return {
        directory.read_numbers(entry)[0]
        for entry in directory.entries
        if entry.tag == tiff.ORIENTATION
    }
  except (struct.error, errors.DataError):
    return set()


def find_in_xmp(text: bytes) -> set[int]:
  """Returns the orientations that XMP declares."""
  return set(map(int, _XMP_ORIENTATION.findall(text)))


def describe(orientations: set[int], kind: str, source: str = 'Exif') -> str:
  """Returns the description of a rotated or mirrored file; '' if upright.

  Viewers apply the orientation, decoders do not.

  Args:
    orientations: as found; 1 is upright, and some cameras write 0 for it.
    kind: format of the file.
    source: where the orientations were found.
  """
  found = orientations - {0, 1}
  return (f'a {kind} rotated or mirrored ({source} orientation {min(found)})'
          if found else '')
