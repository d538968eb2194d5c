"""Parsers of strangers' bytes: nothing escapes but errors.DataError.

Here each parser gets its seeds and some hundred changes of them, the same ones
each time. make soak has Atheris run each 200,000 times, guided by what it
reaches, and prints how long that took.
"""

import importlib
import json
import pathlib
import random
import subprocess
import sys
import time

import pytest

from hpa_records.runtime import errors
from tests.fuzz import catalog
from tests.fuzz import mutation
from tests.fuzz import target

_ROOT = pathlib.Path(__file__).parent.parent
_PYTHON = _ROOT / '.venv-fuzz' / 'bin' / 'python'
_CHANGES = 150
_RUNS = 200_000


@pytest.mark.parametrize('name', catalog.NAMES)
def test_nothing_escapes(name, tmp_path):
  chosen, rng = catalog.find(name), random.Random(name)
  for folder in ('seeds', 'files'):
    (tmp_path / folder).mkdir()
  seeds = chosen.seeds(tmp_path / 'seeds')
  changed = [
      target.change(chosen, rng.choice(seeds), rng) for _ in range(_CHANGES)
  ]
  for data in [*seeds, *changed]:
    found = target.run(chosen, data, tmp_path / 'files')
    assert found is None, f'{found.told}\n{data[:2000]!r}'


@pytest.mark.parametrize('name', catalog.NAMES)
def test_a_first_seed_is_accepted(name, tmp_path):
  """Else the fuzzer would test how the first check refuses."""
  chosen = catalog.find(name)
  (tmp_path / 'seeds').mkdir()
  chosen.parse(chosen.seeds(tmp_path / 'seeds')[0], tmp_path)


def test_the_catalog_has_all_targets():
  for module, names in catalog.MODULES.items():
    found = importlib.import_module(f'tests.fuzz.{module}')
    assert set(found.TARGETS) == set(names)


def _refuse(data, _):
  raise errors.DataError(f'Expected something else, received {data!r}.')


def _fail(*_):
  raise KeyError('a')


def _tell_much(*_):
  raise errors.DataError('one line\nand another')


def _leave(*_):
  raise SystemExit(2)


def _take_memory(*_):
  bytearray(2 * target.MOST_MIB *
            2**20)[::4096] = b'x' * (2 * target.MOST_MIB * 256)


@pytest.mark.parametrize('parse,kind', [
    (_fail, 'KeyError at test_fuzz.py'),
    (_tell_much, 'a message of several lines'),
    (_leave, 'SystemExit at test_fuzz.py'),
])
def test_what_escapes_is_told(parse, kind, tmp_path):
  broken = target.Target(lambda _: [b'a'], parse)
  assert target.run(broken, b'a', tmp_path).kind.startswith(kind)


def test_memory_without_end_is_told(tmp_path):
  # In a process of its own, which gives the memory back.
  code = ('import pathlib, sys; from tests import test_fuzz; '
          'from tests.fuzz import target; '
          'broken = target.Target(lambda _: [b"a"], test_fuzz._take_memory); '
          'print(target.run(broken, b"a", pathlib.Path(sys.argv[1])).kind)')
  done = subprocess.run([sys.executable, '-c', code, tmp_path],
                        cwd=_ROOT,
                        check=True,
                        capture_output=True,
                        text=True)
  assert done.stdout == 'memory\n'


def test_time_without_end_is_told(monkeypatch, tmp_path):
  monkeypatch.setattr(target, 'MOST_S', 0.1)

  def work(*_):
    until = time.process_time() + 0.2
    while time.process_time() < until:
      pass

  slow = target.Target(lambda _: [b'a'], work)
  assert target.run(slow, b'a', tmp_path).kind == 'time'


def test_a_refusal_is_none(tmp_path):
  sound = target.Target(lambda _: [b'a'], _refuse)
  assert target.run(sound, b'\x1b[31m', tmp_path) is None


def test_changes_depend_on_the_seed_alone():
  data = json.dumps({'a': [1, 'b', {'c': []}]}).encode()
  first = [mutation.change_json(data, random.Random(i)) for i in range(500)]
  assert first == [
      mutation.change_json(data, random.Random(i)) for i in range(500)
  ]


@pytest.mark.soak
@pytest.mark.parametrize('name', catalog.NAMES)
def test_nothing_escapes_in_many_runs(name, tmp_path):
  begun = time.monotonic()
  done = subprocess.run([
      str(_PYTHON), '-m', 'tests.fuzz.fuzzer', name,
      str(tmp_path),
      str(_RUNS)
  ],
                        cwd=_ROOT,
                        capture_output=True,
                        text=True,
                        errors='replace',
                        check=False)
  told = tmp_path / f'{name}.txt'
  assert not told.exists(), told.read_text()
  assert done.returncode == 0, done.stderr[-4000:]
  print(f'{name}: {_RUNS} runs in {time.monotonic() - begun:.0f} s')
