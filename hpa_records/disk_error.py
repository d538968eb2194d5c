"""What to do about an error that the system gives for a file, in one line.

The system's words say what failed; the remedy depends on the kind: free space,
a raised limit and another folder help in different cases, trying again in none
of them.
"""

import errno
import os

_REMEDIES = {
    errno.ENOSPC:
        'Free some space on that disk, or choose another.',
    errno.EDQUOT:
        'Your quota is used up: delete files of yours there, or choose another '
        'disk.',
    errno.EMFILE:
        'Raise the limit of open files first: ulimit -n 4096.',
    errno.ENFILE:
        'The whole machine has too many files open: close other programs.',
    errno.EACCES:
        'Change the permissions of that folder, or choose another.',
    errno.EPERM:
        'Change the permissions of that folder, or choose another.',
    errno.EROFS:
        'Mount that disk for writing, or choose another.',
    errno.ENAMETOOLONG:
        'Choose a shorter path.',
    errno.EFBIG:
        'Raise the limit of file sizes: ulimit -f unlimited.',
    errno.ELOOP:
        'A link is in the way: remove it.',
    errno.EEXIST:
        'A file or link of that name is in the way: move it elsewhere.',
    errno.ENOTDIR:
        'A part of the path is a file or a link: move it elsewhere.',
    errno.ENOMEM:
        'Free some memory, or use fewer --workers.',
    errno.EAGAIN:
        'Raise the limit of processes (ulimit -u), or use fewer --workers.',
}


def find_dangling_link(path: str) -> str:
  """Returns what is wrong with a link on the way to a local path.

  Returns:
    Which link has a target that does not exist; '' if none has.
  """
  path = os.path.abspath(path)
  while path != os.path.dirname(path):
    if os.path.islink(path) and not os.path.exists(path):
      return (f'{path} is a link to {os.readlink(path)}, which does not exist. '
              'Mount that disk, or choose another.')
    path = os.path.dirname(path)
  return ''


def describe(path: str, error: OSError, remedy: str) -> str:
  """Returns the line for a command that cannot write to a local path.

  Args:
    path: that the user gave, or one below it.
    error: of the system.
    remedy: last sentence, after that which fits the error; it may begin with
      'Then'.
  """
  place = str(error.filename or path)
  link = find_dangling_link(place)
  if link:
    return f'Cannot write to {path}: {link} {remedy}'
  where = '' if place == path else f' ({place})'
  cause = _REMEDIES.get(error.errno, 'Check that disk, or choose another.')
  return (f'Cannot write to {path}: {error.strerror or error}{where}. {cause} '
          f'{remedy}')
