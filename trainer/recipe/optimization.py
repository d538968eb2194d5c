"""Settings of loss, optimizer and weight decay."""

import dataclasses
import functools

from trainer import setting

LOSSES = ('bce', 'focal', 'focal_lovasz', 'softmax')

_define = functools.partial(setting.define, 'Optimization')


@dataclasses.dataclass(frozen=True, kw_only=True)
class Optimization:
  """What a step minimizes, and how."""
  loss: str = _define(
      'Training loss; softmax: for records with exactly one label each.',
      'bce',
      choices=LOSSES)
  batch_size: int = _define('Global batch of training.',
                            80,
                            within=(1, setting.MOST))
  learning_rate: float = _define('Initial learning rate of SGD.',
                                 0.1,
                                 within=(setting.LEAST_FLOAT,
                                         setting.LARGEST_FLOAT))
  momentum: float = _define('Momentum of SGD.', 0.9, within=(0, 1))
  clip_norm: float = _define(
      'Largest global norm of the gradients; 0 does not clip.',
      5.0,
      within=(0, 1e30),  # 1 / 1e38 is 0 where small floats are flushed
      or_0=True)
  l1: float = _define('Weight decay: factor of sum |w|.', 0.0, **setting.FROM_0)
  l2: float = _define('Weight decay: factor of sum w^2.', 0.0, **setting.FROM_0)
  decay_biases: bool = _define('Weight decay of biases, not of kernels alone.',
                               False)
  seed: int = _define('Seed of weights, order, augmentation and dropout.',
                      0,
                      within=(0, 2**63))
