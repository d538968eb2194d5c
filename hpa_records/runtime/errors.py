"""Errors with one line for the user, and what the system said of a file.

The system's words say what failed; the remedy depends on the kind: free space,
a raised limit and another folder help in different cases, trying again in none
of them.
"""

import errno
import os

from hpa_records.runtime import printable


class DataError(ValueError):
  """The user's input is wrong; the message says what, where, what to do.

  cli.run prints the message and exits with code 2, without a traceback.
  What is not printable is escaped in it, whatever it quotes.
  """

  def __init__(self, message: str, *more: str):
    super().__init__(printable.escape(message), *more)


class UnreadError(DataError):
  """A file could not be read; its content may be valid.

  Args: (message, path).
  """


class BrokenOff(RuntimeError):
  """Stopped early after a clean shutdown; the message says how to continue.

  cli.run prints the message and exits with exit_code, without a traceback.

  Attributes:
    exit_code: 1, or 128 + the number of the signal that came.
  """

  def __init__(self, message: str, exit_code: int):
    super().__init__(printable.escape(message))
    self.exit_code = exit_code


_REMEDIES = {
    errno.EMFILE:
        'raise the limit of open files in this shell, for example with '
        '"ulimit -n 65536"',
    errno.ENFILE:
        'close other programs, or have the administrator raise the limit of '
        'open files of the machine (fs.file-max)',
    errno.EIO:
        'the disk or the network failed, the file may be whole: check them '
        '(dmesg), then run the same command again',
    errno.ESTALE:
        'the network disk has lost the file: mount it again, then run the same '
        'command again',
    errno.EACCES:
        'check the rights of the file and of the folders above it',
    errno.ENOMEM:
        'free some memory, or use fewer --workers',
    errno.ENAMETOOLONG:
        'choose a shorter path',
    errno.ELOOP:
        'a link is in the way: remove it',
    errno.ENOSPC:
        'free some space on that disk (or files: "df -i"), or choose another',
    errno.EDQUOT:
        'your quota is used up: delete files of yours there, or choose another '
        'disk',
    errno.EROFS:
        'mount that disk for writing, or choose another',
    errno.EFBIG:
        'raise the limit of file sizes: "ulimit -f unlimited"',
    errno.EEXIST:
        'a file or link of that name is in the way: move it elsewhere',
    errno.EISDIR:
        'a folder has the name of a file: move it elsewhere',
    errno.ENOTDIR:
        'a part of the path is a file or a link: move it elsewhere',
    errno.ESPIPE:
        'save what it gives to a file, and pass that',
    errno.EAGAIN:
        'raise the limit of processes (ulimit -u), or use fewer --workers',
}
# Of what is read: nothing there is in the way.
_READ_REMEDIES = {
    errno.EISDIR: 'pass a file',
    errno.ENOTDIR: 'a part of the path is a file: check the path',
}
_LIMITS = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN}
_UNREAD = _LIMITS | {
    errno.EACCES, errno.EPERM, errno.EIO, errno.ESTALE, errno.ETIMEDOUT
}
_NO_THREAD = "can't start new thread"  # what Python says
_REMEDIES[errno.EPERM] = _REMEDIES[errno.EACCES]
_REMEDIES[errno.ETIMEDOUT] = _REMEDIES[errno.EIO]


def explain(error: OSError,
            otherwise: str = 'check the path and the disk') -> str:
  """Returns what the operating system said, and what to do about it.

  Args:
    error: that it raised.
    otherwise: what to do where the error tells nothing of the cause.
  """
  reason = error.strerror or str(error) or type(error).__name__
  return f'{reason}; {_REMEDIES.get(error.errno, otherwise)}'


def explain_limit(error: Exception) -> str:
  """Returns the same for an error that says that a limit of the process is
  reached; '' for others."""
  if isinstance(error, RuntimeError) and _NO_THREAD in str(error):
    error = OSError(errno.EAGAIN, _NO_THREAD)
  is_limit = isinstance(error, OSError) and error.errno in _LIMITS
  return explain(error) if is_limit else ''


def explain_text(message: str) -> str:
  """Returns the same for an error of which only a text is known; '' if it names
  no cause of which there is a remedy."""
  number = find_number(message)
  return explain(OSError(number, os.strerror(number))) if number else ''


def find_number(message: str) -> int:
  """Returns the errno that a text names; 0 if none of which there is a remedy.
  """
  return next((each for each in _REMEDIES if os.strerror(each) in message), 0)


def find_unread(path: str, error: Exception) -> UnreadError | None:
  """Returns what to raise if a file could not be read, whatever is in it; None
  if the error may be one of its content, or the file is not there.

  Args:
    path: of it.
    error: that reading it raised.
  """
  if isinstance(error, DataError):  # that describe_read made
    error = error.__cause__
  if isinstance(error, OSError) and error.errno in _UNREAD:
    return UnreadError(f'Cannot read {path}: {explain(error)}.', path)
  return None


def describe_read(path: str, error: OSError, folder: str = '') -> DataError:
  """Returns what to raise where a file or folder cannot be read.

  Args:
    path: of it.
    error: of the system.
    folder: what to pass where a file is in place of a folder.
  """
  if isinstance(error, DataError):
    return error  # of an address, told already
  remedy = _READ_REMEDIES.get(error.errno)
  if folder and error.errno == errno.ENOTDIR:
    remedy = f'pass {folder}'
  told = f'{error.strerror}; {remedy}' if remedy else explain(error)
  cause = find_dangling_link(path) or f'{told}.'
  return DataError(f'Cannot read {path}: {cause}')


def describe_write(path: str, error: OSError, then: str) -> DataError:
  """Returns what to raise where a path cannot be written to.

  Args:
    path: that the user gave, or one below it.
    error: of the system.
    then: last sentence, what to do when the cause is gone.
  """
  if isinstance(error, DataError):
    return error  # of an address, told already
  place = str(error.filename or path)
  cause = find_dangling_link(place)
  if not cause:
    where = '' if place == path else f' ({place})'
    cause = f'{explain(error, "check that disk, or choose another")}{where}.'
  return DataError(f'Cannot write to {path}: {cause} {then}')


def find_dangling_link(path: str) -> str:
  """Returns what is wrong with a link on the way to a local path.

  Returns:
    Which link has a target that does not exist; '' if none has.
  """
  path = os.path.abspath(path)
  while path != os.path.dirname(path):
    if os.path.islink(path) and not os.path.exists(path):
      target = printable.escape_line(os.readlink(path))
      return (f'{path} is a link to {target}, which does not exist. '
              'Mount that disk, or choose another.')
    path = os.path.dirname(path)
  return ''
