"""Settings of what is done to the images of a batch."""

import dataclasses
import functools

from hpa_records.sampling import epoch_plan
from trainer import setting

_define = functools.partial(setting.define, 'Augmentation')


def _up_to(text: str, below: float) -> float:
  """A magnitude from 0, which is off, to below a bound."""
  return _define(text, 0.0, within=(0, below), or_0=True)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Augmentation:
  """How drawn images differ from the stored ones.

  The symmetries of the square depend on which copy of an image is drawn; all
  other changes apply to every draw.

  Raises:
    errors.DataError: a value is out of range.
  """
  augment: str = _define(
      'Random symmetry: copies (all but the first of an image), paper (the '
      'same, one of its six), all, none.',
      'copies',
      choices=epoch_plan.AUGMENTS)
  scale: float = _up_to('Random zoom of 1/(1 + x) to 1 + x.', 1)
  shift: float = _up_to('Random shift of at most this part of the side.', 1)
  rotate: float = _up_to('Random rotation of at most so many degrees.', 181)
  blur: float = _up_to('Random blur; largest sigma in pixels.', 10)
  intensity: float = _up_to('Random factor of a channel, 1/(1 + x) to 1 + x.',
                            10)
  gamma: float = _up_to('Random exponent of a channel, 1/(1 + x) to 1 + x.', 10)
  noise: float = _up_to('Random noise; largest deviation, of 255.', 256)
  channel_drop: float = _up_to('Probability that a channel is black.', 1)
  cutout: float = _up_to('Random black square; largest part of the side.', 1)
  mixup: float = _up_to('Alpha of MixUp: blends images and labels.', 1000)
  cutmix: float = _up_to('Alpha of CutMix: a box of another image.', 1000)
  rana_mix: float = _up_to(
      'Part of the pairs of a rare class that become mixes.', 1)

  def __post_init__(self):
    setting.check_all(self)

  @property
  def active(self) -> tuple[str, ...]:
    """Names of the changes that are on, besides the symmetries."""
    return tuple(field.name
                 for field in dataclasses.fields(Augmentation)
                 if field.type is float and getattr(self, field.name) > 0)

  @property
  def mixes(self) -> bool:
    """Whether images are mixed with others of the batch, in pairs."""
    return self.mixup > 0 or self.cutmix > 0 or self.rana_mix > 0
