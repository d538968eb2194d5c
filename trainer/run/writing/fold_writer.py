"""Writes the files that a fold of any kind has, of a network or a classifier.

fold_file, arrays and finished_run read them.
"""

import json
import os
from typing import Any

import numpy as np

from hpa_records.ingest import csv_cell
from hpa_records.reading import dataset
from hpa_records.sampling import balance as balance_lib
from hpa_records.storage import filesystem
from trainer.run import arrays
from trainer.run import workdir
from trainer.scoring import decision
from trainer.scoring import metrics


def write_json(path: str, content: dict[str, Any]) -> None:
  """Writes JSON atomically; NaN raises ValueError."""
  text = json.dumps(content, indent=1, allow_nan=False) + '\n'
  filesystem.write_atomically(path, text.encode())


def write_samples(directory: str, records: dataset.Records, repeats: np.ndarray,
                  balance: balance_lib.Balance) -> None:
  """Writes samples.npz.

  Args:
    directory: of the fold.
    records: the dataset.
    repeats: [N] float32, expected draws, 0 in the held-out fold.
    balance: settings that gave them.
  """
  index = records.index
  arrays.Samples(
      index['id'].to_numpy(str), records.labels,
      index['fold'].to_numpy(np.int64), repeats,
      records.manifest.settings['seed'],
      balance, index['group'].to_numpy(str) if 'group' in index else np.zeros(
          0, str)).save(os.path.join(directory, workdir.SAMPLES_NAME))


def describe_records(records: dataset.Records) -> dict[str, Any]:
  """Returns what about.json says of the dataset."""
  manifest = records.manifest
  levels = (manifest.levels or {}).get('')  # those of the dataset
  return {
      'records': manifest.settings,
      'records_versions': manifest.versions,
      'classes': manifest.classes,
      **({} if levels is None else {
             'levels': levels
         }),
  }


def write_scores(directory: str, found: arrays.Predictions,
                 classes: tuple[str, ...], threshold: decision.Threshold,
                 summary: dict[str, Any]) -> None:
  """Writes predictions.npz, per_class.csv and, last, metrics.json.

  Args:
    directory: of the fold.
    found: predictions of the held-out fold.
    classes: names of the K classes.
    threshold: of the run.
    summary: content of metrics.json.
  """
  found.save(os.path.join(directory, workdir.PREDICTIONS_NAME))
  table = metrics.per_class(found.labels, found.predictions, classes, threshold)
  filesystem.write_atomically(os.path.join(directory, workdir.PER_CLASS_NAME),
                              csv_cell.encode(table))
  write_json(os.path.join(directory, workdir.METRICS_NAME), summary)
