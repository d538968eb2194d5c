"""Specs of any number of classes and channels."""

from hpa_records.format import spec

_COLORS = ('#ff0000', '#00ff00', '#0000ff', '#ffff00', '#ff00ff', '#00ffff',
           '#ff8000', '#808080')


def make(num_classes: int,
         num_channels: int = 2,
         size_px: int = 24,
         encoding: str = 'raw') -> spec.Spec:
  """Returns a spec of classes 'class 0', ... and channels 'channel 0', ..."""
  return spec.Spec(
      tuple(f'class {k}' for k in range(num_classes)),
      tuple(
          spec.Channel(f'channel {c}', f'stain {c}', _COLORS[c % len(_COLORS)])
          for c in range(num_channels)), size_px, encoding)
