"""The settings that decide how the image files of a sample become one image."""

import dataclasses

from hpa_records.images import intensity as intensity_lib
from hpa_records.images import resize as resize_lib
from hpa_records.images import stack as stack_lib


@dataclasses.dataclass(frozen=True)
class How:
  """How the files of a sample become one image.

  Attributes:
    size_px: height and width of the image.
    channels: names of the C channels.
    colors: their display colors, '#rrggbb'; a tinted RGB file has this color.
    resize: one of resize.RESIZE_FILTERS.
    intensity: rule that makes 8-bit pixels.
    levels: of each channel, from histograms of the sample's plate or of the
      dataset if the rule says so, else ().
    stack: how a file with all channels is used; None if each channel has a
      file of its own.
    image_um: pixel size of the files in micrometers, passed by crop.check_um.
    stored_um: pixel size of the image, passed by crop.check_um; 0 keeps the
      whole field of view.
  """
  size_px: int
  channels: tuple[str, ...]
  colors: tuple[str, ...]
  resize: str = resize_lib.DEFAULT_FILTER
  intensity: intensity_lib.Rule = intensity_lib.Rule()
  levels: tuple[intensity_lib.Levels, ...] = ()
  stack: stack_lib.Stack | None = None
  image_um: float = 0
  stored_um: float = 0
