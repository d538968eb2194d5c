"""What a training run is: one frozen value, checked when it is made.

Each field carries its help, its values and what it decides (setting.py), and
the flags of the command are made of that; those of the recipe stand in recipe/.
Defaults are Table 1's of the paper; docs/train.md lists where they differ from
the original GapNet-PL's. A run writes its configuration to config.json, and a
run that is continued must have the same arithmetic.
"""

import dataclasses
import functools
from typing import Any, Callable

from hpa_records.reading import how as how_lib
from hpa_records.runtime import errors
from hpa_records.sampling import balance as balance_lib
from hpa_records.sampling import balance_flags
from trainer import remote_tpu
from trainer import setting
from trainer.recipe import augmentation
from trainer.recipe import optimization
from trainer.recipe import schedule
from trainer.recipe import starting_weights

ACTIVATIONS = ('selu', 'prelu', 'relu', 'leaky_relu', 'probact', 'elu', 'swish',
               'gelu')
VARIANTS = ('original', 'kaggle')
# Each network, and its activation unless another is asked for.
OWN_ACTIVATIONS = {
    'gapnet_pl': 'prelu',
    'densenet121': 'relu',
    'resnet50': 'relu',
    'xception': 'relu',
    'efficientnetv2_s': 'swish',
    'convnext_tiny': 'gelu',
    'deeploc': 'relu',
    'deeploc_gapnet': 'selu',
    'deepyeast': 'relu',
    'fcn': 'relu',
    'mcnn': 'relu',
    'mil': 'relu',
    'resnet18': 'relu',
    'se_resnext50': 'relu',
    'densenet121_bestfitting': 'relu',
    'alexnet': 'relu',
}
MODELS = tuple(OWN_ACTIVATIONS)
INPUT_SCALINGS = ('dataset', 'image')
PRECISIONS = ('float32', 'bfloat16')
DROPOUT_MASKS = ('example', 'batch')
DISTRIBUTIONS = ('auto', 'cpu', 'gpu', 'mirrored', 'multi_worker', 'tpu')
XLA = ('auto', 'on', 'off')
WEIGHTS = ('last', 'best')  # of a finished fold, by epoch

# Settings that say which fold it is and where its files are.
PLACES = ('fold', 'records', 'workdir', 'stage_dir', 'cache_dir', 'init_from',
          'weights_file')

RECORDS = 'records'  # in an identity: its fingerprint

_BALANCE = balance_lib.Balance()

(_data, _balance, _network, _reading, _devices,
 _run) = (functools.partial(setting.define, group)
          for group in ('Input and output', 'Balance', 'Network', 'Reading',
                        'Devices', 'Running'))


