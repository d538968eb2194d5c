"""Reads one image file of hpa2018 as the converter does."""

import numpy as np

from hpa_records.format import spec
from hpa_records.images import decode as decode_lib
from hpa_records.images import how


def decode(data: bytes, name: str, channel: str,
           white_level: int) -> np.ndarray:
  """Returns the plane [H, W] of a file's content."""
  return decode_lib.decode(data, name, how.of_settings(1, 'area', white_level),
                           spec.CHANNELS.index(channel))


def check(path: str, channel: str, white_level: int) -> tuple[int, int]:
  """Returns (height, width) of a file by its header."""
  found = decode_lib.measure(path, how.of_settings(1, 'area', white_level),
                             spec.CHANNELS.index(channel))
  return found.height, found.width
