"""The weights of an exported fold, for the network of this package.

Of a fold's .keras file only the arrays are read, never its configuration.
"""

from typing import Any

import numpy as np

from hpa_records.runtime import errors
from trainer.model import model_file
from trainer.run import finished_run
from trainer.start import keras_file


def load(exported: model_file.Exported, fold: finished_run.Fold,
         model: Any) -> list[np.ndarray]:
  """Returns the weights of a fold, in the order of a network's variables.

  Args:
    exported: of the fold.
    fold: of exported.run.
    model: keras.Model of network.build.build.

  Raises:
    errors.DataError: the file is missing, was changed, or is of another
      network.
  """
  from trainer.network import plain  # pylint: disable=import-outside-toplevel
  path = exported.locate(model_file.name_fold(fold.number))
  try:
    return plain.list_values(model, keras_file.read(path))
  except errors.DataError:
    raise
  except ValueError as error:
    raise errors.DataError(f'{path} is of another network ({error}); export '
                           'the model again.') from error
