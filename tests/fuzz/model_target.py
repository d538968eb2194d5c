"""model.json and samples.npz of an exported folder. No TensorFlow."""

import hashlib
import io
import json
import pathlib

import numpy as np

from hpa_records.datasets import description
from hpa_records.sampling import balance
from tests.fuzz import mutation
from tests.fuzz import run_target
from tests.fuzz import target
from trainer import config as config_lib
from trainer.model import model_file
from trainer.model import training_samples
from trainer.prediction import ensemble
from trainer.run import arrays
from trainer.run import finished_run

_SPEC = description.default().spec(4)


def make_run() -> finished_run.Run:
  """Returns a run of two folds, which has no folder."""
  about = {
      'device': 'the CPU',
      'versions': {
          'keras': '3'
      },
      'records': {
          'image_size': 4,
          'resize': 'triangle',
          'encoding': 'raw'
      },
      'records_versions': {},
      'classes': list(_SPEC.classes),
      'levels': [[0, 4095]] * _SPEC.num_channels,
      'pixels': {
          'mean': [1.5] * _SPEC.num_channels,
          'std': [2.5] * _SPEC.num_channels
      },
  }
  samples = arrays.Samples(np.array(['a', 'b']),
                           np.zeros([2, _SPEC.num_classes]), np.array([0, 3]),
                           np.ones(2), 0, balance.Balance())
  folds = tuple(
      finished_run.Fold(number, {'epoch': 2}, samples, about, _SPEC)
      for number in (0, 3))
  config = config_lib.Config('records', 'run', epochs=2)
  return finished_run.Run('run', config, '0' * 64, folds)


def format_model(threshold, samples: bytes | None = None) -> bytes:
  """Returns a model.json of that run.

  Args:
    threshold: as of decision.Threshold.
    samples: content of its samples.npz; None is that of the run.
  """
  if samples is None:
    samples = training_samples.format_npz(make_run())
  return model_file.format_json(make_run(),
                                tta='none',
                                weights='last',
                                threshold=threshold,
                                files={
                                    'folds/fold0.keras': (5, 'a' * 64),
                                    training_samples.NAME:
                                        (len(samples),
                                         hashlib.sha256(samples).hexdigest())
                                }).encode()


def _models(_) -> list[bytes]:
  return [format_model(0.5), format_model(np.full(_SPEC.num_classes, 0.25))]


def _parse_model(data: bytes, folder: pathlib.Path) -> None:
  samples = training_samples.format_npz(make_run())
  (folder / training_samples.NAME).write_bytes(samples)
  (folder / model_file.NAME).write_bytes(data)
  found = ensemble.load_exported(str(folder))
  described = description.of_settings(found.settings, found.classes)
  found.load_how(described)
  json.dumps(np.asarray(found.choose_thresholds('')).tolist(), allow_nan=False)
  exported = model_file.load(str(folder))
  again = model_file.format_json(exported.run,
                                 tta=exported.tta,
                                 weights='last',
                                 threshold=exported.threshold,
                                 files=exported.files)
  (folder / model_file.NAME).write_text(again, encoding='utf-8')
  ensemble.load_exported(str(folder))


def _samples(_) -> list[bytes]:
  written = training_samples.format_npz(make_run())
  with np.load(io.BytesIO(written)) as file:
    return [run_target.describe_arrays(dict(file)), written]


def _parse_samples(data: bytes, folder: pathlib.Path) -> None:
  data = run_target.write_archive(data)
  (folder / training_samples.NAME).write_bytes(data)
  (folder / model_file.NAME).write_bytes(format_model(0.5, data))
  training_samples.load(model_file.load(str(folder)))


TARGETS = {
    'model': target.Target(_models, _parse_model, mutation.change_json),
    'samples': target.Target(_samples, _parse_samples, mutation.change_json),
}
