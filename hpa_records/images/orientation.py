"""How an image file says that it is turned or mirrored: Exif and XMP."""

import io
import re
import struct

from hpa_records.images import tiff
from hpa_records.images import tiff_directory
from hpa_records.runtime import errors

EXIF = b'Exif\0\0'  # stands before it in a JPEG
MAX_BYTES = 2**20  # of Exif or XMP; of longer ones no more is looked at
_XMP_ORIENTATION = re.compile(
    rb'tiff:Orientation(?:\s*=\s*["\']|>)\s*([0-9])\b')


def find_in_exif(exif: bytes) -> set[int]:
  """Returns the orientations that Exif, which is laid out as TIFF, declares.

  None where it cannot be read: viewers then show the pixels as they are.
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


def describe(orientations: set[int], kind: str, told_by: str = 'Exif') -> str:
  """Returns how a file says that it is turned; '' if it does not.

  Viewers turn such pictures, decoders do not; 0 is what some cameras say for
  none.
  """
  turned = orientations - {0, 1}
  return (f'a {kind} turned or mirrored ({told_by} orientation {min(turned)})'
          if turned else '')
