"""A training as a child process, and what its files and lines say."""

import json
import os
from typing import Any, Sequence

import numpy as np
import pandas as pd

from benchmarks.device import child
from benchmarks.device import step
from trainer.run import checkpoint_file
from trainer.run import npz_file
from trainer.run import workdir

STEADY = 3  # the first epoch in which nothing is compiled or filled


class Run:
  """A training as a child process."""

  def __init__(self,
               job: step.Job,
               name: str,
               epochs: int,
               words: Sequence[str],
               environment: dict[str, str] | None = None):
    """Prepares the process without starting it.

    Args:
      job: the settings.
      name: of the run's folder.
      epochs: to train for.
      words: flags of the trainer.
      environment: variables to set.
    """
    self._folder = os.path.join(job.scratch, 'runs', name)
    command = child.of_module('device.trained', [
        f'--records={job.records}', f'--workdir={self._folder}',
        f'--batch_size={job.batches[0]}', f'--epochs={epochs}', *words
    ])
    self.process = child.Child(command, job.scratch, environment)

  @property
  def fold(self) -> str:
    """The folder of the fold that was trained."""
    return workdir.fold_directory(self._folder, 0)

  def history(self) -> pd.DataFrame:
    """Returns history.csv, a row an epoch."""
    return pd.read_csv(os.path.join(self.fold, workdir.HISTORY_NAME),
                       index_col='epoch')

  def evaluations(self) -> list[dict[str, Any]]:
    """Returns what trained.py printed of each evaluation, and at_s, when."""
    return [{
        'at_s': at_s,
        **json.loads(line)
    } for at_s, line in self.process.lines if line.startswith('{"evaluated"')]

  def epoch_seconds(self) -> list[float]:
    """Returns the seconds of each epoch from STEADY on.

    An epoch ends with its evaluation. Its files are written beside the next
    one, which waits for them at its own end.
    """
    ends = [each['at_s'] for each in self.evaluations()]
    return np.diff(ends)[STEADY - 2:].tolist()

  def rate(self) -> dict[str, float]:
    """Returns images/s and the share of waiting for input once steady."""
    row = self.history().loc[STEADY]
    return {
        'images_per_s': float(row['images_per_s']),
        'input_wait': float(row['input_wait']),
    }

  def scores(self) -> dict[str, float]:
    """Returns losses and F1 of the held-out fold after epoch STEADY."""
    row = self.history().loc[STEADY]
    return {
        name: float(row[name])
        for name in ('loss', 'val_loss', 'f1_macro', 'f1_micro')
    }

  def arrays(self) -> dict[str, np.ndarray]:
    """Returns the variables of the last checkpoint."""
    folder = os.path.join(self.fold, workdir.CHECKPOINTS_NAME)
    last = checkpoint_file.list_positions(folder)[-1]
    found = npz_file.read(checkpoint_file.locate(folder, last))
    del found[checkpoint_file.STATE]
    return found
