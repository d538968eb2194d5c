"""Settings of the weights that a training starts from, and of their rates."""

import dataclasses
import functools

from hpa_records.runtime import errors
from trainer import setting

STEM, ALL_BUT_HEAD = 'stem', 'all_but_head'
IMAGENET = 'imagenet'
_OF_IMAGENET = ('densenet121', 'densenet121_bestfitting', 'resnet50',
                'xception', 'efficientnetv2_s', 'convnext_tiny')

_define = functools.partial(setting.define, 'Starting weights')


@dataclasses.dataclass(frozen=True, kw_only=True)
class StartingWeights:
  """Where the first weights come from, and how much each layer may change."""
  init_from: str = _define(
      'Start from the weights of a run or pre-training (its fold of the same '
      'number), of one fold, or of a .keras file. By default fresh weights.',
      '',
      is_free=True)
  pretrained: str = _define('Start a network of Keras from ImageNet.',
                            '',
                            choices=('', IMAGENET))
  weights_file: str = _define(
      'File of those weights; by default Keras downloads it.', '', is_free=True)
  freeze: str = _define(
      'Layers that keep their starting weights: the stem before the first '
      'blocks, or all but the last dense layer.',
      '',
      choices=('', STEM, ALL_BUT_HEAD))
  stem_rate: float = _define(
      'Factor on the learning rate of the first layer; that of the last is 1, '
      'and those between are interpolated geometrically.',
      1.0,
      within=(1e-9, 1e9))


def check(settings: StartingWeights, model: str, activation: str,
          own: str) -> None:
  """Checks that the settings fit each other and the network.

  Args:
    settings: of the run.
    model: its network, one of config.MODELS.
    activation: of the network, one of config.ACTIVATIONS.
    own: the network's own one, which its weights of ImageNet are for.

  Raises:
    errors.DataError: they do not.
  """
  if settings.pretrained and settings.init_from:
    raise errors.DataError(
        'Expected one of --pretrained and --init_from, received '
        f'--pretrained={settings.pretrained} and '
        f'--init_from={settings.init_from}; leave one of them out.')
  if settings.pretrained and model not in _OF_IMAGENET:
    raise errors.DataError(
        f'There are no weights of {settings.pretrained} for --model={model}; '
        f'pass one of {", ".join(_OF_IMAGENET)}, or leave --pretrained out.')
  if settings.pretrained and activation != own:
    raise errors.DataError(
        f'The weights of {settings.pretrained} for --model={model} are for '
        f'--activation={own}, received {activation}; leave one of '
        '--activation and --pretrained out.')
  if settings.weights_file and not settings.pretrained:
    raise errors.DataError(
        f'Expected --pretrained={IMAGENET} with '
        f'--weights_file={settings.weights_file}; pass both.')
  if settings.freeze and not (settings.pretrained or settings.init_from):
    raise errors.DataError(
        f'--freeze={settings.freeze} would keep random weights; pass '
        '--init_from or --pretrained, too, or leave --freeze out.')
