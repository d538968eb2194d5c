"""Specs with any numbers of classes and channels."""

from hpa_records.format import spec as spec_lib


def make(image_size: int,
         num_channels: int = 4,
         num_classes: int = 28) -> spec_lib.Spec:
  """Returns a spec; classes and channels are named by their numbers."""
  return spec_lib.Spec(
      tuple(f'class {i}' for i in range(num_classes)),
      tuple(spec_lib.Channel(f'channel {i}') for i in range(num_channels)),
      image_size)
