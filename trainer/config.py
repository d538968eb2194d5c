"""What a training run is: one frozen value, checked when it is made.

Defaults are the original GapNet-PL's where it has one, Table 1's of the paper
otherwise; main.py gives each field a flag. A run writes its configuration to
config.json, and a run that is continued must have the same arithmetic.
"""

import dataclasses
import json
import re
import sys
from typing import Any

from hpa_records.format import spec
from hpa_records.reading import dataset
from hpa_records.runtime import errors
from hpa_records.runtime import json_text
from hpa_records.runtime import printable
from hpa_records.sampling import balance as balance_lib
from hpa_records.sampling import epoch_plan

ACTIVATIONS = ('selu', 'prelu', 'relu', 'elu')
VARIANTS = ('original', 'kaggle')
MODELS = ('gapnet_pl', 'densenet121', 'resnet50', 'xception')
LOSSES = ('bce', 'focal', 'focal_lovasz')
INPUT_SCALINGS = ('dataset', 'image')
PRECISIONS = ('float32', 'bfloat16')
DISTRIBUTIONS = ('auto', 'cpu', 'gpu', 'mirrored', 'multi_worker', 'tpu')
XLA = ('auto', 'on', 'off')
MONITORS = ('f1_macro', 'f1_micro', 'auc_macro', 'loss')

_FINGERPRINT = 'records_sha256'
_USER = re.compile(r'(?<=://)[^/@]*@')  # name and password in an address
_SHA256 = re.compile('[0-9a-f]{1,64}')

# May differ when a run goes on: they change where and how long, not what.
_FREE = ('records', 'stage_dir', 'workdir', 'epochs', 'distribute', 'cache',
         'check', 'data_service', 'tpu', 'xla', 'steps_per_call',
         'checkpoint_steps', 'profile')
RECORDS = 'records'  # in an identity: its fingerprint
# What each worker of a run may have its own of.
_OWN = ('records', 'stage_dir', 'workdir', 'profile')


