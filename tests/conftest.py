"""Fixtures of all tests, and what is told at their end."""

import ctypes
import gc
import os
import pathlib
import resource
import signal
import sys

import hypothesis
import pytest

from hpa_records.runtime import process
from tests.support import object_store

# As in a command, before a test imports TensorFlow.
process.take()
# What tests start finds the current folder, as what a user starts.
os.environ.pop('PYTHONSAFEPATH')
# A script's background jobs ignore Ctrl-C, and commands that they start, too.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
  signal.signal(signal.SIGINT, signal.default_int_handler)

_ROOT = pathlib.Path(__file__).parent.parent

# Files that take minutes: first, so that none is left alone at the end.
_LONG = ('test_loop', 'test_distribution', 'test_docs', 'test_page',
         'test_data_service', 'test_io_environment', 'test_run_paper',
         'test_trained_networks', 'test_object_stores', 'test_step',
         'test_export', 'test_datasets', 'test_resume')

_MOST_LEFT_MIB = 100  # by tests, before it is looked for

# No test depends on how fast a machine is.
hypothesis.settings.register_profile(
    'any machine',
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile('any machine')


def pytest_collection_modifyitems(items):
  """Puts the files that take longest first."""
  items.sort(key=lambda item: _LONG.index(item.path.stem)
             if item.path.stem in _LONG else len(_LONG))


def _resident_mib():
  """Memory of this process now; 0 where the system does not say."""
  try:
    pages = int(pathlib.Path('/proc/self/statm').read_text('ascii').split()[1])
  except OSError:
    return 0
  return pages * resource.getpagesize() // 2**20


_kept_mib = _resident_mib()


def _collect():
  """Collects cycles and graphs, and gives their memory back to the system.

  Each use of tf.custom_gradient in a tf.function is registered under a name of
  its own, for ever, with the graph that it is in.
  """
  global _kept_mib  # pylint: disable=global-statement
  ops = sys.modules.get('tensorflow.python.framework.ops')
  registry = getattr(getattr(ops, 'gradient_registry', None), '_registry', {})
  for name in [name for name in registry if name.startswith('CustomGradient-')]:
    del registry[name]
  if 'keras' in sys.modules:
    sys.modules['keras'].backend.clear_session()
  gc.collect()
  try:
    ctypes.CDLL(None).malloc_trim(0)
  except (OSError, AttributeError, TypeError):
    pass  # not glibc
  _kept_mib = _resident_mib()


@pytest.fixture(autouse=True)
def _give_back():
  """Gives back what tests leave behind, when it has become much.

  Iterators of tf.data keep their buffers and threads until Python looks for
  cycles.
  """
  yield
  if _resident_mib() > _kept_mib + _MOST_LEFT_MIB:
    _collect()


def _peak_mib():
  peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
  return peak // (2**20 if sys.platform == 'darwin' else 2**10)


def pytest_sessionfinish(session):
  """Tells the peak memory of a worker to the process that started it."""
  output = getattr(session.config, 'workeroutput', None)  # xdist's
  if output is not None:
    output['peak_mib'] = _peak_mib()


_peaks_mib = {}


@pytest.hookimpl(optionalhook=True)  # xdist's
def pytest_testnodedown(node):
  """Notes what a worker of xdist told."""
  told = getattr(node, 'workeroutput', None) or {}  # none of one that broke
  _peaks_mib[node.gateway.id] = told.get('peak_mib', 'unknown')


def pytest_terminal_summary(terminalreporter):
  """Says how much memory the tests took, each process, and how long each
  environment took to make, some of them by tests."""
  for name, peak in sorted((_peaks_mib or {'main': _peak_mib()}).items()):
    terminalreporter.write_line(f'peak memory of process {name}: {peak} MiB')
  for stamp in sorted(_ROOT.glob('.venv*/.installed*')):
    part = stamp.name.removeprefix('.installed').replace('-', ' ', 1)
    terminalreporter.write_line(f'{stamp.parent.name}{part}: made in '
                                f'{stamp.read_text().strip() or "?"} s')


def find_shared_data() -> pathlib.Path:
  """Returns the folder of real data beside the checkout; skips without it."""
  path = _ROOT.parent / 'shared'
  if not (path / 'hpa').is_dir():
    pytest.skip('the real data is not beside this checkout')
  return path


@pytest.fixture(name='shared_data')
def _shared_data() -> pathlib.Path:
  return find_shared_data()


@pytest.fixture(name='real_datasets')
def _real_datasets(shared_data) -> pathlib.Path:
  folder = shared_data / 'datasets'
  if not folder.is_dir():
    pytest.skip('the real files of other datasets are not beside this checkout')
  return folder


@pytest.fixture(name='store', scope='session')
def _store():
  with object_store.serve() as store:
    yield store
