"""path_check: outputs that overlap inputs are refused."""

import os
import subprocess
import sys

import pytest

from hpa_records.runtime import errors
from hpa_records.storage import path_check


@pytest.fixture(name='folder')
def _folder(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  for name in ('data/images', 'records', 'run/fold0'):
    (tmp_path / name).mkdir(parents=True)
  (tmp_path / 'train.csv').write_text('Id\n')
  os.link('train.csv', 'twin.csv')
  os.symlink('data', 'link')
  return tmp_path


@pytest.mark.parametrize('written,read', [
    ('records', 'records'),
    ('records', './records/'),
    ('data/images', 'link/images'),
    ('data/../records', 'records'),
    ('train.csv', 'twin.csv'),
    ('not/there', 'not/../not/there'),
    ('gs://a/b', 'gs://a//b/'),
    ('file:///proc', '/proc'),
])
def test_equal_paths_in_any_spelling_are_refused(folder, written, read):
  del folder
  with pytest.raises(errors.DataError,
                     match='--output=.* and --images=.* are the s'):
    path_check.refuse_shared([('output', written)], [('images', read)])
  with pytest.raises(errors.DataError,
                     match='--b=.* and --a=.* are the same path'):
    path_check.refuse_shared([('a', written), ('b', read)], [])


@pytest.mark.parametrize('written,read', [
    ('records/figures', 'records'),
    ('link/images/new/deep', 'data'),
    ('gs://a/b/c', 'gs://a/b'),
])
def test_outputs_inside_inputs_are_refused(folder, written, read):
  del folder
  read = [('records', read)]
  path_check.refuse_shared([('figures', written)], read)
  with pytest.raises(errors.DataError,
                     match='--figures=.* is inside the input folder'):
    path_check.refuse_shared([('figures', written)], read, closed=read)


def test_inputs_inside_outputs_are_refused(folder):
  del folder
  written, read = [('output', 'data')], [('images', 'link/images')]
  path_check.refuse_shared(written, read)
  with pytest.raises(errors.DataError, match='choose another --output'):
    path_check.refuse_shared(written, read, filled=written)


def test_siblings_and_missing_flags_are_accepted(folder):
  del folder
  path_check.refuse_shared([('output', 'records2'), ('figures', '')],
                           [('records', 'records'), ('csv', '')],
                           closed=[('records', 'records'), ('csv', '')])
  path_check.refuse_shared([('output', 'records')], [('images', '.')])


@pytest.mark.parametrize('command', [
    'tools/make_records.py --unlabelled --images=data/images '
    '--output=link/images',
    'tools/make_records.py --csv=train.csv --images=data --output=train.csv',
    'tools/make_records.py --csv=records/a.csv --images=data --output=records',
    'tools/inspect_records.py --records=records --figures=records/figures',
    '-m trainer.main --records=records --workdir=records',
    '-m trainer.main --records=records --workdir=run --stage_dir=records/a',
    '-m trainer.main --records=run/fold0 --workdir=run',
    'tools/report.py --workdir=run --output=run/fold0',
    'tools/report.py --workdir=data/report --output=data',
    'tools/benchmark.py balance --csv=train.csv --json=twin.csv',
    'tools/make_sample_data.py --output=data --num_samples=1',
])
def test_commands_refuse_it_in_one_line(folder, command, request):
  root = request.config.rootpath
  (folder / 'data' / 'report').mkdir()
  (folder / 'data' / 'train').mkdir()
  (folder / 'data' / 'train' / 'mine_red.png').write_text('')
  words = command.split()
  if words[0] != '-m':
    words[0] = str(root / words[0])
  before = sorted(folder.rglob('*'))
  done = subprocess.run([sys.executable, *words],
                        env={
                            **os.environ, 'PYTHONPATH': str(root)
                        },
                        capture_output=True,
                        text=True,
                        check=False)
  assert (done.returncode, done.stderr.count('\n')) == (2, 1), done.stderr
  assert 'choose another --' in done.stderr
  assert sorted(folder.rglob('*')) == before


@pytest.mark.parametrize('path,message', [
    ('', 'pass --output=PATH'),
    ('gs://bucket/folder', 'received --output=gs://bucket/folder'),
    ('s3://', 'No path after the scheme in --output=s3://'),
])
def test_only_local_paths(path, message):
  with pytest.raises(errors.DataError, match=message):
    path_check.require_local(path, 'output')
  assert path_check.require_local('a/b/', 'output') == 'a/b'


def test_the_home_folder_is_expanded(tmp_path, monkeypatch):
  monkeypatch.setenv('HOME', str(tmp_path))
  assert path_check.require_path('~/x/', 'output') == f'{tmp_path}/x'
  assert path_check.require_path('gs://~/x', 'output') == 'gs://~/x'
  with pytest.raises(errors.DataError, match='No home folder ~nobody_here'):
    path_check.require_path('~nobody_here/x', 'output')