@dataclasses.dataclass(frozen=True)
class Config:
  """Everything that a run depends on.

  Attributes:
    records: folder of the dataset, or its address.
    stage_dir: local folder to copy the dataset to first; '' does not copy.
    workdir: folder of the results; a fold has its own folder inside.
    fold: held out of training and scored, 0..F-1.
    epochs: to train for.
    batch_size: global batch of training.
    eval_batch_size: batch of evaluation; of fewer images it is smaller.
    learning_rate: of SGD, at the start.
    momentum: of SGD.
    activation: of every hidden layer; it also picks initial weights and
      dropout.
    variant: 'original' (of ml-jku/gapnet-pl) or 'kaggle'.
    model: the network; variant is of gapnet_pl alone.
    loss: the training loss.
    input_scaling: 'dataset' (its mean and deviation per channel) or 'image'
      (each image's own, as the original).
    precision: 'float32' or 'bfloat16'.
    balance: policy of the draws in place of the stored repeats, which '' keeps.
    balance_target: this and the next three as of balance.Balance.
    balance_tolerance: as there.
    max_repeat: as there.
    balance_factors: as there, factors.
    augment: which draws get a random symmetry; one of epoch_plan.AUGMENTS.
    clip_norm: largest global norm of the gradients; 0 does not clip.
    l1: weight decay, sum of |w| over kernels (the original: 1e-7).
    l2: weight decay, sum of w**2 over kernels (the original: 1e-5).
    plateau_monitor: held-out score that halves the rate and picks the best.
    plateau_patience: epochs in a row without improvement before the rate falls.
    plateau_factor: what the rate is then multiplied by.
    plateau_threshold: smallest improvement that counts.
    min_learning_rate: floor of the rate.
    warmup_epochs: over which the rate rises linearly from 0; may be a part.
    stop_patience: epochs since the best after which training ends; 0 never.
    threshold: a score above it counts as a predicted label.
    reader: this and the next four as in hpa_records.reading.dataset.How.
    cache: as there.
    check: as there.
    shuffle_mb: as there.
    data_service: as there.
    distribute: the devices; strategy.make.
    tpu: name or address of the TPU, 'local' for that of this machine.
    xla: whether XLA compiles the steps, with the layers that are fast then;
      'auto' where there is a GPU. A TPU always does.
    steps_per_call: training steps in one call of the compiled function.
    checkpoint_steps: training steps after which a checkpoint is saved inside
      an epoch, rounded up to whole calls; 0 saves at its end alone.
    profile: whether a call of the compiled function is traced.
    seed: of the weights, the order, the transforms and the dropout.

  Raises:
    errors.DataError: a value is out of range.
  """
  records: str
  workdir: str
  stage_dir: str = ''
  fold: int = 0
  epochs: int = 80
  batch_size: int = 80
  eval_batch_size: int = 16
  learning_rate: float = 0.1
  momentum: float = 0.9
  activation: str = 'prelu'
  variant: str = 'original'
  model: str = 'gapnet_pl'
  loss: str = 'bce'
  input_scaling: str = 'dataset'
  precision: str = 'float32'
  balance: str = ''
  balance_target: int = balance_lib.Balance.target
  balance_tolerance: float = balance_lib.Balance.tolerance
  max_repeat: float = balance_lib.Balance.max_repeat
  balance_factors: str = balance_lib.Balance.factors
  augment: str = 'copies'
  clip_norm: float = 5.0
  l1: float = 0.0
  l2: float = 0.0
  plateau_monitor: str = 'f1_macro'
  plateau_patience: int = 30
  plateau_factor: float = 0.5
  plateau_threshold: float = 0.0
  min_learning_rate: float = 0.0
  warmup_epochs: float = 0.0
  stop_patience: int = 0
  threshold: float = 0.5
  reader: str = dataset.How.reader
  cache: str = dataset.How.cache
  check: str = dataset.How.check
  shuffle_mb: int = dataset.How.shuffle_mb
  data_service: str = dataset.How.data_service
  distribute: str = 'auto'
  tpu: str = 'local'
  xla: str = 'auto'
  steps_per_call: int = 10
  checkpoint_steps: int = 0
  profile: bool = False
  seed: int = 0

  def __post_init__(self):
    for field in dataclasses.fields(self):
      _check_type(field.name, getattr(self, field.name), field.type)
    for name, values in _CHOICES.items():
      if getattr(self, name) not in values:
        raise errors.DataError(f'Expected --{name} to be one of '
                               f'{", ".join(values)}, received '
                               f'{getattr(self, name)!r}.')
    for name, (least, below) in _RANGES.items():
      value = getattr(self, name)
      if not least <= value < below:
        raise errors.DataError(f'Expected --{name} from {least} to below '
                               f'{below}, received {value}.')
    for name in _MAY_BE_0:
      if 0 < getattr(self, name) < _LEAST_FLOAT:
        raise errors.DataError(f'Expected --{name} of 0, or at least '
                               f'{_LEAST_FLOAT}, received '
                               f'{getattr(self, name)}.')
    if self.data_service and self.checkpoint_steps:
      raise errors.DataError(
          'Expected --checkpoint_steps=0 with --data_service, whose order no '
          f'run repeats, received {self.checkpoint_steps}.')
    _ = self.rebalance

  @property
  def rebalance(self) -> balance_lib.Balance | None:
    """What replaces the stored repeats; None if nothing does."""
    return balance_lib.of_flags(self) if self.balance else None

  @property
  def reading(self) -> dataset.How:
    """How records are read."""
    return dataset.How(self.reader, self.cache, self.check, self.shuffle_mb,
                       self.data_service)

  @property
  def monitor_mode(self) -> str:
    """'max' if more of the monitored score is better, else 'min'."""
    return 'min' if self.plateau_monitor == 'loss' else 'max'

  def to_json(self, fingerprint: str) -> str:
    """Returns config.json: all fields, and the dataset's fingerprint.

    A run's folder is handed on: no password or signature of an address is in
    it.
    """
    content = {**dataclasses.asdict(self), _FINGERPRINT: fingerprint}
    if '://' in self.records:
      content['records'] = _USER.sub('', self.records).partition('?')[0]
    return json.dumps(content, indent=1) + '\n'

  @classmethod
  def from_json(cls, text: bytes | str) -> tuple['Config', str]:
    """Returns the configuration and the fingerprint that to_json wrote.

    Raises:
      ValueError: text is no JSON object with a fingerprint, or a value is of
        another type or out of range.
      TypeError: a field is unknown or missing.
    """
    content = json_text.parse(text)
    json_text.check_form(content, {_FINGERPRINT: str}, 'configuration')
    fingerprint = content.pop(_FINGERPRINT)
    if not _SHA256.fullmatch(fingerprint):
      raise ValueError(f'{_FINGERPRINT}: received {fingerprint!r:.80}')
    return cls(**content), fingerprint

  def common(self) -> dict[str, Any]:
    """Returns the fields that all workers of a run must have alike."""
    return {
        name: value
        for name, value in dataclasses.asdict(self).items()
        if name not in _OWN
    }

  def identity(self, fingerprint: str) -> dict[str, Any]:
    """Returns what decides a run's numbers, as JSON types.

    Args:
      fingerprint: sha256 of the dataset; where that lies decides nothing.
    """
    mine = dataclasses.asdict(self)
    kept = {name: value for name, value in mine.items() if name not in _FREE}
    return {**kept, RECORDS: fingerprint}


