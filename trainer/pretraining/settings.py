"""What a pre-training is: one frozen value, checked when it is made.

Settings that hpa-train has, too, are its own, with its help and values. What
defaults differ are those of SIFLoc, where its source states them; docs/
pretrain.md lists them.

Source: Tu et al., "SIFLoc", 2022; Outliers1106/SIFLoc, src/config.py.
"""

from collections.abc import Sequence
import dataclasses
import functools
from typing import Any

from hpa_records.runtime import errors
from hpa_records.runtime import printable
from trainer import config as config_lib
from trainer import setting
from trainer.recipe import schedule

SIFLOC, NT_XENT, ARCFACE = LOSSES = ('sifloc', 'nt_xent', 'arcface')
_VIEWS = {SIFLOC: 3, NT_XENT: 2, ARCFACE: 1}
_MOST_MAGNITUDE = 30  # of RandAugment
_MOST_OPERATIONS = 10
_SEPARATOR = ','
_OF_TRAINING = {
    each.name: each for each in dataclasses.fields(config_lib.Config)
}
_augmentation, _optimization, _schedule = (functools.partial(
    setting.define, group) for group in ('Augmentation', 'Optimization',
                                         'Schedule and metrics'))


def _same(name: str, *default: Any) -> Any:
  """A setting of hpa-train, with its default or another one."""
  field = _OF_TRAINING[name]
  # pylint: disable-next=invalid-field-call
  return dataclasses.field(default=(*default, field.default)[0],
                           metadata=field.metadata)


@dataclasses.dataclass(frozen=True)
class Settings:
  """Everything that a pre-training depends on.

  Raises:
    errors.DataError: a value is out of range.
  """
  records: str = setting.define(
      'Input and output',
      'Folders or addresses of records, labelled or not, separated by commas.',
      is_free=True,
      is_own=True)
  workdir: str = _same('workdir')
  fold: int = setting.define(
      'Input and output',
      'Fold of the labelled records that is held out, as in hpa-train.',
      0,
      within=(0, 2**16))
  model: str = _same('model')
  variant: str = _same('variant')
  activation: str = _same('activation')
  input_scaling: str = _same('input_scaling')
  precision: str = _same('precision')
  crop: float = _augmentation(
      'Smallest area of a random crop, as a part of the image.',
      0.2,
      within=(0.01, 1.01))
  intensity: float = _same('intensity', 0.4)
  operations: int = _augmentation("RandAugment's operations on the third view.",
                                  2,
                                  within=(0, _MOST_OPERATIONS))
  magnitude: float = _augmentation('Their strength, 0 to 30.',
                                   10.0,
                                   within=(0, _MOST_MAGNITUDE + 1e-6))
  loss: str = _optimization(
      'sifloc: of three views, positives are left out of the denominators; '
      'nt_xent: of two views, they are not; arcface: of one, by --identity.',
      SIFLOC,
      choices=LOSSES)
  identity: str = _optimization(
      'Column of index.parquet, such as antibody, whose values arcface tells '
      'apart.', '')
  temperature: float = _optimization('What similarities are divided by.',
                                     0.1,
                                     within=(1e-3, 1e3))
  projection: int = _optimization('Numbers of an image in the loss.',
                                  128,
                                  within=(1, 2**16))
  batch_size: int = _optimization(
      'Global batch: images, each in all its views.', 32, within=(2, 2**20))
  optimizer: str = _same('optimizer')
  learning_rate: float = _same('learning_rate')
  momentum: float = _same('momentum')
  clip_norm: float = _same('clip_norm')
  l2: float = _same('l2')
  weight_decay: float = _same('weight_decay')
  seed: int = _optimization('Seed of weights, order and views.',
                            0,
                            within=(0, 2**63))
  epochs: int = _schedule('Epochs, over which the rate falls in one cosine.',
                          100,
                          within=(1, 10**5))
  warmup_epochs: float = _schedule('Epochs over which the rate rises first.',
                                   0.0, **setting.FROM_0)
  knn_epochs: int = _schedule(
      'Epochs between scores by nearest neighbours; 0: none.',
      5,
      within=(0, setting.MOST),
      is_free=True)
  distribute: str = _same('distribute')
  xla: str = _same('xla')
  deterministic: bool = _same('deterministic')
  checkpoint_steps: int = _same('checkpoint_steps')

  def __post_init__(self):
    setting.check_all(self)
    if (self.loss == ARCFACE) != bool(self.identity):
      raise errors.DataError(
          f'Expected --identity=COLUMN with --loss={ARCFACE}, and with no '
          f'other, received --loss={self.loss} and '
          f'--identity={printable.quote(self.identity)}.')
    for name in ('activation', 'learning_rate'):  # '' and 0: by other settings
      object.__setattr__(self, name, getattr(self.training, name))

  @property
  def addresses(self) -> list[str]:
    """The folders or addresses of --records."""
    return split(self.records)

  @property
  def num_views(self) -> int:
    """Views of an image that the loss takes."""
    return _VIEWS[self.loss]

  @functools.cached_property
  def training(self) -> config_lib.Config:
    """The same settings for the parts that hpa-train has, too."""
    names = _OF_TRAINING.keys() - {'loss', 'intensity', 'records'}
    shared = {
        each.name: getattr(self, each.name)
        for each in dataclasses.fields(self)
        if each.name in names
    }
    return config_lib.Config(records='',
                             augment='none',
                             schedule=schedule.COSINE,
                             **shared)

  def list_decisive(self, fingerprint: str) -> dict[str, Any]:
    """Returns what decides the numbers of a run, as JSON types.

    Args:
      fingerprint: of the records.
    """
    kept = {
        each.name: getattr(self, each.name)
        for each in setting.list_fields(type(self))
        if not setting.of(each).is_free
    }
    return {**kept, config_lib.RECORDS: fingerprint}


def split(records: str) -> list[str]:
  """Returns the folders or addresses of a value of --records."""
  return records.split(_SEPARATOR)


def join(addresses: Sequence[str]) -> str:
  """Returns the value of --records of folders or addresses."""
  return _SEPARATOR.join(addresses)
