"""Settings of loss, optimizer and weight decay."""

import dataclasses
import functools

from trainer import setting

LOSSES = ('bce', 'focal', 'asymmetric', 'focal_lovasz', 'lovasz_softmax',
          'lovasz_hinge', 'bestfitting', 'softmax')
OF_BATCH = ('lovasz_softmax', 'lovasz_hinge', 'bestfitting')  # no sums over it
# Those without a value for mixed labels.
UNMIXED = ('focal_lovasz', 'lovasz_hinge', 'bestfitting')
# Each optimizer, and its learning rate if none is set. Sources: Table 1 of the
# paper; Keras's AdamW; Chen et al., "Symbolic Discovery of Optimization
# Algorithms", 2023, section 5: a rate 3 to 10 times smaller than AdamW's.
OPTIMIZERS = {'sgd': 0.1, 'adamw': 1e-3, 'lion': 1e-4}
NONE = 'none'
CLASS_WEIGHTS = (NONE, 'inverse', 'sqrt_inverse')

_define = functools.partial(setting.define, 'Optimization')


@dataclasses.dataclass(frozen=True, kw_only=True)
class Optimization:
  """What a step minimizes, and how."""
  loss: str = _define(
      'Training loss; softmax: for records with exactly one label each.',
      'bce',
      choices=LOSSES)
  label_smoothing: float = _define(
      'Part of a label that all answers share, in training.',
      0.0,
      within=(0, 1))
  class_weights: str = _define(
      'Factor of each class in the training loss, by 1 / its draws, or the '
      'square root of that.',
      NONE,
      choices=CLASS_WEIGHTS)
  batch_size: int = _define('Global batch of training.',
                            80,
                            within=(1, setting.MOST))
  accumulate: int = _define('Parts of a batch that a step computes in turn.',
                            1,
                            within=(1, setting.MOST))
  optimizer: str = _define("The optimizer, with Keras's settings.",
                           'sgd',
                           choices=tuple(OPTIMIZERS))
  learning_rate: float = _define(
      'Learning rate, of each --schedule the highest; 0: '
      f'{", ".join(f"{name} {rate}" for name, rate in OPTIMIZERS.items())}.',
      0.0, **setting.FROM_0)
  momentum: float = _define('Momentum of SGD.', 0.9, within=(0, 1))
  clip_norm: float = _define(
      'Largest global norm of the gradients; 0 does not clip.',
      5.0,
      within=(0, 1e30),  # 1 / 1e38 is 0 where small floats are flushed
      or_0=True)
  l1: float = _define('Weight decay in the loss: factor of sum |w|.', 0.0,
                      **setting.FROM_0)
  l2: float = _define('Weight decay in the loss: factor of sum w^2.', 0.0,
                      **setting.FROM_0)
  weight_decay: float = _define(
      'Decoupled weight decay: rate * this * w a step.', 0.0, **setting.FROM_0)
  decay_biases: bool = _define('Weight decay of biases, not of kernels alone.',
                               False)
  ema: float = _define(
      'Decay of a moving average of the weights, such as .999, which is scored '
      'and predicts; 0: none.',
      0.0,
      within=(0, 1))
  seed: int = _define('Seed of weights, order, augmentation and dropout.',
                      0,
                      within=(0, 2**63))