@dataclasses.dataclass(frozen=True)
class Config(starting_weights.StartingWeights, augmentation.Augmentation,
             optimization.Optimization, schedule.Schedule):
  """Everything that a run depends on.

  Raises:
    errors.DataError: a value is out of range.
  """
  records: str = _data('Folder that hpa-make-records wrote, or its address.',
                       is_free=True,
                       is_own=True)
  workdir: str = _data('Folder of the results, with a folder for each fold.',
                       is_free=True,
                       is_own=True)
  stage_dir: str = _data('Local folder to copy --records to first.',
                         '',
                         is_free=True,
                         is_own=True)
  fold: int = _data('Fold that is held out of training and scored.',
                    0,
                    within=(0, 2**16))  # which epoch_plan.Key holds
  balance: str = _balance(
      f'{balance_flags.HELP["balance"]} By default as stored.',
      '',
      choices=('', *balance_lib.POLICIES))
  balance_target: int = _balance(balance_flags.HELP['balance_target'],
                                 _BALANCE.target)
  balance_tolerance: float = _balance(balance_flags.HELP['balance_tolerance'],
                                      _BALANCE.tolerance)
  max_repeat: float = _balance(balance_flags.HELP['max_repeat'],
                               _BALANCE.max_repeat)
  balance_factors: str = _balance(balance_flags.HELP['balance_factors'],
                                  _BALANCE.factors)
  balance_percent: int = _balance(balance_flags.HELP['balance_percent'],
                                  _BALANCE.percent)
  class_draws: int = _balance('Draws an epoch for each class; 0: as --balance.',
                              0,
                              within=(0, setting.MOST))
  remedial: bool = _balance(
      'REMEDIAL: splits images of rare and frequent labels.', False)
  model: str = _network('The network.', 'gapnet_pl', choices=MODELS)
  variant: str = _network('Version of gapnet_pl: ml-jku/gapnet-pl, or Kaggle.',
                          'original',
                          choices=VARIANTS)
  activation: str = _network(
      'Activation of hidden layers; in gapnet_pl it sets initial weights and '
      'dropout, too. By default prelu in gapnet_pl, swish in efficientnetv2_s, '
      'gelu in convnext_tiny, selu in deeploc_gapnet, relu in the others.',
      '',
      choices=('', *ACTIVATIONS))
  input_scaling: str = _network(
      'Mean and deviation of the training folds, or of each image.',
      'dataset',
      choices=INPUT_SCALINGS)
  precision: str = _network('Floating-point type.',
                            'float32',
                            choices=PRECISIONS)
  dropout_mask: str = _network('Dropout draws a mask for each of these.',
                               'example',
                               choices=DROPOUT_MASKS)
  reader: str = _reading(
      'indexed: in the order of the epoch plan; streaming: by tf.data, with '
      'a shuffle buffer; auto: indexed.',
      how_lib.How.reader,
      choices=how_lib.READERS)
  cache: str = _reading(
      'Where pixels are kept once read; auto: device or host, if they fit.',
      how_lib.How.cache,
      choices=how_lib.CACHES,
      is_free=True)
  cache_dir: str = _reading(
      'For --cache=disk: keeps what comes from an address.',
      how_lib.How.cache_dir,
      is_free=True,
      is_own=True)
  cache_gb: float = _reading('Largest size of --cache_dir, GB.',
                             how_lib.How.cache_gb,
                             within=(setting.LEAST_FLOAT,
                                     setting.LARGEST_FLOAT),
                             is_free=True)
  check: str = _reading('crc: checks each record that is read by index.',
                        how_lib.How.check,
                        choices=how_lib.CHECKS,
                        is_free=True)
  shuffle_mb: int = _reading('Shuffle buffer of the streaming reader, MiB.',
                             how_lib.How.shuffle_mb,
                             within=(1, setting.MOST))
  data_service: str = _reading(
      'Input workers, grpc://host:port; see hpa-serve-input.',
      how_lib.How.data_service,
      is_free=True)
  distribute: str = _devices(
      'auto: the first available of the workers of TF_CONFIG (multi_worker), a '
      'TPU, all GPUs (mirrored), a GPU, the CPU.',
      'auto',
      choices=DISTRIBUTIONS,
      is_free=True)
  tpu: str = _devices(
      'TPU of --distribute=tpu, name or address; local: of this machine.',
      'local',
      is_free=True)
  xla: str = _devices(
      'Compile the steps by XLA; auto: on GPUs. TPUs always do.',
      'auto',
      choices=XLA,
      is_free=True)
  steps_per_call: int = _devices(
      'Training steps in one compiled call; 0: those of about a second.',
      0,
      within=(0, setting.MOST),
      is_free=True)
  deterministic: bool = _devices(
      'Use deterministic operations: the same bits in each run on a device.',
      False,
      is_free=True)
  checkpoint_steps: int = _run(
      'Steps between checkpoints inside an epoch; 0: none.',
      0,
      within=(0, setting.MOST),
      is_free=True)
  profile: bool = _run('Trace one call of compiled steps, for TensorBoard.',
                       False,
                       is_free=True)

  def __post_init__(self):
    setting.check_all(self)
    monitor = 'accuracy_argmax' if self.is_single_label else 'f1_macro'
    # What decides a run is in config.json, not left to a later version.
    object.__setattr__(self, 'activation', self.activation or
                       OWN_ACTIVATIONS[self.model])
    object.__setattr__(self, 'plateau_monitor', self.plateau_monitor or monitor)
    object.__setattr__(
        self, 'learning_rate', self.learning_rate or
        optimization.OPTIMIZERS[self.optimizer])
    self._check_recipe()
    if self.data_service and self.checkpoint_steps:
      raise errors.DataError(
          'Expected --checkpoint_steps=0 with --data_service, whose order no '
          f'run repeats, received {self.checkpoint_steps}.')
    if (self.mixup or self.cutmix) and self.loss in optimization.UNMIXED:
      raise errors.DataError(
          f'Expected --mixup=0 and --cutmix=0 with --loss={self.loss}, which '
          f'has no value for mixed labels, received {self.mixup} and '
          f'{self.cutmix}; pass --loss=focal.')
    if self.remedial and self.is_single_label:
      raise errors.DataError(
          '--remedial splits images of several labels, and --loss=softmax has '
          'none; leave --remedial out.')
    starting_weights.check(self, self.model, self.activation,
                           OWN_ACTIVATIONS[self.model])
    remote_tpu.check_input(
        self.distribute, self.tpu,
        **{each: getattr(self, each) for each in remote_tpu.OF_INPUT})
    _ = self.rebalance, self.reading

  def _check_recipe(self) -> None:
    """Raises DataError for settings of the recipe that exclude each other."""
    if self.class_weights != optimization.NONE and self.loss == 'focal_lovasz':
      raise errors.DataError(
          f'Expected --class_weights={optimization.NONE} with '
          '--loss=focal_lovasz, which is not a sum over classes, received '
          f'{self.class_weights}.')
    if self.accumulate > 1 and self.loss in optimization.OF_BATCH:
      raise errors.DataError(
          f'Expected --accumulate=1 with --loss={self.loss}, which is of the '
          f'whole batch, not of its parts, received {self.accumulate}.')
    if self.schedule == schedule.PLATEAU:
      return
    if self.warmup_epochs >= self.epochs:
      raise errors.DataError(
          f'Expected --warmup_epochs below --epochs={self.epochs} with '
          f'--schedule={self.schedule}, received {self.warmup_epochs}.')
    if self.min_learning_rate > self.learning_rate:
      raise errors.DataError(
          f'--schedule={self.schedule} falls from --learning_rate to '
          f'--min_learning_rate: expected at most {self.learning_rate}, '
          f'received {self.min_learning_rate}.')

  @property
  def rebalance(self) -> balance_lib.Balance | None:
    """What replaces the stored repeats; None if nothing does."""
    return balance_lib.of_flags(self) if self.balance else None

  @property
  def reading(self) -> how_lib.How:
    """How records are read."""
    return how_lib.How(self.reader, self.cache, self.check, self.shuffle_mb,
                       self.data_service, self.cache_dir, self.cache_gb)

  @property
  def is_single_label(self) -> bool:
    """Whether classes exclude each other: a record has exactly one label."""
    return self.loss == 'softmax'

  @property
  def monitor_mode(self) -> str:
    """'max' if more of the monitored score is better, else 'min'."""
    return 'min' if self.plateau_monitor == schedule.VAL_LOSS else 'max'

  def common(self, reader: str) -> dict[str, Any]:
    """Returns what all workers of a run must have alike.

    Args:
      reader: that was chosen, as of identity.
    """
    return self._select(lambda each: not each.is_own) | {'reader': reader}

  def identity(self, fingerprint: str, reader: str = '') -> dict[str, Any]:
    """Returns what decides a run's numbers, as JSON types.

    Args:
      fingerprint: sha256 of the dataset; where that lies decides nothing.
      reader: 'indexed' or 'streaming', as reader.choose chose by the dataset:
        it decides the order. '' takes that of the configuration, as one from
        config.json has it.
    """
    kept = self._select(lambda each: not each.is_free)
    if self.schedule != schedule.PLATEAU:  # they decide the rate of each step
      kept['epochs'] = self.epochs
    return {**kept, 'reader': reader or self.reader, RECORDS: fingerprint}

  def _select(self, wanted: Callable[[setting.Setting],
                                     bool]) -> dict[str, Any]:
    """The values of some settings by name."""
    return {
        field.name: getattr(self, field.name)
        for field in setting.list_fields(type(self))
        if wanted(setting.of(field))
    }
