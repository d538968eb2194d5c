"""The import rule: tools -> trainer -> hpa_records, leaf to root inside each.

The ordered lists here are the rule. A module that is in none of them fails, so
a new one finds its place before it finds its users.
"""

import ast
import pathlib
import subprocess
import sys

import pytest

_ROOT = pathlib.Path(__file__).parent.parent

# A module may import those before it.
HPA_RECORDS = (
    'plain_text schema json_text os_error file_lock process processor worker '
    'terminal flag_file command progress backend address path_check '
    'port_check litter filesystem fault file_kind file_pattern image_folder '
    'tiff_directory tiff image_header tint image_file image record shard '
    'manifest_form parquet_page index_table manifest staging_source staging '
    'tfds_metadata csv_table sample_files doubt sample_table folds label_set '
    'exact_balance balance balance_flags shard_plan layout input_digest '
    'shard_conversion output_lock index_check output_folder checked_table '
    'runner completion conversion_input known_fault convert plan verify '
    'summary figure gallery dataset mapped_file payload shard_fault '
    'dataset_call streaming data_service indexed reader source sample_cell '
    'sample_pattern sample_data').split()
TRAINER_TABLES = (
    'config ranking scorer metrics npz_file archive checkpoint_file '
    'network_block fold_form workdir fold_lock out_of_fold finished_fold '
    'threshold score_table uncertainty result ensemble curve run_style '
    'class_panel score_figure network_figure tile report_file '
    'report_section report_comparison report_gallery report interruption'
).split()
TRAINER = TRAINER_TABLES + (
    'dihedral layers fast_layers gapnet application network network_summary '
    'activation_map loss schedule cluster strategy state device_cache '
    'step checkpoint predict board evaluate notable recorder loop '
    'cross_validation main').split()
TOOLS = (
    'check_python make_sample_data make_records verify_records '
    'inspect_records report predict run_paper serve_input benchmark_process '
    'benchmark_peer benchmark_step benchmark_check benchmark_balance '
    'benchmark_convert benchmark_reader benchmark_input '
    'benchmark_trainer benchmark_train benchmark_table benchmark').split()
_ORDERS = {'hpa_records': HPA_RECORDS, 'trainer': TRAINER, 'tools': TOOLS}

# What trainer may use of hpa_records.
OPEN_TO_TRAINER = {
    'plain_text', 'schema', 'json_text', 'os_error', 'file_lock', 'process',
    'command', 'processor', 'path_check', 'port_check', 'progress', 'backend',
    'address', 'filesystem', 'fault', 'image', 'manifest', 'staging',
    'sample_table', 'balance', 'balance_flags', 'plan', 'dataset', 'reader',
    'source', 'summary', 'gallery', 'figure'
}
WITH_TENSORFLOW = {
    'hpa_records': {
        'backend', 'dataset_call', 'streaming', 'data_service', 'indexed',
        'reader', 'source'
    },
    'trainer': set(TRAINER) - {*TRAINER_TABLES, 'main'},
}


def imports(path: pathlib.Path) -> set[tuple[str, str]]:
  """Returns (package, module) of every import of the project's own code."""
  found = set()
  # A tool is a script: Python looks beside it, so it names others bare.
  bare = {other.stem for other in path.parent.glob('*.py')
         } if path.parent.name == 'tools' else set()
  for node in ast.walk(ast.parse(path.read_text())):
    if isinstance(node, ast.ImportFrom):
      # A relative import means the file's own package: all are one level deep.
      base = path.parent.name if node.level else ''
      package, _, module = f'{base}.{node.module or ""}'.strip('.').partition(
          '.')
      names = [module] if module else [alias.name for alias in node.names]
    elif isinstance(node, ast.Import):
      package, names = '', [alias.name for alias in node.names]
    else:
      continue
    for name in names:
      head, _, tail = f'{package}.{name}'.lstrip('.').partition('.')
      if head in ('hpa_records', 'trainer', 'tools', 'tests'):
        found.add((head, tail))
      elif head in bare:
        found.add(('tools', head))
  return found


