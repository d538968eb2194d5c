"""The folder of an exported model: built beside it, then renamed.

It is built in OUTPUT.unfinished, under a lock, and model.json comes last. A
killed export leaves that folder; the next one knows it by its lock and replaces
it. With --overwrite the old model is OUTPUT.replaced until the new one has its
name; if that is all that a killed export left, the next one gives it its name
back.
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
# TensorFlow writes variables under a temporary name of its own first.
_OWN = re.compile('|'.join(
    (*map(re.escape,
          (model_file.NAME, CARD_NAME, ONNX_NAME, PAGE_NAME, BIOIMAGE_NAME,
           training_samples.NAME, *TEST_NAMES, _LOCK_NAME)),
     rf'{SAVED_MODEL_NAME}/(saved_model|fingerprint|keras_metadata)\.pb',
     rf'{SAVED_MODEL_NAME}/variables/.+', rf'{_FOLDS_NAME}/fold[0-9]+\.keras')))
_OWN_FOLDERS = re.compile(f'{_FOLDS_NAME}|{SAVED_MODEL_NAME}'
                          f'(/assets|/variables(/.+)?)?')
_TEMPORARY = re.compile(r'(.*)\.[0-9a-f]{8}\.tmp')
# Files that a system leaves; others that litter knows may be the user's.
_OF_SYSTEMS = re.compile(r'(.*/)?(\.DS_Store|Thumbs\.db|desktop\.ini|\._.*)')


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
  found = []
  for top, below, names in os.walk(directory, onerror=_raise):
    place = os.path.relpath(top, directory)
    for name, own in (*((each, _OWN_FOLDERS) for each in below),
                      *((each, _OWN) for each in names)):
      path = os.path.normpath(os.path.join(place, name)).replace(os.sep, '/')
      if own is _OWN and _OF_SYSTEMS.fullmatch(path):
        continue
      temporary = _TEMPORARY.fullmatch(path)
      if not own.fullmatch(temporary[1] if temporary else path):
        raise errors.DataError(
            f'{directory} has {path!r}, which is not a file of an exported '
            'model; choose another --output, or move that file.')
      found.append(path)
  return sorted(found)


def _raise(error: OSError) -> None:
  raise error


@contextlib.contextmanager
def make(output: str, overwrite: bool) -> Iterator[str]:
  """Yields an empty folder that becomes the model's when the block succeeds.

  If the block raises, it is removed.

  Args:
    output: folder of the model.
    overwrite: whether an exported model may be replaced.

  Raises:
    errors.DataError: as of refuse; another export is running there; a folder
      beside it, with a name of a killed export's, is none; or a file cannot be
      written.
  """
  output = os.path.realpath(output)
  unfinished, replaced = f'{output}.unfinished', f'{output}.replaced'
  lock = os.path.join(unfinished, _LOCK_NAME)
  with path_check.translate_write_errors(output):
    _require_left(unfinished, _LOCK_NAME)
    _require_left(replaced, model_file.NAME)
    with file_lock.hold(
        lock, f'Another export to {output} is running; wait until it ends, or '
        'choose another --output'):
      _clear(unfinished)
      if os.path.isdir(replaced):  # of a killed export
        if os.path.lexists(output):
          shutil.rmtree(replaced)
        else:
          os.rename(replaced, output)
      try:
        refuse(output, overwrite)
        yield unfinished
        refuse(output, overwrite)  # it may have appeared meanwhile
        folders.flush_all(unfinished)
        _replace(unfinished, output, replaced)
      except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise


def _require_left(directory: str, mark: str) -> None:
  """Checks that a folder, if it is there, was left by a killed export.

  Args:
    directory: of the folder.
    mark: file that it then has.
  """
  names = _list_own(directory)
  if os.path.islink(directory) or (names and mark not in names):
    raise errors.DataError(
        f'{directory} is in the way, and no export left it (it is a link, or '
        f'has no {mark}); move it, or choose another --output.')


def _clear(unfinished: str) -> None:
  """Removes what a killed export left, except the lock."""
  for entry in list(os.scandir(unfinished)):
    if entry.is_dir(follow_symlinks=False):
      shutil.rmtree(entry.path)
    elif entry.name != _LOCK_NAME:
      os.remove(entry.path)


def _replace(unfinished: str, output: str, replaced: str) -> None:
  """Gives the new model its name; the lock is held until it has it."""
  try:
    if os.path.isdir(output):
      os.rename(output, replaced)
    os.rename(unfinished, output)
  except BaseException:
    if os.path.isdir(replaced) and not os.path.lexists(output):
      os.rename(replaced, output)
    raise
  filesystem.flush_folder(os.path.dirname(output))
  filesystem.remove(os.path.join(output, _LOCK_NAME))
  shutil.rmtree(replaced, ignore_errors=True)


def hash_files(directory: str) -> dict[str, tuple[int, str]]:
  """Returns size in bytes and SHA-256 of each file of a model, by name."""
  return {
      name: (filesystem.size(os.path.join(directory, name)) or
             0, filesystem.sha256(os.path.join(directory, name)))
      for name in folders.list_names(directory, recursive=True)
      if name != _LOCK_NAME
  }
