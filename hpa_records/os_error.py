"""A file that cannot be read, in words: why, and the remedy that helps."""

import errno
import os

from hpa_records import schema

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
    errno.EACCES: 'check the rights of the file and of the folders above it',
    errno.ENOMEM: 'free some memory, then run the same command again',
}
_REMEDIES[errno.EPERM] = _REMEDIES[errno.EACCES]
_REMEDIES[errno.ETIMEDOUT] = _REMEDIES[errno.EIO]


def explain(error: OSError,
            otherwise: str = 'check the file and its disk') -> str:
  """Returns what the operating system said, and what to do about it.

  Args:
    error: that it raised.
    otherwise: what to do where the error tells nothing of the cause.
  """
  reason = error.strerror or str(error) or type(error).__name__
  return f'{reason}; {_REMEDIES.get(error.errno, otherwise)}'


def explain_text(message: str) -> str:
  """Returns the same for an error of which only a text is known; '' if it names
  no cause of which there is a remedy."""
  for number in _REMEDIES:
    if os.strerror(number) in message:
      return explain(OSError(number, os.strerror(number)))
  return ''


def describe_read(path: str, error: OSError) -> schema.DataError:
  """Returns what to raise where a file cannot be read."""
  if isinstance(error, schema.DataError):
    return error  # of an address, told already
  return schema.DataError(f'Cannot read {path}: {explain(error)}.')
