"""Trains and scores one fold, or all: flags to configuration to one call.

  python -m trainer.main --flagfile=prelu.flags --records=DIR --workdir=DIR
      --fold=0|...|all
"""

import dataclasses
import os
from typing import Any

from absl import flags

from hpa_records.runtime import cli
from hpa_records.reading import dataset
from hpa_records.runtime import errors
from hpa_records.runtime import printable
from hpa_records.sampling import balance_flags
from hpa_records.sampling import epoch_plan
from hpa_records.storage import path_check
from trainer import config as config_lib
from trainer.report import tables
from trainer.run import finished_run
from trainer.run import workdir

_DEFAULT = {f.name: f.default for f in dataclasses.fields(config_lib.Config)}
ALL = 'all'
_SHOWN = ('auc_macro', 'auc_micro', 'accuracy_binary', 'accuracy_subset',
          'accuracy_argmax') + tuple(
              f'{score}_{kind}' for score in ('f1', 'precision', 'recall')
              for kind in ('macro', 'micro', 'samples', 'paper'))

flags.DEFINE_string(
    'records', '', 'Folder that make_records.py wrote, or its address: gs://, '
    'with the extra [io] s3://, az:// and http(s):// too, with --stage_dir '
    'any that fsspec knows.')
flags.DEFINE_string('workdir', '', 'Folder of the results.')
flags.DEFINE_string(
    'stage_dir', _DEFAULT['stage_dir'],
    'Local folder to copy the records to before training; what is there and '
    'whole is not copied again.')


def _integer(name: str, text: str) -> None:
  flags.DEFINE_integer(name, _DEFAULT[name], text)


def _float(name: str, text: str) -> None:
  flags.DEFINE_float(name, _DEFAULT[name], text)


def _choice(name: str, values: tuple[str, ...], text: str) -> None:
  flags.DEFINE_enum(name, _DEFAULT[name], values, text)


flags.DEFINE_string(
    'fold', str(_DEFAULT['fold']),
    f'Fold to hold out and score, or {ALL}: one after another.')
_integer('epochs', 'Epochs to train for.')
_integer('batch_size', 'Global batch of training.')
_integer('eval_batch_size', 'Batch of evaluation.')
_float('learning_rate', 'Of SGD, at the start.')
_float('momentum', 'Of SGD.')
_choice('activation', config_lib.ACTIVATIONS,
        'Of every hidden layer; picks initial weights and dropout too.')
_choice('variant', config_lib.VARIANTS, 'Of the network.')
_choice('model', config_lib.MODELS, 'The network.')
_choice('loss', config_lib.LOSSES, 'The training loss.')
_choice(
    'input_scaling', config_lib.INPUT_SCALINGS,
    "dataset: its mean and deviation per channel; image: each image's "
    'own, as the original GapNet-PL.')
_choice('precision', config_lib.PRECISIONS, 'Of the arithmetic.')
balance_flags.define(_DEFAULT['balance'], also=('',))
_choice(
    'augment', epoch_plan.AUGMENTS,
    'Which draws get a random rotation or flip: copies of a record beyond '
    "its first, all, none, or such copies by the paper's six instead of all "
    'eight.')
_float(
    'clip_norm', 'Largest global norm of the gradients; 0 does not clip. '
    'The original GapNet-PL: 5.')
_float('l1', 'Weight decay, sum of |w|. The original GapNet-PL: 1e-7.')
_float('l2', 'Weight decay, sum of w**2. The original GapNet-PL: 1e-5.')
_choice(
    'plateau_monitor', config_lib.MONITORS,
    'Held-out score whose plateau cuts the rate, and that picks the best '
    'epoch.')
_integer(
    'plateau_patience', 'Epochs in a row without improvement before the '
    'rate falls. The original GapNet-PL: 30.')
_float('plateau_factor', 'What the rate is then multiplied by.')
_float('plateau_threshold', 'Smallest improvement that counts.')
_float('min_learning_rate', 'Floor of the rate.')
_float('warmup_epochs', 'Over which the rate rises linearly from 0.')
_integer('stop_patience',
         'Epochs since the best after which training ends; 0 never.')
_float('threshold', 'Scores above it are predicted labels.')
_choice(
    'reader', dataset.READERS,
    'indexed: in the order of the epoch plan, from raw records on local disk; '
    'streaming: from anywhere, shuffled through a buffer; auto: indexed where '
    'that is possible.')
_choice(
    'cache', dataset.CACHES,
    'Where all pixels are kept after one reading: host memory, memory of the '
    'device, or nowhere.')
_choice('check', dataset.CHECKS,
        'crc: check each record as the indexed reader reads it.')
_integer('shuffle_mb', 'Shuffle buffer of the streaming reader, in MiB.')
flags.DEFINE_string(
    'data_service', _DEFAULT['data_service'],
    'Address of input workers on other machines, grpc://host:port; see '
    'tools/serve_input.py.')
_choice(
    'distribute', config_lib.DISTRIBUTIONS,
    'Devices: the CPU, a GPU, all GPUs (mirrored), all workers of TF_CONFIG '
    '(multi_worker), a TPU; auto takes the most that is there.')
flags.DEFINE_string('tpu', _DEFAULT['tpu'],
                    'Name or address of the TPU; local: that of this machine.')
_choice(
    'xla', config_lib.XLA,
    'Whether XLA compiles the steps; auto: where there is a GPU. A TPU always '
    'does.')
_integer('steps_per_call', 'Training steps in one compiled call.')
_integer(
    'checkpoint_steps', 'Training steps between checkpoints inside an epoch; '
    '0 saves at its end alone.')
flags.DEFINE_bool('profile', _DEFAULT['profile'],
                  'Trace the second call of compiled steps, for TensorBoard.')
_integer('seed', 'Of weights, order, transforms and dropout.')


def main() -> None:
  values = {name: flags.FLAGS[name].value for name in _DEFAULT}
  values['records'] = path_check.require_path(values['records'], 'records')
  for name in ('workdir', *(['stage_dir'] if values['stage_dir'] else [])):
    values[name] = path_check.require_local(values[name], name)
  records, written = values['records'], values['workdir']
  path_check.refuse_shared(
      [('workdir', written),
       ('stage_dir', values['stage_dir'])], [('records', records)],
      closed=[('records', records)],
      filled=[
          ('workdir', each) for each in workdir.list_fold_directories(written)
      ])
  fold = values.pop('fold')
  if fold != ALL and not (fold.isdecimal() and len(fold) < 10):
    raise errors.DataError(f'Expected --fold as a number or {ALL}, received '
                           f'{printable.quote(fold)}.')
  config = config_lib.Config(**values, fold=0 if fold == ALL else int(fold))
  # TensorFlow takes seconds to import; a wrong flag is told before that.
  # pylint: disable=import-outside-toplevel
  if fold == ALL:
    from trainer.training import cross_validation
    if cross_validation.train(config):
      print(tables.format_metrics(finished_run.load(config.workdir)))
    print(f'All folds: {os.path.join(config.workdir, "")}')
  else:
    from trainer.training import loop
    _tell(config, loop.train(config))


def _tell(config: config_lib.Config, scores: dict[str, Any]) -> None:
  """Prints the scores of a fold, and where they are."""
  for name in _SHOWN:
    value = scores[name]
    print(f'{name:18s}' + ('none' if value is None else f'{value:.4f}'))
  directory = workdir.fold_directory(config.workdir, config.fold)
  print(f'Held-out fold {config.fold}, {scores["num_samples"]} images, epoch '
        f'{scores["epoch"]}: {os.path.join(directory, "")}')


if __name__ == '__main__':
  cli.run(main)
