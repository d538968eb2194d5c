"""Checks and state at the start of a fold's training.

The dataset and its repeats, the settings of a resumed run, and its newest
checkpoint.
"""

import os
from typing import Any

import numpy as np

from hpa_records.reading import dataset
from hpa_records.reading import download
from hpa_records.runtime import errors
from hpa_records.runtime import printable
from hpa_records.sampling import decoupling
from hpa_records.sampling import folds as folds_lib
from hpa_records.sampling import resampling
from trainer.augmentation import rana_mix
from trainer import config as config_lib
from trainer.recipe import baseline
from trainer.recipe import schedule
from trainer.run import checkpoint
from trainer.run import fold_file
from trainer.run import config_file
from trainer.run import stored_spec
from trainer.run import workdir
from trainer.training import input_wait
from trainer.training.recording import recorder as recorder_lib
from trainer.training import state as state_lib

_INNER_PARTS = 10  # of the training folds; one is the inner validation
_KEPT = {
    'device': 'all pixels are in the memory of the device',
    'host': 'all pixels are in host memory',
    'disk': 'records are kept on local disk',
    'none': 'pixels are read in each epoch'
}
_ROTATED = rana_mix.NUM_CHANNELS
_ALWAYS_FITS = 1024  # images of a batch, mostly padding in a small epoch


def check_deterministic(config: config_lib.Config) -> None:
  """Checks that TensorFlow is deterministic if the configuration says so.

  Only the program can make it so, for all that it does.

  Raises:
    errors.DataError: it is not.
  """
  if config.deterministic and input_wait.has_clock():
    raise errors.DataError(
        'Expected deterministic operations, as deterministic=True says; call '
        'tf.config.experimental.enable_op_determinism() first.')


def load_records(config: config_lib.Config) -> dataset.Records:
  """Returns a run's dataset, copied to its stage_dir first if that is set.

  Raises:
    errors.DataError: it is not a dataset, is damaged, or cannot be accessed.
  """
  where = config.records
  if config.stage_dir:
    where = download.stage(where, config.stage_dir)
  return dataset.load(where)


def check_labels(config: config_lib.Config, records: dataset.Records) -> None:
  """Checks that the records have the labels and channels that are needed.

  Raises:
    errors.DataError: there are too few channels for --rana_mix; or the loss is
      softmax, and a record has not exactly one label; names the number of such
      records and one of them.
  """
  if config.rana_mix and records.spec.num_channels < _ROTATED:
    raise errors.DataError(
        f'--rana_mix rotates {_ROTATED} channels, and {config.records} has '
        f'{records.spec.num_channels}; leave --rana_mix out.')
  if not config.is_single_label:
    return
  counts = records.labels.sum(axis=1, dtype=np.int64)
  others = np.flatnonzero(counts != 1)
  if others.size:
    name = printable.quote(records.index['id'].iloc[others[0]])
    raise errors.DataError(
        'Expected exactly one label in each record with --loss=softmax, '
        f'received {others.size:,} of {len(counts):,} with another number, '
        f'such as {name} with {counts[others[0]]}; pass --loss=bce.')


def check_fold(config: config_lib.Config,
               records: dataset.Records) -> tuple[np.ndarray, np.ndarray]:
  """Returns the repeats of training with the fold held out, and the inner rows.

  Returns:
    [N] float32, 0 for the held-out fold and the inner rows; and as find_inner.

  Raises:
    errors.DataError: the dataset has no such fold, there is nothing to train
      on, or a batch is larger than an epoch; or as find_inner.
  """
  folds = records.manifest.num_folds
  if config.fold >= folds:
    raise errors.DataError(
        f'Expected --fold from 0 to {folds - 1}, received '
        f'{config.fold}; {config.records} has {folds} folds.')
  repeats = records.repeats(config.fold, config.rebalance)
  inner = find_inner(config, records)
  repeats[inner] = 0
  if not repeats.any():
    raise errors.DataError(
        f'No records to train on with fold {config.fold} held out: all repeats '
        f'are 0 at {config.records}; pass another --balance.')
  if config.remedial:
    rule = decoupling.make_rule(find_trained_labels(config, records, inner))
    repeats[rule.choose(records.labels)] *= 2  # a draw for each half
  repeats = resampling.scale_to_classes(repeats, records.labels,
                                        config.class_draws)
  draws = int(np.ceil(repeats.sum(dtype=float)))
  if config.batch_size > max(draws, _ALWAYS_FITS):
    raise errors.DataError(
        f'Expected --batch_size of at most {max(draws, _ALWAYS_FITS):,}, '
        f'received {config.batch_size:,}: an epoch has {draws:,} draws.')
  return repeats, inner


