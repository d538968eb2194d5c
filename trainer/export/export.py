"""A run to an exported folder: all its files, in the order of writing."""

from collections.abc import Sequence
import dataclasses
import json
import os

import numpy as np

from hpa_records.datasets import description
from hpa_records.runtime import errors
from hpa_records.runtime.tensorflow import keras
from hpa_records.runtime.tensorflow import tf
from hpa_records.storage import filesystem
from trainer import config as config_lib
from trainer.export import bioimage
from trainer.export import card
from trainer.export import folder
from trainer.export import onnx_file
from trainer.export import page
from trainer.export import page_runtime
from trainer.export import saved_model
from trainer.model import model_file
from trainer.model import threshold as threshold_lib
from trainer.model import trained
from trainer.model import training_samples
from trainer.model import views
from trainer.network import build
from trainer.network import plain
from trainer.run import finished_run
from trainer.run import stored_spec
from trainer.scoring import decision

# Between the network of the run and the exported ones, of probabilities.
_TOLERANCE = 1e-4
_TEST_IMAGES = 2  # on which they are compared
_SEED = 0


@dataclasses.dataclass(frozen=True)
class Choice:
  """What is exported of a run.

  Attributes:
    folds: numbers of finished folds; () for all.
    tta: one of views.TTA.
    weights: one of config.WEIGHTS.
    threshold: as asked, of model.threshold.choose.
    runtime: what the page that classifies runs on; None for no page.
  """
  folds: tuple[int, ...] = ()
  tta: str = views.TTA[0]
  weights: str = config_lib.WEIGHTS[0]
  threshold: str = ''
  runtime: page_runtime.Runtime | None = None


def write(workdir: str,
          output: str,
          choice: Choice,
          overwrite: bool = False) -> model_file.Exported:
  """Writes an exported folder, and returns what it holds.

  Args:
    workdir: folder of the run.
    output: folder of the model.
    choice: what is exported.
    overwrite: whether an exported model may be replaced.

  Raises:
    errors.DataError: the run has no such finished folds, or is damaged; the
      threshold is none; an exported network gives other probabilities than that
      of the run; or as of views.check, onnx_file.check_size, folder.make,
      page.check and page.render.
  """
  run = _choose_folds(trained.load(workdir), choice.folds)
  views.check(choice.tta, run.config.is_single_label)
  threshold = threshold_lib.choose([run], choice.threshold, choice.weights)
  about = run.folds[0].about['records']
  described = description.of_settings(about, run.spec.classes)
  stored_um = about.get('pixel_um', 0)
  if choice.runtime:
    page.check(described, stored_um)
  how = described.how(about['image_size'], about['resize'], stored_um)
  networks = load_networks(run, choice.weights)
  onnx_file.check_size(networks)
  options = {
      'tta': choice.tta,
      'weights': choice.weights,
      'threshold': threshold
  }
  with folder.make(output, overwrite) as directory:
    if choice.runtime:  # first: it may be too large
      _write(
          directory, folder.PAGE_NAME,
          page.render(run,
                      networks,
                      described=described,
                      tta=choice.tta,
                      threshold=threshold,
                      runtime=choice.runtime))
    _write(
        directory, folder.CARD_NAME,
        card.render(run,
                    **options,
                    reads_files=saved_model.reads_files(how),
                    has_page=choice.runtime is not None).encode())
    for fold, network in zip(run.folds, networks):
      path = os.path.join(directory, model_file.name_fold(fold.number))
      os.makedirs(os.path.dirname(path), exist_ok=True)
      network.save(path)
    saved_model.write(os.path.join(directory, folder.SAVED_MODEL_NAME),
                      networks, choice.tta, threshold, how)
    _write(directory, folder.ONNX_NAME,
           onnx_file.convert(networks, choice.tta, describe(run, **options)))
    _write_bioimage(directory, run)
    _write(directory, training_samples.NAME, training_samples.format_npz(run))
    text = model_file.format_json(run,
                                  **options,
                                  files=folder.hash_files(directory))
    _write(directory, model_file.NAME, text.encode())
  return model_file.load(output)


