"""Measures prediction beside other programs that run the same networks.

A run is trained for one epoch and exported. Each way then predicts the same
images in its own process; ways take turns in each repeat. Their probabilities
must be those of hpa-predict.
"""

import dataclasses
import json
import os
import pathlib
import statistics
import sys
from typing import Any

import numpy as np

from benchmarks import process
from hpa_records.datasets import description
from hpa_records.runtime import host
from trainer.export import requirement

_EXPORT = str(pathlib.Path(__file__).resolve().parents[2] / 'export.py')
_SOURCES = {'png': 'from PNGs', 'records': 'from records'}
_WAYS = {
    'ours': 'hpa-predict',
    'saved_model': 'SavedModel',
    'onnx': 'onnxruntime, behind our reading',
    'plain': 'Keras predict in a loop, behind Pillow or tf.data',
}
_FOREIGN = ('saved_model', 'onnx', 'plain')
_SHOWN = ('size', 'folds', 'tta', 'batch', 'seconds', 'repeats')
# Between ways, of probabilities: resizing rounds in other places.
_TOLERANCE = 0.01
_LEARNING_RATE = 0.001


@dataclasses.dataclass(frozen=True)
class Job:
  """The settings of a measurement.

  Attributes:
    images: folder of PNGs, <id>_<channel>.png.
    records: folder of raw records of all of them.
    scratch: folder for run, model and results.
    size: height and width of the records' images, pixels.
    folds: networks that are averaged.
    tta: 'none', or 'dihedral' for the mean over eight symmetries.
    batch: images in a batch.
    seconds: for which a way is timed.
    repeats: repetitions of everything.
  """
  images: str
  records: str
  scratch: str
  size: int
  folds: int
  tta: str
  batch: int
  seconds: float
  repeats: int


def measure(job: Job) -> dict[str, Any]:
  """Returns all numbers, as JSON has them.

  Raises:
    errors.DataError: packages of an export are missing, or the images cannot be
      trained on.
    RuntimeError: a way failed, or predicts other probabilities than ours.
  """
  requirement.check()
  workdir, model = (
      os.path.join(job.scratch, name) for name in ('run', 'model'))
  for fold in range(job.folds):
    _run('-m', 'trainer.main', f'--records={job.records}',
         f'--workdir={workdir}', f'--fold={fold}', '--epochs=1',
         '--batch_size=8', f'--learning_rate={_LEARNING_RATE}')
  _run(_EXPORT, f'--workdir={workdir}', f'--output={model}', f'--tta={job.tta}')
  path = os.path.join(job.scratch, 'predict.json')
  output = os.path.join(job.scratch, 'probabilities.npz')
  pathlib.Path(path).write_text(json.dumps({
      **dataclasses.asdict(job), 'workdir': workdir,
      'model': model,
      'channels': [each.name for each in description.default().channels],
      'output': output
  }),
                                encoding='utf-8')
  rates = {f'{way}_{source}': [] for source in _SOURCES for way in _WAYS}
  wanted, differences, num_images = {}, {}, 0
  for _ in range(job.repeats):
    for name, each in rates.items():
      ran = process.run_module('prediction.predictor', [name, path],
                               host.num_cores())
      each.append(json.loads(ran.stdout.splitlines()[-1])['rate'])
      with np.load(output) as file:
        found = dict(zip(map(str, file['ids']), file['probabilities']))
      wanted = wanted or found
      num_images = len(wanted)
      differences[name] = compare(name, found, wanted)
  medians = {name: statistics.median(each) for name, each in rates.items()}
  return {
      'num_images': num_images,
      **{
          name: getattr(job, name) for name in _SHOWN
      },
      'rates': rates,
      'medians': medians,
      'differences': differences,
      'ratios': {
          f'{way}_{source}':
              medians[f'ours_{source}'] / medians[f'{way}_{source}']
          for source in _SOURCES for way in _FOREIGN
      },
  }


def _run(*words: str) -> None:
  process.run([sys.executable, *words], host.num_cores())


def compare(name: str, found: dict[str, np.ndarray],
            wanted: dict[str, np.ndarray]) -> float:
  """Returns the largest difference of probabilities.

  Raises:
    RuntimeError: it is too large, or the images are others.
  """
  if found.keys() != wanted.keys():
    raise RuntimeError(f'{name} predicted {len(found)} images, hpa-predict '
                       f'{len(wanted)}.')
  difference = float(
      np.max([np.abs(each - wanted[key]).max() for key, each in found.items()]))
  if difference > _TOLERANCE or np.isnan(difference):
    raise RuntimeError(f'{name} predicts probabilities that differ by '
                       f'{difference:.3g} from those of hpa-predict.')
  return difference


def form(report: dict[str, Any]) -> str:
  """Returns the table of measure."""
  lines = [
      f'{report["num_images"]:,} images, GapNet-PL at {report["size"]} px, '
      f'{report["folds"]} folds, symmetries {report["tta"]}, batches of '
      f'{report["batch"]}.', '',
      '| | images/s, median | least–most | ours ÷ this | probabilities differ '
      'by up to |', '| --- | --- | --- | --- | --- |'
  ]
  for source, where in _SOURCES.items():
    for way, title in _WAYS.items():
      name = f'{way}_{source}'
      rates, ratio = report['rates'][name], report['ratios'].get(name)
      lines.append(f'| {title}, {where} | {report["medians"][name]:.1f} | '
                   f'{min(rates):.1f}–{max(rates):.1f} | '
                   f'{f"{ratio:.2f}" if ratio else ""} | '
                   f'{report["differences"][name]:.1g} |')
  return '\n'.join(lines)