def find_trained_labels(config: config_lib.Config, records: dataset.Records,
                        inner: np.ndarray) -> np.ndarray:
  """Returns the labels of the images of training, [n, K] uint8 multi-hot.

  Args:
    config: of the run.
    records: the dataset.
    inner: as of find_inner.
  """
  is_trained = (records.index['fold'] != config.fold).to_numpy(copy=True)
  is_trained[inner] = False
  return records.labels[is_trained]


def find_inner(config: config_lib.Config,
               records: dataset.Records) -> np.ndarray:
  """Returns the rows of the inner validation, [n] int64, ascending.

  In place of the held-out fold they lower the rate and pick the best epoch. A
  tenth of the training folds, stratified by class, groups as a whole: a
  function of dataset, fold and seed. None with --validation=heldout.

  Args:
    config: of the run.
    records: the dataset, with the fold of the run.

  Raises:
    errors.DataError: the training folds have too few samples or groups.
  """
  if config.validation != schedule.INNER:
    return np.zeros(0, np.int64)
  index = records.index
  rows = np.flatnonzero(index['fold'] != config.fold)
  names = index['group' if 'group' in index else 'id'].iloc[rows].tolist()
  if len(set(names)) < _INNER_PARTS:
    raise errors.DataError(
        f'Expected at least {_INNER_PARTS} samples, or groups of them, outside '
        f'of fold {config.fold} for --validation={schedule.INNER}, received '
        f'{len(set(names))}; leave --validation out.')
  part_of = folds_lib.assign(index['id'].iloc[rows].tolist(),
                             records.labels[rows], _INNER_PARTS, config.seed,
                             names)
  return rows[part_of == 0]


def describe(config: config_lib.Config, num_evaluated: int, num_inner: int,
             repeats: np.ndarray, device: str, cache: str) -> list[str]:
  """Returns the lines that a training begins with.

  Args:
    config: of the run.
    num_evaluated: images of the held-out fold.
    num_inner: images of find_inner.
    repeats: [N] float32, expected draws in an epoch.
    device: description of the devices.
    cache: that was chosen.
  """
  lines = [
      f'Fold {config.fold} held out: {num_evaluated} images to evaluate, '
      f'{repeats.sum():.0f} draws an epoch to train on, on {device}.'
  ]
  if num_inner:
    lines.append(f'--validation={schedule.INNER}: {num_inner} images of the '
                 f'training folds choose {schedule.describe_chosen(config)}; '
                 'they are not trained on.')
  if config.cache == 'auto':
    lines.append(f'--cache=auto: {_KEPT[cache]}.')
  if not input_wait.has_clock():
    lines.append('The wait for input is not measured, and shown as 0: '
                 'TensorFlow has no clock in deterministic mode.')
  return lines


def find_reader(config: config_lib.Config) -> str:
  """Returns the reader of the run in the folder; '' without a run."""
  path = os.path.join(workdir.fold_directory(config.workdir, config.fold),
                      workdir.CONFIG_NAME)
  if not os.path.lexists(path):
    return ''
  return getattr(fold_file.load_config(path)[0], 'reader', '')


