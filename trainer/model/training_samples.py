"""samples.npz of an exported folder: the fold of each image of the training.

So a model can embed a training image by the network that did not see it, and
say which images it was trained on. Ids may be names of patients or plates: the
file has the first 64 bits of the SHA-256 of each, which tell a known id but do
not spell it. No TensorFlow.
"""

from collections.abc import Sequence
import dataclasses
import hashlib
import io
import unicodedata

import numpy as np

from hpa_records.runtime import errors
from hpa_records.runtime import printable
from hpa_records.sampling import balance
from trainer.model import model_file
from trainer.run import arrays
from trainer.run import finished_run
from trainer.run import npz_file

NAME = 'samples.npz'
_HEX_DIGITS = 16


def normalize(ids: Sequence[str]) -> np.ndarray:
  """Returns ids in one Unicode form (NFC), [N] str.

  The same files have names in another form on another system.
  """
  return np.array([unicodedata.normalize('NFC', str(each)) for each in ids],
                  str)


def digest(ids: Sequence[str]) -> np.ndarray:
  """Returns what stands for ids in the file, [N] str of 16 hexadecimal digits.

  It is the same for all Unicode forms of an id. Of a million ids two have the
  same with a probability below 1e-7.
  """
  return np.array([
      hashlib.sha256(each.encode()).hexdigest()[:_HEX_DIGITS]
      for each in normalize(ids).tolist()
  ], f'<U{_HEX_DIGITS}')


def format_npz(run: finished_run.Run) -> bytes:
  """Returns the content of the file.

  Args:
    run: of trained.load.
  """
  samples = run.folds[0].samples
  file = io.BytesIO()
  np.savez_compressed(file,
                      ids=digest(samples.ids),
                      folds=samples.folds.astype(np.uint16))
  return file.getvalue()


def load(exported: model_file.Exported) -> finished_run.Run:
  """Returns the run of an exported folder with the samples of its folds.

  Their ids are those of digest; labels, groups and balance are not known.
  Those that a network was trained on have repeats of 1.

  Raises:
    errors.DataError: the file is missing or damaged, or not the one that was
      exported.
  """
  path = exported.locate(NAME)
  try:
    stored = npz_file.read(path, 2)
    ids, folds = stored['ids'], stored['folds']
    if (ids.dtype != f'<U{_HEX_DIGITS}' or ids.ndim != 1 or
        folds.dtype != np.uint16 or folds.shape != ids.shape or not ids.size):
      raise ValueError(f'received {ids.dtype} {ids.shape} and {folds.dtype} '
                       f'{folds.shape}')
  except Exception as error:  # zipfile and NumPy each raise their own
    raise errors.DataError(f'{path} is damaged '
                           f'({printable.join_lines(str(error))}); export the '
                           'model again.') from error
  run = exported.run
  labels = np.broadcast_to(np.uint8(0), (len(ids), run.spec.num_classes))
  return dataclasses.replace(
      run,
      folds=tuple(
          dataclasses.replace(fold,
                              samples=arrays.Samples(
                                  ids=ids,
                                  labels=labels,
                                  folds=folds.astype(np.int64),
                                  repeats=np.float32(folds != fold.number),
                                  seed=0,
                                  balance=balance.Balance()))
          for fold in run.folds))
