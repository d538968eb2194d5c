"""The way every command of the project starts and ends.

Exit code 0: done. 2: the user's input is wrong, said in one line (or one list)
on stderr, without a traceback. 1: something broke, with its traceback unless it
could be told in one line. 130: the user pressed Ctrl-C. 143: SIGTERM came to a
training, which saved first. absl alone leaves with 1 and a page of help for a
mistyped flag.
"""

import sys
from typing import Callable, Mapping, NoReturn

from absl import app
from absl import flags

from hpa_records import schema


def run(main: Callable[[], None] | None = None,
        subcommands: Mapping[str, Callable[[], None]] | None = None) -> None:
  """Parses the flags, calls main() and exits with the project's exit codes.

  Args:
    main: called without arguments; raises schema.DataError for wrong input.
    subcommands: in place of main, name → such a function; the command's one
      argument that is no flag chooses among them, and they share all flags.
  """
  # By default absl takes all behind the first word for words.
  flags.FLAGS.set_gnu_getopt(True)
  app.run(lambda argv: _guard(main or _choose(argv, subcommands), argv),
          flags_parser=_parse)


def _parse(argv: list[str]) -> list[str]:
  try:
    return flags.FLAGS(argv, known_only=False)
  except flags.Error as error:
    return _refuse(f'{error}; {argv[0]} --help lists the flags.')


def _choose(
    argv: list[str],
    subcommands: Mapping[str, Callable[[], None]]) -> Callable[[], None]:
  """Returns the function that argv[1] names, and takes argv[1] out."""
  if len(argv) < 2 or argv[1] not in subcommands:
    received = repr(argv[1]) if len(argv) > 1 else 'none'
    _refuse(f'Expected one of {", ".join(subcommands)}, received {received}; '
            f'write {argv[0]} {next(iter(subcommands))} --name=value.')
  return subcommands[argv.pop(1)]


def _guard(main: Callable[[], None], argv: list[str]) -> None:
  if len(argv) > 1:
    _refuse(f'Expected flags only, received {argv[1]!r}; write --name=value.')
  try:
    main()
  except schema.DataError as error:
    _refuse(str(error))
  except schema.BrokenOff as error:
    print(error, file=sys.stderr)
    sys.exit(error.exit_code)
  except KeyboardInterrupt:
    print('Interrupted; the same command goes on or starts again.',
          file=sys.stderr)
    sys.exit(130)  # as a shell reports SIGINT


def _refuse(message: str) -> NoReturn:
  print(message, file=sys.stderr)
  sys.exit(2)
