"""Says in one line whether this Python can run the project; make env calls it.

With the word io behind it: whether it can run the extra [io].

Written for any Python 3, since it is the wrong ones that it is for.
"""

import sys

# Those with wheels of TensorFlow 2.17 to 2.21; setup.cfg has the same.
OLDEST = (3, 10)
NEWEST = (3, 13)
NEWEST_IO = (3, 12)  # with wheels of TensorFlow 2.17, which the extra [io] pins


def complaint(version, executable, newest=NEWEST):
  """Returns what is wrong with a Python, '' if nothing is.

  Args:
    version: (major, minor, ...) of it.
    executable: its path.
    newest: that will do.
  """
  if OLDEST <= tuple(version[:2]) <= newest:
    return ''
  # pylint: disable-next=consider-using-f-string
  return ('Expected Python {}.{} to {}.{}, those that TensorFlow has wheels '
          'for, received {}.{} at {}; name another one: make PYTHON=python3.12 '
          'env'.format(*OLDEST, *newest, version[0], version[1], executable))


if __name__ == '__main__':
  MESSAGE = complaint(sys.version_info, sys.executable,
                      NEWEST_IO if 'io' in sys.argv[1:] else NEWEST)
  if MESSAGE:
    sys.stderr.write(MESSAGE + '\n')
    sys.exit(2)
