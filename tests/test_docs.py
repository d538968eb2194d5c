"""README.md, BUILD_NOTES.md and docs: commands run, links resolve, all short.

Every block of commands (sh, bash or python) is run as it stands, in a folder
that has the files which the documents name, with small images and flag files of
one epoch. Its "python" is prestarted.py's, and gives commands the flags of
_FLAGS, which make records small where a block asks for no size. A block that
cannot run here has a line above it that says why:

  <!-- not run: a GPU -->
"""

import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
from typing import NamedTuple

import cv2
import numpy as np
import pandas as pd
import pytest

from tests.support import loops
from tests.support import prestarted

_ROOT = pathlib.Path(__file__).parent.parent
_GUIDES = sorted((_ROOT / 'docs').glob('*.md'))
_DOCUMENTS = [_ROOT / 'README.md', *_GUIDES]
_LINKED = [*_DOCUMENTS, _ROOT / 'BUILD_NOTES.md', _ROOT / 'WORKSPACE.md']

_MOST_LINES = {'README.md': 150, 'BUILD_NOTES.md': 350}
_MOST_PICTURE_BYTES = 400_000

# Blocks that run, at the least, and what those of a document write themselves.
_LEAST_BLOCKS = {
    'README.md': 7,
    'docs/balance.md': 2,
    'docs/convert.md': 9,
    'docs/descriptors.md': 1,
    'docs/features.md': 2,
    'docs/export.md': 5,
    'docs/many_machines.md': 2,
    'docs/own_images.md': 3,
    'docs/own_loop.md': 4,
    'docs/predict.md': 3,
    'docs/pretrain.md': 2,
    'docs/report.md': 1,
    'docs/train.md': 3,
}
_WRITTEN = {
    'README.md': ('records', 'run', 'test_records'),
    'docs/convert.md': ('records',),
    'docs/own_images.md': ('test_records',),
    'docs/train.md': ('run',),
}

# Guides whose commands make soak runs: they take minutes.
_IN_SOAK = ('docs/balance.md', 'docs/many_machines.md', 'docs/own_loop.md',
            'docs/pretrain.md', 'docs/report.md', 'docs/train.md')

# Whose examples need more packages than the tests.
_IN_LOOPS = 'docs/own_loop.md'

_BLOCK = re.compile(
    r'(?:^<!-- not run: (?P<why>[^>\n]+) -->\n)?'
    r'^```(?P<kind>\w*)\n(?P<text>.*?)^```$', re.DOTALL | re.MULTILINE)
_SHELLS = ('sh', 'bash')
_COMMANDS = (*_SHELLS, 'python')
_OTHER_KINDS = ('text', 'toml')
_FILE_NAME = re.compile(r'# (\S+\.toml)\n')  # first line of a file's block
_LINK = re.compile(r'\]\(([^)\s]+)\)')
_CODE = re.compile(r'```.*?```|`[^`\n]*`', re.DOTALL)
_TIMEOUT_S = 600

# By script; before those of the block, which count more.
_FLAGS = {'tools/make_records.py': '--image_size=32 --workers=1'}


class Block(NamedTuple):
  """A fenced block: its language, its text, and why it is not run or None."""
  kind: str
  text: str
  why: str | None


def _name(path):
  return path.relative_to(_ROOT).as_posix()


def _blocks(path):
  return [
      Block(found['kind'], found['text'], found['why'])
      for found in _BLOCK.finditer(path.read_text(encoding='utf-8'))
  ]


@pytest.fixture(name='environment', scope='module')
def _environment(tmp_path_factory):
  """That of commands, which find "python" in a folder of its own."""
  program = tmp_path_factory.mktemp('bin') / 'python'
  added = ''.join(f'{script}) shift; set -- {script} {words} "$@";;\n'
                  for script, words in _FLAGS.items())
  program.write_text(f'#!/bin/sh\ncase "$1" in\n{added}esac\n'
                     f'exec {shlex.join(prestarted.find_python())} "$@"\n')
  program.chmod(0o755)
  folders = (program.parent, pathlib.Path(sys.executable).parent)
  return os.environ | {
      'PATH': os.pathsep.join((*map(str, folders), os.environ['PATH'])),
      'PYTHONPATH': str(_ROOT)
  }


def _run(kind, text, folder, environment, python=None):
  words = ['bash', '-eu'] if kind in _SHELLS else [python or 'python', '-']
  done = subprocess.run(words,
                        input=text,
                        cwd=folder,
                        env=environment,
                        capture_output=True,
                        text=True,
                        check=False,
                        timeout=_TIMEOUT_S)
  assert done.returncode == 0, f'{text}\n{done.stdout}\n{done.stderr}'
  return done.stdout


def _write_wells(folder):
  """A table of wells and two 16-bit TIFFs each, as the guides describe them."""
  rows = ['plate,well,treatment']
  rng = np.random.default_rng(0)
  for plate in 'ABCDEF':
    (folder / 'plates' / plate).mkdir(parents=True)
    for well, treatment in (('A01', 'control'), ('A02', 'treated')):
      rows.append(f'{plate},{well},{treatment}')
      for channel in ('ch1', 'ch2'):
        cv2.imwrite(str(folder / 'plates' / plate / f'{well}_{channel}.tif'),
                    rng.integers(0, 4096, (48, 48)).astype(np.uint16))
  (folder / 'wells.csv').write_text('\n'.join(rows) + '\n')