def violations(root: pathlib.Path) -> list[str]:
  """Returns each import that breaks the rule, and each module without place."""
  found = []
  for package, order in _ORDERS.items():
    names = {
        '.'.join(path.relative_to(root / package).with_suffix('').parts)
        for path in (root / package).rglob('*.py')
    } - {'__init__'}
    found += [
        f'{package}.{name} is not in the list' for name in names - set(order)
    ]
    found += [f'{package}.{name} is not there' for name in set(order) - names]
    for name in names & set(order):
      for other, module in imports(root / package / f'{name}.py'):
        if not _is_allowed(package, name, other, module):
          found.append(f'{package}.{name} imports {other}.{module}')
  return found


def _is_allowed(package: str, name: str, other: str, module: str) -> bool:
  if package == 'tools' and other in ('trainer', 'hpa_records'):
    return True
  order = _ORDERS[package]
  if other == package:
    return module in order[:order.index(name)]
  return package == 'trainer' and other == 'hpa_records' and (
      module in OPEN_TO_TRAINER)


def test_tree_keeps_the_import_rule():
  assert not violations(_ROOT)


@pytest.mark.parametrize('path,line,found', [
    ('hpa_records/schema.py', 'from hpa_records import plan',
     'hpa_records.schema imports hpa_records.plan'),
    ('hpa_records/plan.py', 'import trainer.loop',
     'hpa_records.plan imports trainer.loop'),
    ('trainer/config.py', 'from trainer.loop import train',
     'trainer.config imports trainer.loop'),
    ('trainer/loop.py', 'from hpa_records import convert',
     'trainer.loop imports hpa_records.convert'),
    ('hpa_records/schema.py', 'from . import plan',
     'hpa_records.schema imports hpa_records.plan'),
    ('trainer/config.py', 'from .loop import train',
     'trainer.config imports trainer.loop'),
    ('tools/benchmark_table.py', 'import benchmark',
     'tools.benchmark_table imports tools.benchmark'),
    ('tools/make_records.py', 'from benchmark import main_convert',
     'tools.make_records imports tools.benchmark'),
    ('trainer/utils.py', '', 'trainer.utils is not in the list'),
    ('trainer/sub/deep.py', '', 'trainer.sub.deep is not in the list'),
])
def test_a_planted_import_is_found(tmp_path, path, line, found):
  for package in ('hpa_records', 'trainer', 'tools'):
    (tmp_path / package).mkdir()
    for source in (_ROOT / package).glob('*.py'):
      (tmp_path / package / source.name).write_text(source.read_text())
  (tmp_path / path).parent.mkdir(exist_ok=True)
  with open(tmp_path / path, 'a', encoding='utf-8') as file:
    file.write(f'\n{line}\n')
  assert violations(tmp_path) == [found]


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


def _tensorflow_free(package: str, order: list[str]) -> list[str]:
  return [
      f'{package}.{name}' for name in order
      if name not in WITH_TENSORFLOW[package] | {'main'}
  ]


@pytest.mark.parametrize(
    'modules',
    [
        _tensorflow_free('hpa_records', HPA_RECORDS) +
        _tensorflow_free('trainer', TRAINER),
        # Each defines flags, some of the same name: a process each.
        *([f'tools.{name}'] for name in TOOLS),
        ['trainer.main']
    ])
def test_tables_and_conversion_start_without_tensorflow(modules):
  assert not _loaded_by(modules) & {'tensorflow', 'keras'}


def test_the_look_for_tensorflow_finds_it():
  assert 'tensorflow' in _loaded_by(['hpa_records.backend'])


def test_no_module_is_a_drawer_for_the_rest():
  names = {path.stem for path in _ROOT.glob('*/*.py')}
  assert not names & {'utils', 'util', 'common', 'helpers', 'misc'}
