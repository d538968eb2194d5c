"""Which modules start without TensorFlow, and how large folders may be.

What may import what stands in setup.cfg, and make lint holds it.
"""

import ast
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

from hpa_records.datasets import description

_ROOT = pathlib.Path(__file__).parent.parent
_PACKAGES = ('hpa_records', 'trainer')

_WITH_TENSORFLOW = {
    'hpa_records.runtime.tensorflow',
    'hpa_records.reading.pipeline_call',
    'hpa_records.reading.batching',
    'hpa_records.reading.streaming',
    'hpa_records.reading.tensorflow_address',
    'hpa_records.reading.data_service',
    'hpa_records.reading.indexed',
    'hpa_records.reading.reader',
    'hpa_records.reading.inference_source',
    'trainer.network.activation',
    'trainer.network.activation_map',
    'trainer.network.averages',
    'trainer.network.families.alexnet',
    'trainer.network.families.catalog',
    'trainer.network.families.chain',
    'trainer.network.families.deeploc',
    'trainer.network.families.deepyeast',
    'trainer.network.families.densenet',
    'trainer.network.families.fcn',
    'trainer.network.families.layer',
    'trainer.network.families.mcnn',
    'trainer.network.families.mil',
    'trainer.network.families.resnet',
    'trainer.network.families.se_resnext',
    'trainer.network.applications',
    'trainer.training.recording.tensorboard',
    'trainer.run.checkpoint',
    'trainer.cluster',
    'trainer.training.cross_validation',
    'trainer.training.device_cache',
    'trainer.augmentation.affine',
    'trainer.augmentation.blur',
    'trainer.augmentation.box',
    'trainer.augmentation.chain',
    'trainer.augmentation.decoupling',
    'trainer.augmentation.dihedral',
    'trainer.augmentation.intensity',
    'trainer.augmentation.mixing',
    'trainer.augmentation.rana_mix',
    'trainer.augmentation.rand_augment',
    'trainer.augmentation.sheet',
    'trainer.training.evaluate',
    'trainer.network.plain',
    'trainer.export.export',
    'trainer.export.forward',
    'trainer.export.bioimage',
    'trainer.export.card',
    'trainer.export.onnx_file',
    'trainer.export.page',
    'trainer.export.saved_model',
    'trainer.network.xla_layers',
    'trainer.network.gapnet',
    'trainer.network.layers',
    'trainer.training.loop',
    'trainer.network.build',
    'trainer.network.summary',
    'trainer.training.recording.examples',
    'trainer.pretraining.arcface',
    'trainer.pretraining.contrastive',
    'trainer.pretraining.knn',
    'trainer.pretraining.loop',
    'trainer.pretraining.pool_reader',
    'trainer.pretraining.projection',
    'trainer.pretraining.step',
    'trainer.pretraining.views',
    'trainer.prediction.predict',
    'trainer.prediction.fold_network',
    'trainer.prediction.embed',
    'trainer.training.recording.recorder',
    'trainer.training.state',
    'trainer.training.preparation',
    'trainer.training.step',
    'trainer.training.optimization.average',
    'trainer.training.optimization.batch_loss',
    'trainer.training.optimization.cross_entropy',
    'trainer.training.optimization.gradient',
    'trainer.training.optimization.loss',
    'trainer.training.optimization.lovasz',
    'trainer.training.optimization.optimizer',
    'trainer.global_batch',
    'trainer.strategy',
    'trainer.memory',
    'trainer.tpu',
    'trainer.noise',
    'trainer.network.depth',
    'trainer.start.first_weights',
    'trainer.start.imagenet',
    'trainer.start.transfer',
    'trainer.training.calls',
    'trainer.training.epoch',
    'trainer.training.input_wait',
}


def _find_modules() -> set[str]:
  """Names of all modules that are no script."""
  found = set()
  for package in _PACKAGES:
    for path in (_ROOT / package).rglob('*.py'):
      found.add('.'.join(path.relative_to(_ROOT).with_suffix('').parts))
  return {
      name.removesuffix('.__init__')
      for name in found
      if '.commands.' not in name  # each defines flags, some of the same name
  }


def _loaded_by(modules: list[str]) -> set[str]:
  """Names in sys.modules of a new process that imported the modules."""
  code = (
      'import sys; sys.path.append("tools"); '  # as a script has it
      f'import {", ".join(modules)}; print(" ".join(sys.modules))')
  done = subprocess.run([sys.executable, '-c', code],
                        cwd=_ROOT,
                        check=True,
                        capture_output=True,
                        text=True)
  return set(done.stdout.split())


