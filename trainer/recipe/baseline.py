"""Settings of a run without a network: a classifier of descriptors of images.

They take the place of config.Config in the folder of such a run.
"""

import dataclasses
import functools
from typing import Any

from trainer import setting
from trainer.recipe import schedule

CLASSIFIER = 'classifier'  # the name of the setting, which a network has not
CLASSIFIERS = ('random_forest', 'gradient_boosting', 'logistic_regression')

_data, _run = (functools.partial(setting.define, group)
               for group in ('Input and output', 'Running'))
_THRESHOLD = next(each for each in dataclasses.fields(schedule.Schedule)
                  if each.name == 'threshold')


@dataclasses.dataclass(frozen=True)
class Baseline:
  """Everything that such a run depends on.

  Raises:
    errors.DataError: a value is out of range.
  """
  records: str = _data('Folder that hpa-make-records wrote, or its address.')
  workdir: str = _data('Folder of the results, with a folder for each run.')
  fold: int = _data('Fold that is held out of training and scored.',
                    0,
                    within=(0, 2**16))
  classifier: str = _run('The classifier.', CLASSIFIERS[0], choices=CLASSIFIERS)
  descriptors: str = _run('What the descriptors are, as of their table.', '')
  seed: int = _run('Seed of the classifiers.', 0,
                   within=(0, 2**32))  # which scikit-learn takes
  single_label: bool = _run(
      'For records with exactly one label each: predict the most probable '
      'class, as --loss=softmax of hpa-train.', False)
  threshold: float = dataclasses.field(default=_THRESHOLD.default,
                                       metadata=_THRESHOLD.metadata)

  def __post_init__(self):
    setting.check_all(self)

  @property
  def is_single_label(self) -> bool:
    """Whether classes exclude each other, as of config.Config."""
    return self.single_label

  def identity(self, fingerprint: str) -> dict[str, Any]:
    """Returns what decides a run's numbers, as JSON types.

    Args:
      fingerprint: sha256 of the dataset; where that lies decides nothing.
    """
    return {**dataclasses.asdict(self), 'workdir': '', 'records': fingerprint}