def _check_type(name: str, value: Any, wanted: Any) -> None:
  """Refuses a value of another type; a whole number is a number, too."""
  types = (int, float) if wanted is float else wanted
  fits = isinstance(value, types) and isinstance(value, bool) == (wanted
                                                                  is bool)
  if not fits or (wanted is float and abs(value) > sys.float_info.max):
    raise errors.DataError(f'Expected --{name} as {_TYPES[wanted]}, received '
                           f'{printable.quote(str(value))}.')
  if wanted is str and len(value) > spec.MAX_SETTING:
    raise errors.DataError(
        f'Expected --{name} of at most {spec.MAX_SETTING} characters, '
        f'received {len(value):,}: {printable.quote(value)}.')


_TYPES = {
    int: 'a whole number',
    float: 'a number',
    str: 'a text',
    bool: 'true or false'
}

_CHOICES: dict[str, tuple[str, ...]] = {
    'activation': ACTIVATIONS,
    'variant': VARIANTS,
    'model': MODELS,
    'loss': LOSSES,
    'input_scaling': INPUT_SCALINGS,
    'precision': PRECISIONS,
    'augment': epoch_plan.AUGMENTS,
    'plateau_monitor': MONITORS,
    'reader': dataset.READERS,
    'cache': dataset.CACHES,
    'check': dataset.CHECKS,
    'distribute': DISTRIBUTIONS,
    'xla': XLA,
}

_MOST = 2**31  # of what TensorFlow counts
LARGEST_FLOAT = 3.4e38  # that float32 holds, as TensorBoard does

# Some devices take smaller numbers for 0.
_LEAST_FLOAT = 1e-30
_MAY_BE_0 = ('clip_norm', 'l1', 'l2', 'warmup_epochs')

# name: (least, below)
_RANGES: dict[str, tuple[Any, Any]] = {
    'fold': (0, 2**16),  # which epoch_plan.Key holds
    'epochs': (1, 10**5),  # which the names of checkpoints hold
    'batch_size': (1, _MOST),
    'eval_batch_size': (1, _MOST),
    'learning_rate': (_LEAST_FLOAT, LARGEST_FLOAT),
    'momentum': (0, 1),
    'clip_norm': (0, 1e30),  # 1 / 1e38 is 0 where small floats are flushed
    'l1': (0, LARGEST_FLOAT),
    'l2': (0, LARGEST_FLOAT),
    'plateau_patience': (1, _MOST),
    'plateau_factor': (1e-9, 1),
    'plateau_threshold': (0, LARGEST_FLOAT),
    'min_learning_rate': (0, LARGEST_FLOAT),
    'warmup_epochs': (0, LARGEST_FLOAT),
    'stop_patience': (0, _MOST),
    'threshold': (0, 1),
    'shuffle_mb': (1, _MOST),
    'steps_per_call': (1, _MOST),
    'checkpoint_steps': (0, _MOST),
    'seed': (0, 2**63),
}
