"""Trains PReLU and SELU as the paper does, or other recipes.

  hpa-run-paper --records=records --workdir=paper --seeds=0,1,2
  hpa-run-paper --records=records --workdir=mine --recipes=prelu.flags,my.flags

Trains one after the other, into WORKDIR/prelu and WORKDIR/selu (with seeds
WORKDIR/prelu-seed0 ...), with --balance=hybrid --augment=paper unless a flag
says otherwise. Flags of hpa-train apply to both. Prints Table 2 beside the
paper's, writes WORKDIR/report.html, and continues an interrupted run.
"""

from collections.abc import Iterator, Sequence
import dataclasses
import os
import sys

from absl import flags

from hpa_records.runtime import cli
from hpa_records.runtime import errors
from hpa_records.runtime import flag_file
from hpa_records.runtime import printable
from hpa_records.runtime import process as process_lib
from trainer import config
from trainer import setting
from trainer import training_process
from trainer.commands import train

_ACTIVATIONS = ('prelu', 'selu')
# Of the paper, and not the defaults; those are Table 1's.
_PAPER = ('--balance=hybrid', '--augment=paper')

_RECIPES = flags.DEFINE_list('recipes', [],
                             'Flag files to train in place of PReLU and SELU.')
_SEEDS = flags.DEFINE_list('seeds', [],
                           'Seeds to train with, one after another: 0,1,2.')
_OWN = ('recipes', 'seeds')


@dataclasses.dataclass(frozen=True)
class _Training:
  """A run of hpa-train.

  Attributes:
    recipe: its name.
    folder: of the run.
    arguments: flags of hpa-train.
  """
  recipe: str
  folder: str
  arguments: Sequence[str]


def main() -> None:
  """Trains all recipes with all seeds, and writes their report."""
  records, directory = training_process.find_places()
  trainings = list(_plan(records, directory))
  with process_lib.ended_by_interrupt():
    from trainer.report import page  # pylint: disable=import-outside-toplevel
  page.prepare(directory, 'workdir')  # before hours of training
  for each in trainings:
    code = training_process.run(each.arguments)
    if code:
      sys.exit(code)
  _report(trainings, directory)


def _plan(records: str, directory: str) -> Iterator[_Training]:
  """Yields all trainings, those of the first seed first.

  A flag on the command line replaces a recipe's, and a recipe's that of a flag
  file on the command line, so that gpu.flags fits every recipe.

  Args:
    records: of the command line.
    directory: for the folders of the runs.

  Raises:
    errors.DataError: a flag or file is wrong.
  """
  files, given = flag_file.split(sys.argv[1:])
  _refuse_ruled(given)
  general = flag_file.expand(files)
  if not _RECIPES.value:
    general = [*_PAPER, *general]
  recipes = _read_recipes()
  for seed in _read_seeds():
    for name, recipe in recipes.items():
      folder = os.path.join(directory,
                            name if seed is None else f'{name}-seed{seed}')
      words = [
          *general, *recipe, *given, f'--records={records}',
          f'--workdir={folder}', f'--fold={train.ALL}',
          *([] if seed is None else [f'--seed={seed}'])
      ]
      yield _Training(name, folder, training_process.list_arguments(words))


def _refuse_ruled(given: Sequence[str]) -> None:
  """Raises DataError for flags of the command line that the experiment sets."""
  ruled = ['fold']
  if not _RECIPES.value:
    ruled.append('activation')
  if _SEEDS.value:
    ruled.append('seed')
  values = training_process.parse(given)
  for name in ruled:
    if values[name].present:
      raise errors.DataError(
          f'Expected no --{name}, which the experiment sets, received '
          f'{values[name].value}; leave it out, or use hpa-train.')


def _read_recipes() -> dict[str, list[str]]:
  """Returns the flags of each recipe by its name."""
  if not _RECIPES.value:
    return {each: [f'--activation={each}'] for each in _ACTIVATIONS}
  recipes = {}
  for path in _RECIPES.value:
    name = os.path.splitext(os.path.basename(path))[0]
    if not name or name in recipes:
      raise errors.DataError(
          'Expected --recipes as files of different names, received '
          f'{printable.quote(",".join(_RECIPES.value))}.')
    recipes[name] = flag_file.expand([f'--flagfile={path}'])
    values = training_process.parse(recipes[name], f' in {path}')
    for own in _OWN:
      if values[own].present:
        raise errors.DataError(f'Expected no --{own} in the recipe {path}; '
                               'pass it on the command line.')
  return recipes


def _read_seeds() -> Sequence[int | None]:
  """Returns the seeds; None is the one of a recipe."""
  texts = _SEEDS.value
  if not texts:
    return [None]
  if not all(each.isdecimal() and len(each) < 20 for each in texts):
    raise errors.DataError('Expected --seeds as whole numbers, such as 0,1,2, '
                           f'received {printable.quote(",".join(texts))}.')
  seeds = [int(each) for each in texts]
  if len(set(seeds)) < len(seeds):
    raise errors.DataError('Expected different --seeds, received '
                           f'{printable.quote(",".join(texts))}.')
  return seeds


def _report(trainings: Sequence[_Training], directory: str) -> None:
  """Prints the metrics of each recipe, and writes the page of all."""
  # pylint: disable=import-outside-toplevel
  from trainer.report import page
  from trainer.report import tables
  from trainer.run import finished_run
  folders: dict[str, list[str]] = {}
  for each in trainings:
    folders.setdefault(each.recipe, []).append(each.folder)
  for name, of_recipe in folders.items():
    runs = [finished_run.load(each) for each in of_recipe]
    print(f'\n{name}\n{tables.format_metrics(runs)}')
  print(page.write(sum(folders.values(), []), directory))


def run() -> None:
  """Runs the command with its flags; see cli.run."""
  groups = setting.list_groups(config.Config)
  groups = {
      heading: [name for name in names if name != 'fold']
      for heading, names in groups.items()
  }
  groups['Input and output'] += _OWN
  cli.run(main, text=__doc__, groups=groups)
