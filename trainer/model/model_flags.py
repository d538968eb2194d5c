"""Flags of the commands that run trained models."""

from absl import flags

from trainer import config

DEVICES = ('batch_size', 'distribute', 'tpu')


def define_weights() -> flags.FlagHolder[str]:
  """Defines --weights, one of config.WEIGHTS."""
  return flags.DEFINE_enum(
      'weights', config.WEIGHTS[0], config.WEIGHTS,
      'Weights of each model: after the last epoch, or after the best.')


def define_devices() -> tuple[flags.FlagHolder, ...]:
  """Defines DEVICES, and returns their holders in that order."""
  return (
      flags.DEFINE_integer('batch_size', 32, 'Global batch.', lower_bound=1),
      flags.DEFINE_enum(
          'distribute', 'auto',
          [each for each in config.DISTRIBUTIONS if each != 'multi_worker'],
          'auto: the first available of a TPU, all GPUs (mirrored), a GPU, '
          'the CPU.'),
      flags.DEFINE_string(
          'tpu', 'local',
          'TPU of --distribute=tpu, name or address; local: of this machine.'),
  )
