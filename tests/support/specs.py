"""Kaggle's spec, and specs with any numbers of classes and channels."""

from hpa_records.datasets import description
from hpa_records.format import spec as spec_lib

KAGGLE = description.default().spec(299)
CHANNELS = KAGGLE.channel_names

_COLORS = ('#ff0000', '#00ff00', '#0000ff', '#ffff00', '#ff00ff', '#808080')


def make(image_size: int,
         num_channels: int = 4,
         num_classes: int = 28,
         encoding: str = 'raw') -> spec_lib.Spec:
  """Returns a spec; classes and channels are named by their numbers."""
  return spec_lib.Spec(
      tuple(f'class {i}' for i in range(num_classes)),
      tuple(
          spec_lib.Channel(f'channel {i}', f'stain {i}', _COLORS[i %
                                                                 len(_COLORS)])
          for i in range(num_channels)), image_size, encoding)
