"""notebooks/colab.ipynb, executed from top to bottom where it can be here."""

import json
import os
import pathlib
import shlex
import shutil

import nbclient
import nbformat

from tests.support import prestarted

_ROOT = pathlib.Path(__file__).parent.parent
_NOTEBOOK = _ROOT / 'notebooks' / 'colab.ipynb'
# These need Kaggle, a TPU or Google Drive.
_ELSEWHERE = {'kaggle', 'tpu', 'drive'}
_SMALL = {'NUM_SAMPLES': 60, 'IMAGE_SIZE': 32, 'EPOCHS': 1}


def _copy_project(folder):
  """A checkout as a user has it: the notebook writes beside the code."""
  for name in ('hpa_records', 'trainer', 'tools', 'notebooks'):
    shutil.copytree(_ROOT / name, folder / name)
  for path in [_ROOT / 'setup.cfg', *_ROOT.glob('*.flags')]:
    shutil.copy(path, folder)


def _write_python(path):
  """A program that takes the place of Python; see prestarted.py."""
  path.write_text(
      f'#!/bin/sh\nexec {shlex.join(prestarted.find_python())} "$@"\n')
  path.chmod(0o755)
  return path


def test_every_cell_runs_that_needs_neither_kaggle_nor_a_tpu(tmp_path):
  _copy_project(tmp_path)
  notebook = nbformat.read(_NOTEBOOK, as_version=4)
  nbformat.validate(notebook)
  notebook.cells = [
      cell for cell in notebook.cells
      if not _ELSEWHERE & set(cell.metadata.get('tags', []))
  ]
  settings = next(
      cell for cell in notebook.cells if cell.id == 'settings').source
  for name, value in _SMALL.items():
    line = next(
        line for line in settings.splitlines() if line.startswith(f'{name} ='))
    settings = settings.replace(line, f'{name} = {value}')
  notebook.cells[1].source = settings
  install = next(cell for cell in notebook.cells if cell.id == 'install')
  before = 'PYTHON = sys.executable\n'
  assert before in install.source
  program = _write_python(tmp_path / 'python')
  install.source = install.source.replace(before, f'PYTHON = "{program}"\n')
  client = nbclient.NotebookClient(
      notebook,
      timeout=1800,
      resources={'metadata': {
          'path': str(tmp_path / 'notebooks')
      }})
  client.execute(env={**os.environ, 'PYTHONPATH': str(tmp_path)})
  outputs = {
      cell.id: ''.join(output.get('text', '') for output in cell.outputs)
      for cell in notebook.cells
      if cell.cell_type == 'code'
  }
  assert '60 records' in outputs['convert']
  assert 'epoch 1' in outputs['train'] and 'Held-out fold 0' in outputs['train']
  assert 'colab/run/report.html' in outputs['report']
  metrics = json.loads(
      (tmp_path / 'colab' / 'run' / 'fold0' / 'metrics.json').read_text())
  assert metrics['epoch'] == 1


def test_it_is_stored_without_results():
  notebook = nbformat.read(_NOTEBOOK, as_version=4)
  cells = [cell for cell in notebook.cells if cell.cell_type == 'code']
  assert cells and not any(cell.outputs for cell in cells)
  for cell in cells:
    for tag in _ELSEWHERE & set(cell.metadata.get('tags', [])):
      condition = {'kaggle': "'kaggle'", 'tpu': 'HAS_TPU', 'drive': 'DRIVE'}
      assert condition[tag] in cell.source.splitlines()[0]
