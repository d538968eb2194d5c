"""Settings of what is done to the images of a batch."""

import dataclasses
import functools

from hpa_records.sampling import epoch_plan
from trainer import setting

_define = functools.partial(setting.define, 'Augmentation')


@dataclasses.dataclass(frozen=True, kw_only=True)
class Augmentation:
  """How drawn images differ from the stored ones."""
  augment: str = _define(
      'Draws with a random symmetry of the square. copies: those of an image '
      'beyond its first; paper: the same, by the six of the paper; all; none.',
      'copies',
      choices=epoch_plan.AUGMENTS)