def _write_bioimage(directory: str, run: finished_run.Run) -> None:
  """Describes a folder with a SavedModel as bioimage.write does."""
  image = _make_image(run)
  model = tf.saved_model.load(os.path.join(directory, folder.SAVED_MODEL_NAME))
  found = model.signatures[saved_model.PIXELS](pixels=tf.constant(image))
  bioimage.write(directory,
                 name=f'{run.config.model} trained on '
                 f'{stored_spec.find_name(run.folds[0].about)}',
                 description=f'Classifies images of {run.spec.num_channels} '
                 f'channels into {run.spec.num_classes} classes.',
                 spec=run.spec,
                 image=image,
                 probabilities=found[plain.PROBABILITIES].numpy())


def _choose_folds(run: finished_run.Run,
                  numbers: Sequence[int]) -> finished_run.Run:
  done = {fold.number: fold for fold in run.folds}
  missing = [str(each) for each in numbers if each not in done]
  if missing:
    raise errors.DataError(
        f'{run.directory} has no finished fold {", ".join(missing)}; finished '
        f'are {", ".join(map(str, done))}. Train it, or pass other --folds.')
  return dataclasses.replace(run,
                             folds=tuple(
                                 done[each] for each in numbers or done))


def load_networks(run: finished_run.Run, weights: str) -> list[keras.Model]:
  """Returns the plain network of each fold, in their order.

  Args:
    run: of trained.load.
    weights: one of config.WEIGHTS.

  Raises:
    errors.DataError: a checkpoint is damaged, or its weights are of no use; or
      the plain network gives other probabilities.
  """
  return [_load_network(run, fold, weights) for fold in run.folds]


def _load_network(run: finished_run.Run, fold: finished_run.Fold,
                  weights: str) -> keras.Model:
  config = dataclasses.replace(run.config, precision='float32')
  model = build.build(config, run.spec, fold.about['pixels'], fast=False)
  values = trained.load_weights(run, fold, weights, model)
  for variable, value in zip(model.variables, values):
    variable.assign(value)
  made = plain.build(model, config.is_single_label)
  images = np.random.default_rng(_SEED).integers(
      0, 256, (_TEST_IMAGES, *run.spec.image_shape), np.uint8)
  wanted = build.find_probabilities(config, build.infer(model, images)).numpy()
  difference = np.abs(made(images).numpy() - wanted).max()
  if not difference <= _TOLERANCE:  # also NaN
    raise errors.DataError(
        f'Fold {fold.number} of {run.directory}: the exported network gives '
        f'probabilities that differ by {difference:.2g} from those of the '
        'training; its weights are damaged, or the training diverged.')
  return made


def describe(run: finished_run.Run, *, tta: str, weights: str,
             threshold: decision.Threshold) -> dict[str, str]:
  """Returns the metadata of an ONNX model, JSON texts by key.

  Args:
    run: with the exported folds.
    tta: as of Choice.
    weights: as of Choice.
    threshold: above which a class is predicted.
  """
  spec = run.spec
  cuts = np.asarray(threshold).tolist() if threshold is not None else None
  values = {
      'channels': list(spec.channel_names),
      'colors': [each.color for each in spec.channels],
      'classes': list(spec.classes),
      'image_size': spec.image_size,
      'resize': run.folds[0].about['records']['resize'],
      'scaling': {
          'input':
              'pixels 0..255, scaled inside the model',
          'kind':
              run.config.input_scaling,
          'folds': [{
              'fold': fold.number,
              **fold.about['pixels']
          } for fold in run.folds],
      },
      'threshold': cuts,
      'single_label': run.threshold is None,
      'tta': tta,
      'weights': weights,
      'folds': [fold.number for fold in run.folds],
      'records_sha256': run.fingerprint,
  }
  return {key: json.dumps(value) for key, value in values.items()}


def _make_image(run: finished_run.Run) -> np.ndarray:
  """Returns a test image of noise, [1, H, W, C] uint8.

  No image of the training, whose licence the run does not know.
  """
  return np.random.default_rng(_SEED).integers(0, 256,
                                               (1, *run.spec.image_shape),
                                               np.uint8)


def _write(directory: str, name: str, data: bytes) -> None:
  filesystem.write_atomically(os.path.join(directory, name), data)