@pytest.mark.parametrize('modules', [
    sorted(_find_modules() - _WITH_TENSORFLOW),
    [f'tools.{path.stem}' for path in (_ROOT / 'tools').glob('*.py')],
    [
        f'benchmarks.{path.stem}'
        for path in (_ROOT / 'tools' / 'benchmarks').glob('[!_]*.py')
    ],
])
def test_tables_and_conversion_start_without_tensorflow(modules):
  assert not _loaded_by(modules) & {
      'tensorflow', 'keras'
  }, 'a module that imports TensorFlow belongs into _WITH_TENSORFLOW'


@pytest.mark.parametrize('command', [
    f'{package}.commands.{path.stem}' for package in _PACKAGES
    for path in (_ROOT / package / 'commands').glob('[!_]*.py')
])
def test_commands_start_without_pandas(command):
  assert not _loaded_by([command]) & {'tensorflow', 'keras', 'pandas'}


def test_the_list_of_those_with_tensorflow_has_no_others():
  assert not _WITH_TENSORFLOW - _find_modules()


def test_the_look_for_tensorflow_finds_it():
  assert 'tensorflow' in _loaded_by(['hpa_records.runtime.tensorflow'])


def test_no_module_is_a_drawer_for_the_rest():
  names = {
      path.stem
      for package in (*_PACKAGES, 'tools', 'tests')
      for path in (_ROOT / package).rglob('*.py')
  }
  assert not names & {'utils', 'util', 'common', 'helpers', 'misc'}


def test_no_folder_has_more_than_13_modules():
  folders = {
      path.parent
      for package in (*_PACKAGES, 'tools/benchmarks')
      for path in (_ROOT / package).rglob('*.py')
  } - {_ROOT / 'tools'}  # a script for each command
  counts = {folder: len([*folder.glob('[!_]*.py')]) for folder in folders}
  assert not {folder for folder in folders if counts[folder] > 13}


@pytest.mark.parametrize('path,line', [
    ('hpa_records/format/spec.py', 'from hpa_records.sampling import folds'),
    ('hpa_records/sampling/folds.py', 'from hpa_records.images import load'),
    ('hpa_records/sampling/folds.py', 'import trainer.config'),
    ('trainer/report/page.py', 'from trainer.training import loop'),
    ('trainer/config.py', 'from .training import loop'),
    ('trainer/setting.py', 'from hpa_records.conversion import convert'),
    ('hpa_records/commands/make_records.py', 'import trainer.config'),
    ('trainer/drawer.py', ''),
])
def test_an_import_against_the_order_is_found(tmp_path, path, line):
  for name in (*_PACKAGES, 'setup.cfg'):
    copy = shutil.copytree if (_ROOT / name).is_dir() else shutil.copy
    copy(_ROOT / name, tmp_path / name)
  with open(tmp_path / path, 'a', encoding='utf-8') as file:
    file.write(f'\n{line}\n')
  done = subprocess.run(
      [pathlib.Path(sys.executable).with_name('lint-imports'), '--no-cache'],
      cwd=tmp_path,
      check=False,
      capture_output=True,
      text=True,
      env=os.environ | {'PYTHONPATH': str(tmp_path)})
  assert done.returncode == 1 and 'BROKEN' in done.stdout, done.stdout


def _find_literals(path):
  """The constants of a module that are no docstrings."""
  tree = ast.parse(path.read_text(encoding='utf-8'))
  texts = {
      id(node.value)
      for node in ast.walk(tree)
      if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
  }
  return [
      node.value
      for node in ast.walk(tree)
      if isinstance(node, ast.Constant) and id(node) not in texts
  ]


def test_no_module_knows_the_classes_or_channels_of_a_dataset():
  """They are in descriptions, and synthetic cells have their patterns."""
  known = {28}
  for name in description.names():
    spec = description.load(name).spec(1)
    known |= {*spec.classes, *spec.channel_names}
  known -= {'Negative'}
  wings = [
      folder for package in ('hpa_records', 'trainer', 'tools')
      for folder in (_ROOT / package).iterdir()
      # survey guesses the meaning of words such as red.
      if folder.name not in ('datasets', 'synthetic', 'survey')
  ]
  modules = [
      path for wing in wings
      for path in (wing.rglob('*.py') if wing.is_dir() else [wing])
      if path.suffix == '.py'
  ]
  assert len(modules) > 200
  found = {(str(path.relative_to(_ROOT)), value)
           for path in modules
           for value in _find_literals(path)
           if isinstance(value, (int, str)) and not isinstance(value, bool) and
           value in known}
  assert not found
