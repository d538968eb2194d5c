"""The folder of an exported model: built beside it, then renamed.

It is built in OUTPUT.unfinished, under a lock, and model.json comes last. A
killed export leaves that folder, which the next one replaces; with --overwrite
it may also leave the old model as OUTPUT.replaced.
"""

from collections.abc import Iterator
import contextlib
import os
import re
import shutil

from hpa_records.runtime import errors
from hpa_records.storage import file_lock
from hpa_records.storage import filesystem
from hpa_records.storage import folders
from hpa_records.storage import litter
from hpa_records.storage import path_check
from trainer.model import model_file
from trainer.model import training_samples

CARD_NAME = 'README.md'
ONNX_NAME = 'model.onnx'
SAVED_MODEL_NAME = 'saved_model'
PAGE_NAME = 'classify.html'
BIOIMAGE_NAME = 'bioimageio.yaml'
TEST_NAMES = ('test_input.npy', 'test_output.npy')
_FOLDS_NAME = 'folds'
_LOCK_NAME = 'lock'
_OWN = re.compile('|'.join(
    (*map(re.escape,
          (model_file.NAME, CARD_NAME, ONNX_NAME, PAGE_NAME, BIOIMAGE_NAME,
           training_samples.NAME, *TEST_NAMES, _LOCK_NAME)),
     f'{SAVED_MODEL_NAME}/.*', rf'{_FOLDS_NAME}/fold[0-9]+\.keras')))
_TEMPORARY = re.compile(r'(.*)\.[0-9a-f]{8}\.tmp')


def refuse(output: str, overwrite: bool) -> None:
  """Refuses a folder that must not be replaced.

  Args:
    output: folder of the model; may not exist.
    overwrite: whether an exported model may be replaced.

  Raises:
    errors.DataError: it has other files than an exported model's, or is one and
      overwrite is False; it is a file, or a link to a missing folder.
  """
  dangling = errors.find_dangling_link(output)
  if dangling:
    raise errors.DataError(f'Cannot write to {output}: {dangling}')
  names = _list_own(output)
  if names and not overwrite:
    what = 'an exported model' if model_file.NAME in names else (
        f'parts of an exported model but no {model_file.NAME}')
    raise errors.DataError(f'{output} has {what}; choose another --output, or '
                           'replace it with --overwrite.')


def _list_own(directory: str) -> list[str]:
  """Returns the names of the files in a folder, all of an exported model."""
  if not os.path.isdir(directory):
    if os.path.lexists(directory):
      raise errors.DataError(f'--output={directory} is a file; choose another.')
    return []
  names = [
      name for name in folders.list_names(directory, recursive=True)
      if not litter.is_litter(name)
  ]
  for name in names:
    found = _TEMPORARY.fullmatch(name)
    if not _OWN.fullmatch(found[1] if found else name):
      raise errors.DataError(
          f'{directory} has {name!r}, which is not a file of an exported '
          'model; choose another --output, or move that file.')
  return names


@contextlib.contextmanager
def make(output: str, overwrite: bool) -> Iterator[str]:
  """Yields an empty folder that becomes the model's when the block succeeds.

  If the block raises, it is removed.

  Args:
    output: folder of the model.
    overwrite: whether an exported model may be replaced.

  Raises:
    errors.DataError: as of refuse; another export is running there; or a file
      cannot be written.
  """
  output = os.path.realpath(output)
  unfinished, replaced = f'{output}.unfinished', f'{output}.replaced'
  lock = os.path.join(unfinished, _LOCK_NAME)
  with path_check.translate_write_errors(output):
    for each in (unfinished, replaced):
      _list_own(each)
    with file_lock.hold(
        lock, f'Another export to {output} is running; wait until it ends, or '
        'choose another --output'):
      _clear(unfinished)
      try:
        yield unfinished
        refuse(output, overwrite)  # it may have appeared meanwhile
        os.remove(lock)
        _replace(unfinished, output, replaced)
      except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise


def _clear(unfinished: str) -> None:
  """Removes what a killed export left, except the lock."""
  for entry in list(os.scandir(unfinished)):
    if entry.is_dir(follow_symlinks=False):
      shutil.rmtree(entry.path)
    elif entry.name != _LOCK_NAME:
      os.remove(entry.path)


def _replace(unfinished: str, output: str, replaced: str) -> None:
  shutil.rmtree(replaced, ignore_errors=True)
  if os.path.isdir(output):
    os.rename(output, replaced)
  os.rename(unfinished, output)
  shutil.rmtree(replaced, ignore_errors=True)


def hash_files(directory: str) -> dict[str, tuple[int, str]]:
  """Returns size in bytes and SHA-256 of each file of a model, by name."""
  return {
      name: (filesystem.size(os.path.join(directory, name)) or
             0, filesystem.sha256(os.path.join(directory, name)))
      for name in folders.list_names(directory, recursive=True)
      if name != _LOCK_NAME
  }
