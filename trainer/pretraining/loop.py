"""The outer loop of a pre-training: epochs, scores, checkpoints, resume.

Steps, calls and epochs are those of a training, with another loss. Views and
order depend on (seed, epoch, slot), so a run that is interrupted resumes from
its newest checkpoint with the next batch, and ends with the same bits.
"""

import contextlib
import functools

from hpa_records.runtime import errors
from hpa_records.runtime.tensorflow import tf
from trainer import global_batch
from trainer import strategy as strategy_lib
from trainer.network import build
from trainer.pretraining import folder as folder_lib
from trainer.pretraining import knn
from trainer.pretraining import pool as pool_lib
from trainer.pretraining import pool_reader
from trainer.pretraining import projection
from trainer.pretraining import settings as settings_lib
from trainer.pretraining import step as step_lib
from trainer.run import checkpoint
from trainer.run import fold_lock
from trainer.run import workdir
from trainer.start import encoder_file
from trainer.training import epoch
from trainer.training import interruption
from trainer.training import preparation
from trainer.training import state as state_lib
from trainer.training import step
from trainer.training.optimization import optimizer


def pretrain(
    settings: settings_lib.Settings,
    strategy: tf.distribute.Strategy | None = None) -> encoder_file.Encoder:
  """Pre-trains to the end, from the newest checkpoint if there is one.

  Args:
    settings: of the run.
    strategy: to train with; by default the one of the settings.

  Returns:
    The content of encoder.npz.

  Raises:
    errors.DataError: the records or the folder do not fit the settings, or
      cannot be read or written; or another training is running in the folder.
    errors.StoppedEarly: a signal came, a worker is lost, or a loss or weight is
      not finite; the newest checkpoint is kept.
  """
  strategy = strategy or strategy_lib.make(settings.distribute)
  preparation.check_deterministic(settings.training)
  global_batch.check(strategy, settings.batch_size, 'batch_size')
  pool = pool_lib.load(settings)
  directory = workdir.fold_directory(settings.workdir, settings.fold)
  is_chief = strategy_lib.is_chief(strategy)
  folder = folder_lib.Folder(settings, is_chief)
  identity = settings.list_decisive(pool.fingerprint)
  with fold_lock.hold(directory) if is_chief else contextlib.nullcontext():
    folder.begin(identity)
    found = folder.find_encoder()
    with strategy_lib.translate_errors(strategy):
      strategy_lib.check_alike(strategy, {
          **identity, 'whether the pre-training is finished': bool(found)
      })
    if found:
      folder.say(f'The pre-training at {directory} is finished, {found.epoch} '
                 'epochs; nothing to do.')
      return found
    reader = pool_reader.Reader(pool)
    with reader.translate_errors(), strategy_lib.translate_errors(strategy):
      return _Run(settings, strategy, pool, reader, folder).run()


class _Run:
  """A pre-training."""

  def __init__(self, settings: settings_lib.Settings,
               strategy: tf.distribute.Strategy, pool: pool_lib.Pool,
               reader: pool_reader.Reader, folder: folder_lib.Folder):
    self._settings, self._strategy, self._pool = settings, strategy, pool
    self._folder = folder
    config = settings.training
    with strategy.scope():
      self._model, features = projection.make(
          settings, pool.spec, pool.pixels(),
          build.is_compiled(config, strategy), pool.num_identities)
      self._optimizer = optimizer.make_optimizer(config, self._model)
    steps = int(pool.is_trained.sum()) // settings.batch_size
    stepper = step.Stepper(strategy,
                           self._model,
                           self._optimizer,
                           config,
                           steps,
                           make_gradients=functools.partial(
                               step_lib.Gradients, strategy, self._model,
                               settings))
    self._interruption = interruption.Interruption(
        strategy_lib.make_sum(strategy))
    self._epochs = epoch.Epochs(
        config, strategy,
        functools.partial(pool.plan, batch_size=settings.batch_size), reader,
        stepper, None, self._interruption)
    self._scorer = None
    if settings.knn_epochs and not pool.is_trained.all():
      self._scorer = knn.Scorer(strategy, features, settings, pool, reader)
    with fold_lock.translate_write_errors(folder.directory):
      self._checkpoints = checkpoint.Checkpoints(
          folder.checkpoints, settings.list_decisive(pool.fingerprint),
          self._model, self._optimizer)

  def run(self) -> encoder_file.Encoder:
    """Returns the content of encoder.npz; see pretrain."""
    settings, folder = self._settings, self._folder
    state = preparation.restore(settings.training, self._checkpoints, folder,
                                {})
    strategy_lib.check_alike(
        self._strategy,
        {'the checkpoint to resume from': (state.epoch, state.step)})
    folder.say(
        folder_lib.describe(self._pool, strategy_lib.describe(self._strategy)))
    if self._scorer and not state.begun_epochs:
      folder.say(
          f'before the first epoch: {folder_lib.show(self._scorer.score())}')
    with self._interruption:
      while state.epoch < settings.epochs:
        self._train_epoch(state)
      self._interruption.agree()
    encoder = self._take_encoder(state.epoch)
    folder.finish(encoder)
    return encoder

  def _train_epoch(self, state: state_lib.State) -> None:
    """Trains to the end of an epoch; scores it, saves it and tells of it."""
    settings = self._settings

    def pause(is_due: bool) -> None:
      if is_due:
        self._save(state)
      self._stop_if_asked(state)

    row = self._epochs.train(self._epochs.begin(state.epoch, state.step),
                             state,
                             self._folder,
                             is_asked=lambda: self._interruption.asked,
                             pause=pause,
                             prepare_next=lambda: None)
    number = row['epoch']
    scores = {f'knn_{name}': None for name in knn.SCORES}
    if self._scorer and (number == settings.epochs or
                         number % settings.knn_epochs == 0):
      scores = self._scorer.score()
    snapshot = state.finish_epoch(next(iter(scores.values())))
    snapshot.record({**row, **scores}, {'epoch': number})
    self._folder.write_history(state.history)
    self._save(state)
    numbers = {name: row[name] for name in ('loss', 'learning_rate')}
    self._folder.say(f'epoch {number}/{settings.epochs}: '
                     f'{folder_lib.show(numbers | scores)}, '
                     f'{row["images_per_s"]:.1f} images/s')
    if number < settings.epochs:
      self._interruption.agree()
      self._stop_if_asked(state)

  def _stop_if_asked(self, state: state_lib.State) -> None:
    """Saves a checkpoint and raises StoppedEarly if a signal came."""
    asked = self._interruption.asked
    if not asked:
      return
    if state.step:
      self._save(state)
    self._interruption.agree()
    raise errors.StoppedEarly(
        f'{asked.name}: saved {preparation.describe_position(state)} at '
        f'{self._folder.directory}; run the same command to continue.',
        128 + asked)

  def _save(self, state: state_lib.State) -> None:
    """Saves a checkpoint, if this is the chief."""
    if not self._folder.is_silent:
      with fold_lock.translate_write_errors(self._folder.directory):
        self._checkpoints.save((state.epoch, state.step), state.best_epoch,
                               state.to_dict())

  def _take_encoder(self, number: int) -> encoder_file.Encoder:
    """Returns the weights without the projection, after an epoch."""
    settings = self._settings
    values = {
        layer.name: layer.get_weights()
        for layer in projection.list_encoder(settings, self._model)
    }
    network = {name: getattr(settings, name) for name in encoder_file.NETWORK}
    return encoder_file.Encoder(values, self._pool.ids[self._pool.is_trained],
                                network, self._pool.spec.channel_names, number)
