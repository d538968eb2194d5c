"""Reads image files of hpa2018's channels as the converter does."""

import numpy as np

from hpa_records.images import decode as decode_lib
from hpa_records.images import how as how_lib
from hpa_records.images import intensity
from hpa_records.images import resize as resize_lib

CHANNELS = ('red', 'green', 'blue', 'yellow')
_COLORS = ('#ff0000', '#00ff00', '#0000ff', '#ffff00')


def how(size_px: int,
        resize: str = resize_lib.DEFAULT_FILTER,
        white_level: int = 0) -> how_lib.How:
  """Returns How for the four channels; white_level 0 is not given."""
  levels = (white_level,) * len(CHANNELS) if white_level else ()
  return how_lib.How(size_px, CHANNELS, _COLORS, resize,
                     intensity.Rule('white_level', levels))


def decode(data: bytes, name: str, channel: str,
           white_level: int) -> np.ndarray:
  """Returns the plane [H, W] of a file's content."""
  return decode_lib.decode(data, name, how(1, white_level=white_level),
                           CHANNELS.index(channel))


def check(path: str, channel: str, white_level: int) -> tuple[int, int]:
  """Returns (height, width) of a file by its header."""
  found = decode_lib.measure(path, how(1, white_level=white_level),
                             CHANNELS.index(channel))
  return found.height, found.width
