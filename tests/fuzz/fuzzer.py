"""Fuzzes one parser: python -m tests.fuzz.fuzzer NAME FOLDER [RUNS [SEED]].

In the environment of the extra [fuzz], which `make env-fuzz` makes. Atheris
instruments the project's code and guides the changes by what they reach; what
escapes is written to FOLDER/NAME-<n>.bin and told in FOLDER/NAME.txt, and the
run goes on, so that one run tells all. A signal, an input that takes longer
than _LIMIT_S or more memory than _RSS_MIB end it at once, with another exit
code than 0.
"""

import faulthandler
import json
import os
import pathlib
import random
import sys
import tempfile

import atheris  # pylint: disable=import-error

with atheris.instrument_imports(include=['hpa_records', 'trainer']):
  from tests.fuzz import catalog
  from tests.fuzz import target as target_lib

_RSS_MIB = 2500
_LIMIT_S = 300
_MAX_BYTES = 20_000
_MOST_KINDS = 50  # that are told


def main() -> None:
  name, folder, *numbers = sys.argv[1:]
  runs, seed = (*map(int, numbers), *(200_000, 1)[len(numbers):])
  out = pathlib.Path(folder)
  with atheris.instrument_imports(include=['hpa_records', 'trainer']):
    chosen = catalog.find(name)
  # In memory where it can be: some parsers flush what they write to the disk.
  memory = '/dev/shm' if os.access('/dev/shm', os.W_OK) else None
  with tempfile.TemporaryDirectory(dir=memory) as files, open(
      out / f'{name}.hung', 'w', encoding='utf-8') as hung:
    corpus = pathlib.Path(files, 'corpus')
    for each in ('corpus', 'seeds', 'files'):
      pathlib.Path(files, each).mkdir()
    for i, data in enumerate(chosen.seeds(pathlib.Path(files, 'seeds'))):
      (corpus / f'{i}').write_bytes(data)
    escapes: dict[str, int] = {}

    def parse(data: bytes) -> None:
      # Atheris' own alarm tells no place.
      faulthandler.dump_traceback_later(_LIMIT_S, exit=True, file=hung)
      escape = target_lib.run(chosen, data, pathlib.Path(files, 'files'))
      if escape:
        _keep(out, name, escapes, escape, data)

    def change(data: bytes, max_bytes: int, number: int) -> bytes:
      rng = random.Random(number)
      if rng.random() < 0.3:
        return atheris.Mutate(data, max_bytes)
      return target_lib.change(chosen, data, rng)[:max_bytes]

    options = [
        f'-runs={runs}', f'-seed={seed}', f'-max_len={_MAX_BYTES}',
        '-timeout=1000000', f'-rss_limit_mb={_RSS_MIB}', '-len_control=0',
        '-reduce_inputs=0', '-close_fd_mask=3', '-print_final_stats=1',
        f'-artifact_prefix={out}/{name}-',
        str(corpus)
    ]
    atheris.Setup([sys.argv[0], *options], parse, custom_mutator=change)
    atheris.Fuzz()


def _keep(out: pathlib.Path, name: str, escapes: dict[str, int],
          escape: target_lib.Escape, data: bytes) -> None:
  """Writes the first input of each kind, and how often each came."""
  if escape.kind not in escapes and len(escapes) < _MOST_KINDS:
    (out / f'{name}-{len(escapes)}.bin').write_bytes(data)
    told = f'{name} {len(escapes)}: {escape.kind}\n{escape.told}\n'
    with open(out / f'{name}.txt',
              'a',
              encoding='utf-8',
              errors='backslashreplace') as file:
      file.write(told)
  escapes[escape.kind] = escapes.get(escape.kind, 0) + 1
  (out / f'{name}.json').write_text(json.dumps(escapes, indent=1), 'utf-8')


if __name__ == '__main__':
  main()
