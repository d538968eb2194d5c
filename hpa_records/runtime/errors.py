"""Errors with a one-line message for the user, and remedies for OSErrors.

The operating system's message says what failed; the remedy depends on the
errno.
"""

import errno
import os

from hpa_records.runtime import printable


class DataError(ValueError):
  """The user's input is wrong; the message says what, where, what to do.

  cli.run prints the message and exits with code 2, without a traceback.
  Unprintable characters in the message are escaped.
  """

  def __init__(self, message: str, *more: str):
    super().__init__(printable.escape(message), *more)

  def __str__(self) -> str:
    return self.args[0]  # of several, Exception prints a tuple


class UnreadError(DataError):
  """A file could not be read; its content may be valid.

  Args: (message, path).
  """


class StoppedEarly(RuntimeError):
  """Stopped early after a clean shutdown; the message says how to continue.

  cli.run prints the message and exits with exit_code, without a traceback.

  Attributes:
    exit_code: 1, or 128 + the number of the signal received.
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
        'the disk or the network failed, the file may be intact: check them '
        '(dmesg), then run the same command again',
    errno.ESTALE:
        'the network disk has lost the file: mount it again, then run the same '
        'command again',
    errno.EACCES:
        'check the permissions of the file and of the folders above it',
    errno.ENOMEM:
        'free some memory, or use fewer --workers',
    errno.ENAMETOOLONG:
        'choose a shorter path',
    errno.ELOOP:
        'the path contains a link that must not be followed: remove it',
    errno.ENOSPC:
        'free some space or inodes ("df -i") on that disk, or choose another',
    errno.EDQUOT:
        'your quota is used up: delete files there, or choose another disk',
    errno.EROFS:
        'mount that disk for writing, or choose another',
    errno.EFBIG:
        'raise the limit of file sizes: "ulimit -f unlimited"',
    errno.EEXIST:
        'a file or link of that name exists: move it elsewhere',
    errno.EISDIR:
        'a folder of that name exists: move it elsewhere',
    errno.ENOTDIR:
        'a part of the path is a file or a link: move it elsewhere',
    errno.ESPIPE:
        'save its output to a file, and pass that file',
    errno.EAGAIN:
        'raise the limit of processes (ulimit -u), or use fewer --workers',
}
# For paths that are read: moving them elsewhere does not help.
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
  """Returns the operating system's message and what to do about it.

  Args:
    error: raised by the operating system.
    otherwise: remedy where the errno has none.
  """
  reason = error.strerror or str(error) or type(error).__name__
  return f'{reason}; {_REMEDIES.get(error.errno, otherwise)}'


def explain_limit(error: Exception) -> str:
  """Returns explain(error) if a limit of the process is reached; '' if not."""
  if isinstance(error, RuntimeError) and _NO_THREAD in str(error):
    error = OSError(errno.EAGAIN, _NO_THREAD)
  is_limit = isinstance(error, OSError) and error.errno in _LIMITS
  return explain(error) if is_limit else ''


def explain_text(message: str) -> str:
  """Returns explain of the errno that a message names; '' if it names none."""
  number = find_number(message)
  return explain(OSError(number, os.strerror(number))) if number else ''


def find_number(message: str) -> int:
  """Returns the errno that a message names; 0 if it names none with a remedy.
  """
  return next((each for each in _REMEDIES if os.strerror(each) in message), 0)


def find_unread(path: str, error: Exception) -> UnreadError | None:
  """Returns the error to raise if a file could not be read, or None.

  None: the file is missing, or the error may be caused by its content.

  Args:
    path: of the file.
    error: raised while the file was read.
  """
  if isinstance(error, DataError):  # from describe_read
    error = error.__cause__
  if isinstance(error, OSError) and error.errno in _UNREAD:
    return UnreadError(f'Cannot read {path}: {explain(error)}.', path)
  return None


def describe_read(path: str, error: OSError, folder: str = '') -> DataError:
  """Returns the error to raise where a file or folder cannot be read.

  Args:
    path: of the file or folder.
    error: raised by the operating system.
    folder: what to pass where path is a file and a folder is needed.
  """
  if isinstance(error, DataError):
    return error  # of an address, already one line
  remedy = _READ_REMEDIES.get(error.errno)
  if folder and error.errno == errno.ENOTDIR:
    remedy = f'pass {folder}'
  reason = f'{error.strerror}; {remedy}' if remedy else explain(error)
  cause = find_dangling_link(path) or f'{reason}.'
  return DataError(f'Cannot read {path}: {cause}')


def describe_write(path: str, error: OSError, then: str) -> DataError:
  """Returns the error to raise where a path cannot be written to.

  Args:
    path: given by the user, or a path below it.
    error: raised by the operating system.
    then: the message's last sentence, what to do afterwards.
  """
  if isinstance(error, DataError):
    return error  # of an address, already one line
  place = str(error.filename or path)
  cause = find_dangling_link(place)
  if not cause:
    where = '' if place == path else f' ({place})'
    cause = f'{explain(error, "check that disk, or choose another")}{where}.'
  return DataError(f'Cannot write to {path}: {cause} {then}')


def find_dangling_link(path: str) -> str:
  """Returns which link of a local path has no target; '' if none.

  Returns:
    Two sentences: the link and its target, and what to do.
  """
  path = os.path.abspath(path)
  while path != os.path.dirname(path):
    if os.path.islink(path) and not os.path.exists(path):
      target = printable.escape_line(os.readlink(path))
      return (f'{path} is a link to {target}, which does not exist. '
              'Mount that disk, or choose another.')
    path = os.path.dirname(path)
  return ''
