"""The models that a command of this wing runs: its flags, checked and loaded.

They are those of runs, or of an exported folder.
"""

# What takes long to import is imported after --help and flags are answered.
# pylint: disable=import-outside-toplevel

from collections.abc import Sequence
import dataclasses
from typing import Any

from absl import flags

from hpa_records.runtime import errors
from hpa_records.runtime import process
from hpa_records.storage import path_check
from trainer.prediction import image_input
from trainer.run import workdir as workdir_lib


def define_model() -> flags.FlagHolder[str]:
  """Defines --model; the command defines --workdir and --weights itself."""
  return flags.DEFINE_string(
      'model', '', 'In place of --workdir: folder that hpa-export wrote.')


@dataclasses.dataclass(frozen=True)
class Models:
  """Where the models are.

  Attributes:
    flag: 'workdir', or 'model' of an exported folder.
    folders: of the runs, or the exported one.
  """
  flag: str
  folders: tuple[str, ...]

  def load(self) -> Any:
    """Returns the ensemble.Ensemble.

    Raises:
      errors.DataError: as of ensemble.load and ensemble.load_exported.
    """
    with process.ended_by_interrupt():
      from trainer.prediction import ensemble
    if self.flag == 'model':
      return ensemble.load_exported(self.folders[0])
    return ensemble.load(self.folders)

  def check_output(self, written: path_check.Paths,
                   read: image_input.Input) -> None:
    """Refuses files to write that are read, or among what is read.

    Args:
      written: files and folders that the command writes.
      read: the images.

    Raises:
      errors.DataError: as of path_check.refuse_shared.
    """
    staged, inputs = read.list_paths()
    closed = self.folders
    if self.flag == 'workdir':
      closed = [
          fold for each in self.folders
          for fold in workdir_lib.list_fold_directories(each)
      ]
    path_check.refuse_shared(
        [*staged, *written],
        [*inputs, *((self.flag, each) for each in self.folders)],
        closed=[('records', read.records),
                *((self.flag, each) for each in closed)])


def read_flags(workdirs: Sequence[str], model: str) -> Models:
  """Returns where the models are.

  Args:
    workdirs: values of --workdir.
    model: of --model.

  Raises:
    errors.DataError: there are both or none; or weights of --model are chosen.
  """
  if not model:
    return Models(
        'workdir',
        tuple(
            path_check.require_local(each, 'workdir')
            for each in workdirs or ['']))
  for name in ('workdir', 'weights'):
    if flags.FLAGS[name].present:
      raise errors.DataError(
          f'Expected no --{name} with --model, which has its own, received '
          f'both; leave one out.')
  return Models('model', (path_check.require_local(model, 'model'),))