def _write_own_images(folder, ids):
  """The files of train under the names and types of the guides."""
  for name in ('full_size', 'camera', 'test'):
    (folder / name).mkdir()
  for sample in ids:
    (folder / 'hpa' / sample).mkdir(parents=True)
    for channel in ('red', 'green', 'blue', 'yellow'):
      name = f'{sample}_{channel}'
      plane = cv2.imread(str(folder / 'train' / f'{name}.png'),
                         cv2.IMREAD_UNCHANGED)
      cv2.imwrite(str(folder / 'full_size' / f'{name}.tif'), plane)
      cv2.imwrite(str(folder / 'camera' / f'{name}.tif'),
                  plane.astype(np.uint16) * 16)
      cv2.imwrite(str(folder / 'hpa' / sample / f'{channel}.jpg'), plane)
  for sample in ids[:8]:
    for path in (folder / 'train').glob(f'{sample}_*'):
      shutil.copy(path, folder / 'test')


@pytest.fixture(name='base', scope='module')
def _base(tmp_path_factory, environment):
  """A folder with all the names that commands of the documents read."""
  folder = tmp_path_factory.mktemp('docs')
  (folder / 'tools').symlink_to(_ROOT / 'tools')
  for path in _ROOT.glob('*.flags'):
    (folder / path.name).write_text(
        f'{path.read_text()}\n--epochs=1\n--batch_size=16\n'
        '--balance_target=3\n')
  _run(
      'sh', 'python tools/make_sample_data.py --output=. --num_samples=60 '
      '--size_px=64', folder, environment)
  table = pd.read_csv(folder / 'train.csv')
  table['split'] = np.arange(len(table)) % 5
  table.to_csv(folder / 'train.csv', index=False)
  table['group'] = np.arange(len(table)) // 3
  table[['Id', 'group']].to_csv(folder / 'groups.csv', index=False)
  table[['Id'
        ]].head(8).assign(Predicted=0).to_csv(folder / 'sample_submission.csv',
                                              index=False)
  _write_own_images(folder, table['Id'].tolist())
  _write_wells(folder)
  _run(
      'sh', 'python tools/make_records.py --csv=train.csv --images=train '
      '--output=records\n'
      'python tools/make_records.py --unlabelled --images=test '
      '--output=test_records\n'
      'python -m trainer.main --flagfile=prelu.flags --records=records '
      '--workdir=run --fold=0', folder, environment)
  return folder


@pytest.mark.parametrize('path', [
    pytest.param(each,
                 marks=[pytest.mark.soak] if _name(each) in _IN_SOAK else [])
    for each in _DOCUMENTS
],
                         ids=_name)
def test_commands_run_as_they_stand(path, base, environment, tmp_path):
  name = _name(path)
  folder = tmp_path / 'folder'
  shutil.copytree(base, folder, symlinks=True)
  for each in _WRITTEN.get(name, ()):
    shutil.rmtree(folder / each)
  run, skipped = [], []
  python = loops.find_python() if name == _IN_LOOPS else None
  for each in _blocks(path):
    if 'import torch\n' in each.text and not loops.has_torch():
      skipped.append(each)
    elif each.kind == 'toml':
      (folder / _FILE_NAME.match(each.text)[1]).write_text(each.text)
    elif each.kind in _COMMANDS and each.why is None:
      _run(each.kind, each.text, folder, environment, python)
      run.append(each)
  assert len(run) + len(skipped) >= _LEAST_BLOCKS.get(name, 0)
  if skipped:
    pytest.skip('pip finds no build of PyTorch for the CPU')


@pytest.mark.parametrize('path', _DOCUMENTS, ids=_name)
def test_each_block_has_a_language_and_only_commands_are_left_out(path):
  text = path.read_text(encoding='utf-8')
  blocks = _blocks(path)
  assert text.count('```') == 2 * len(blocks)
  assert text.count('<!-- not run') == sum(
      each.why is not None for each in blocks)
  for each in blocks:
    assert each.kind in _COMMANDS or (each.kind in _OTHER_KINDS and
                                      each.why is None), each.text


def test_a_block_that_fails_is_seen(environment, tmp_path):
  with pytest.raises(AssertionError, match='no_such_file'):
    _run('sh', 'cat no_such_file\ntrue\n', tmp_path, environment)


def _anchors(path):
  """GitHub's anchors of a document's headings."""
  text = _CODE.sub(
      lambda found: found[0].strip('`') if '\n' not in found[0] else '',
      path.read_text(encoding='utf-8'))
  return {
      re.sub(r'[^\w\- ]', '', heading.lower()).replace(' ', '-')
      for heading in re.findall(r'^#+ (.+)$', text, re.MULTILINE)
  }


@pytest.mark.parametrize('path', _LINKED, ids=_name)
def test_links_resolve(path):
  text = _CODE.sub('', path.read_text(encoding='utf-8'))
  for link in _LINK.findall(text):
    if re.match('[a-z]+:', link):
      continue
    file, _, anchor = link.partition('#')
    target = path.parent / file if file else path
    assert target.is_file(), link
    assert not anchor or anchor in _anchors(target), link


@pytest.mark.parametrize('path', _GUIDES, ids=_name)
def test_the_readme_leads_to_each_guide(path):
  assert f'(docs/{path.name})' in (_ROOT /
                                   'README.md').read_text(encoding='utf-8')


@pytest.mark.parametrize('name', _MOST_LINES)
def test_documents_stay_short(name):
  lines = (_ROOT / name).read_text(encoding='utf-8').splitlines()
  assert len(lines) <= _MOST_LINES[name]


def test_pictures_stay_small():
  pictures = [
      path for path in (_ROOT / 'docs').iterdir() if path.suffix != '.md'
  ]
  assert pictures
  assert sum(path.stat().st_size for path in pictures) <= _MOST_PICTURE_BYTES