def check_resumable(config: config_lib.Config, records: dataset.Records,
                    reader: str) -> None:
  """Checks that the settings are those of the run in the folder, if any.

  Args:
    config: of the run.
    records: the dataset.
    reader: that was chosen for it.

  Raises:
    errors.DataError: they differ, or config.json is missing.
  """
  directory = workdir.fold_directory(config.workdir, config.fold)
  path = os.path.join(directory, workdir.CONFIG_NAME)
  if os.path.lexists(path):
    found, made_from = fold_file.load_config(path)
    if isinstance(found, baseline.Baseline):
      raise errors.DataError(
          f'{directory} is of a classifier of descriptors, {found.classifier}, '
          'not of a network. Choose another --workdir.')
    others = _find_other_spec(directory, made_from, records)
    if others:
      raise errors.DataError(
          f'The run at {directory} was trained on records with other classes '
          f'or channels than those at {config.records} ({others}). Choose '
          'another --workdir.')
    differ = config_file.find_differences(
        found.identity(made_from),
        config.identity(records.manifest.fingerprint, reader))
    if differ:
      raise errors.DataError(f'The run at {directory} has other settings: '
                             f'{"; ".join(differ)}. Choose another --workdir.')
    return
  left = workdir.list_files(directory)
  if os.path.join(directory, workdir.PRETRAINING_NAME) in left:
    raise errors.DataError(f'{directory} has a pre-training; choose another '
                           '--workdir, and pass this one as --init_from.')
  if left:  # config.json is written before all of them
    raise errors.DataError(
        f'{path} is missing, so the settings of the run with {left[0]} are not '
        'known. Restore the file, move the folder elsewhere, or choose another '
        '--workdir.')


def _find_other_spec(directory: str, made_from: str,
                     records: dataset.Records) -> str:
  """Returns the classes and channels that differ from a run's; '' if none do.

  Args:
    directory: of the fold.
    made_from: fingerprint of the records that it was trained on.
    records: to go on with.
  """
  path = os.path.join(directory, workdir.ABOUT_NAME)
  if made_from == records.manifest.fingerprint or not os.path.lexists(path):
    return ''
  trained = stored_spec.find(fold_file.load_json(path))
  return trained.find_difference(records.spec)


def restore(config: config_lib.Config, checkpoints: checkpoint.Checkpoints,
            recorder: recorder_lib.Recorder,
            start: dict[str, Any]) -> state_lib.State:
  """Returns the state of the newest valid checkpoint, or an initial state.

  Model and optimizer are set to it. Damaged checkpoints are reported.

  Args:
    config: of the run.
    checkpoints: of the fold.
    recorder: of the fold, which prints the messages.
    start: of start.first_weights.load, for the initial state.

  Raises:
    errors.DataError: no checkpoint is valid, or the newest has more epochs than
      config.epochs.
  """
  found = checkpoints.positions()
  for position in reversed(found):
    try:
      state = _load(checkpoints, recorder, position)
      break
    except errors.UnreadError:
      raise  # it may be valid, and would be replaced
    except errors.DataError as error:
      if position == found[0]:
        raise
      recorder.say(f'{error} Continuing from the checkpoint before it.')
  else:
    return state_lib.State.start(config, start)
  if state.begun_epochs > config.epochs:
    raise errors.DataError(
        f'The run at {recorder.directory} has finished or started '
        f'{state.begun_epochs} epochs, more than --epochs={config.epochs}; '
        f'pass at least --epochs={state.begun_epochs}, or choose another '
        '--workdir.')
  recorder.say(f'Continuing {recorder.directory} {describe_position(state)}.')
  return state


def _load(checkpoints: checkpoint.Checkpoints, recorder: recorder_lib.Recorder,
          position: checkpoint.Position) -> state_lib.State:
  """Restores model and optimizer from a checkpoint, and returns its state."""
  values = checkpoints.restore(position)
  try:
    state = state_lib.State.from_dict(values)
  except (KeyError, TypeError, ValueError) as error:
    raise errors.DataError(
        f'{checkpoints.locate(position)} has an invalid state of training '
        f'({error}).') from error
  try:
    if state.best_epoch:
      checkpoints.check((state.best_epoch, 0))
  except errors.UnreadError:
    raise
  except errors.DataError as error:
    recorder.say(f'{error} It is of the best epoch, for --weights=best of '
                 'hpa-predict. Continuing without it; to get it back, remove '
                 f'{recorder.directory} and train from the start.')
  return state


def describe_position(state: state_lib.State) -> str:
  """Returns the position of a training for messages."""
  inside = f', step {state.step} of the next' if state.step else ''
  return f'after epoch {state.epoch}{inside}'
