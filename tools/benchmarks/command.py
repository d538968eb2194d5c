"""Measures speed and results, beside other ways to do the same.

  python tools/benchmark.py convert --csv=train.csv --images=train
  python tools/benchmark.py balance --csv=train.csv
  python tools/benchmark.py input --records=records --images=train
  python tools/benchmark.py remote --records=records
  python tools/benchmark.py train --batch_size=16
  python tools/benchmark.py predict --batch_size=32
  python tools/benchmark.py device --peer=peer.py --output=device.json

Without --csv or --records, convert, input, remote, predict and device make
sample data first. Modules of benchmarks/ say what is measured; BUILD_NOTES.md
has numbers.
"""

import pathlib
import tempfile
from typing import Any, Callable

from absl import flags

from benchmarks import balance
from benchmarks.conversion import conversion_job
from benchmarks.conversion import convert
from benchmarks import input_job
from benchmarks import input_pipeline
from benchmarks import mlsmote
from benchmarks import report_file
from benchmarks import sample_source
from benchmarks import table
from benchmarks import train
from benchmarks.device import command as device
from benchmarks.prediction import measurement as prediction
from benchmarks.remote import command as remote
from benchmarks.remote import measurement as remote_measurement
from hpa_records.datasets import description
from hpa_records.inspection import figure
from hpa_records.inspection import gallery
from hpa_records.inspection import summary
from hpa_records.runtime import cli
from hpa_records.sampling import balance_flags
from hpa_records.sampling import folds
from hpa_records.storage import filesystem
from hpa_records.storage import folders
from hpa_records.storage import path_check
from trainer import config as config_lib

_PEERS = pathlib.Path(
    __file__).resolve().parents[2] / '.venv-peers' / 'bin' / 'python'

_CSV = flags.DEFINE_string(
    'csv', '', 'Table with the columns Id and Target; '
    'without it, sample data is made.')
_IMAGES = flags.DEFINE_string('images', '', 'Folder of <Id>_<channel>.png.')
_IMAGE_SIZE = flags.DEFINE_integer('image_size',
                                   299,
                                   'Height and width of the stored images.',
                                   lower_bound=1)
_LIMIT = flags.DEFINE_integer('limit',
                              0,
                              'Takes only the first rows of the CSV, or makes '
                              'so many samples; 0: all, or a default.',
                              lower_bound=0,
                              upper_bound=2**31)
_REPEATS = flags.DEFINE_integer('repeats',
                                3,
                                'How often everything is measured.',
                                lower_bound=1)
_WORKDIR = flags.DEFINE_string(
    'workdir', '', 'Folder for what is written while measuring and removed '
    'afterwards; by default where temporary files lie.')
_JSON = flags.DEFINE_string('json', '', 'File for all numbers.')
_NUM_FOLDS = flags.DEFINE_integer('num_folds', 5,
                                  'Of balance: number of folds.')
_SEEDS = flags.DEFINE_integer('seeds',
                              3,
                              'Of balance: how many cuts into folds.',
                              lower_bound=1)
_ROWS = flags.DEFINE_integer('rows',
                             1000000,
                             'Of balance: rows of a second timing; 0: none.',
                             lower_bound=0)
_FIGURES = flags.DEFINE_string(
    'figures', '', 'Folder for figures as PNG. Of balance: class counts before '
    'and after each policy, fold 0 of the first cut held out; of input: rates.')
_FEATURES = flags.DEFINE_string(
    'features', '', 'Of balance: NAME.npz of hpa-embed, for MLSMOTE.')
_RECORDS = flags.DEFINE_string(
    'records', '', 'Of remote, and of input: raw records of what is in '
    '--images; without it, sample data is made and converted.')
_PEERS_PYTHON = flags.DEFINE_string(
    'peers_python',
    str(_PEERS) if _PEERS.exists() else '',
    'Interpreter of make env-peers, for the peers of input and device.')
_BATCH_SIZE = flags.DEFINE_integer('batch_size',
                                   80,
                                   'Of input, remote, train and predict.',
                                   lower_bound=1)
_SECONDS = flags.DEFINE_float(
    'seconds',
    4.0,
    'Of input, remote, train, predict, device: to time each way.',
    lower_bound=0.1)
# absl takes nan for any range.
flags.register_validator('seconds', lambda value: value <= 86400,
                         'Expected at most 86400, a day.')
_ONLY = flags.DEFINE_list(
    'only', [], 'Of input: ways, as in the JSON; of device: steps; or all.')
_TABLE = flags.DEFINE_string('table', '',
                             'Of input: file for the table as CSV.')
_PEER = flags.DEFINE_string(
    'peer', '', 'Of train and device: a program to compare with, which prints '
    'its rates; see tools/benchmarks/train.py.')
_PRECISION = flags.DEFINE_enum('precision', 'float32', config_lib.PRECISIONS,
                               'Of train.')
_XLA = flags.DEFINE_enum('xla', 'auto', config_lib.XLA, 'Of train.')
_STEPS = flags.DEFINE_integer('steps',
                              4,
                              'Of train: in one call; a GPU wants 100.',
                              lower_bound=1)
_OVERHEAD = flags.DEFINE_bool('overhead', False,
                              'Of train: a network of one layer, at 16 px.')
_FOLDS = flags.DEFINE_integer('folds',
                              1,
                              'Of predict: networks that are averaged.',
                              lower_bound=1,
                              upper_bound=5)
_TTA = flags.DEFINE_enum('tta', 'none', ('dihedral', 'none'),
                         'Of predict: symmetries of the square.')
balance_flags.define_settings()

_NUM_MADE = 300
_NUM_READ = 2500  # samples that input makes


def _path(flag: flags.FlagHolder[str]) -> str:
  return flag.value and path_check.require_path(flag.value, flag.name)


def _check_paths() -> None:
  """Refuses paths that are both written and read, or written twice."""
  records = [(_RECORDS.name, _path(_RECORDS))]
  path_check.refuse_shared(
      [(each.name, _path(each)) for each in (_JSON, _TABLE, _FIGURES, _WORKDIR)
      ],
      [(each.name, _path(each)) for each in (_CSV, _IMAGES, _PEER, _FEATURES)] +
      records,
      closed=records)
  columns = ','.join(table.INPUT_COLUMNS)
  # Before minutes of measuring.
  for each, mark in ((_JSON, report_file.MARK), (_TABLE, columns)):
    if each.value:
      report_file.prepare(path_check.require_local(each.value, each.name),
                          each.name, mark)


def _make_scratch() -> tempfile.TemporaryDirectory:
  """Returns a folder for temporary files, removed at the end."""
  _check_paths()
  folder = _WORKDIR.value and path_check.require_local(_WORKDIR.value,
                                                       'workdir')
  with path_check.translate_write_errors(folder or tempfile.gettempdir(),
                                         'workdir'):
    if folder:
      folders.make(folder)
    return tempfile.TemporaryDirectory(dir=folder or None, prefix='benchmark-')


def main_convert() -> None:
  """Measures the converter beside other ways."""
  with _make_scratch() as scratch:
    csv, images = _source(scratch, _NUM_MADE)
    job = conversion_job.Job(csv=csv,
                             images=images,
                             samples=convert.read_samples(
                                 csv, images, _LIMIT.value),
                             image_size=_IMAGE_SIZE.value,
                             scratch=scratch,
                             repeats=_REPEATS.value)
    report = convert.measure(job)
  _show(report, table.format_convert)
  print(f'\n{table.closing_line(report)}')


def main_balance() -> None:
  """Measures the policies of balance."""
  _check_paths()
  chosen = balance_flags.read_settings('none', {})
  ids, labels = balance.read_labels(path_check.require_path(_CSV.value, 'csv'),
                                    _LIMIT.value)
  report = balance.measure(
      balance.Job(ids=ids,
                  labels=labels,
                  num_folds=_NUM_FOLDS.value,
                  num_seeds=_SEEDS.value,
                  chosen=chosen,
                  num_rows=_ROWS.value,
                  repeats=_REPEATS.value))
  features = _path(_FEATURES)
  if features:
    report['mlsmote'] = mlsmote.measure(features)
  _show(report, table.format_balance)
  if _FIGURES.value:
    output = path_check.require_path(_FIGURES.value, 'figures')
    cut = folds.assign(ids, labels, _NUM_FOLDS.value, 0)
    classes = [each.name for each in description.default().classes]
    _, totals = summary.compare(ids, labels, cut, 0, chosen, 0, classes)
    paths = gallery.save(gallery.draw_policies(totals, 0, classes), output)
    print('\n'.join(['', *paths]))
  print(f'\n{table.closing_line_balance(report)}')


def main_input() -> None:
  """Measures the readers beside other ways."""
  ways = input_pipeline.choose(_ONLY.value)
  with _make_scratch() as scratch:
    if _RECORDS.value:
      records = path_check.require_local(_RECORDS.value, 'records')
      images = path_check.require_local(_IMAGES.value, 'images')
    else:
      csv, images = _source(scratch, _NUM_READ)
      records = sample_source.make_records(csv, images, scratch,
                                           _IMAGE_SIZE.value)
    report = input_pipeline.measure(
        input_job.Job(records=records,
                      images=images,
                      scratch=scratch,
                      peers_python=_path(_PEERS_PYTHON),
                      batch=_BATCH_SIZE.value,
                      seconds=_SECONDS.value,
                      repeats=_REPEATS.value), ways)
  _show(report, table.format_input)
  if _TABLE.value:
    path = path_check.require_local(_TABLE.value, 'table')
    with path_check.translate_write_errors(path, 'table'):
      filesystem.write_atomically(
          path,
          table.tabulate_input(report).to_csv().encode())
  if _FIGURES.value:
    output = path_check.require_path(_FIGURES.value, 'figures')
    rates = {
        each['title']: each['rates']
        for each in report['ways'].values()
        if each.get('rates')
    }
    drawn = figure.draw_rates(rates, 'images a second', 'Reading batches')
    print('\n'.join(['', *gallery.save({'input': drawn}, output)]))
  print(f'\n{table.closing_line_input(report)}')


def main_remote() -> None:
  """Measures reading from an address."""
  with _make_scratch() as scratch:
    records = _RECORDS.value and path_check.require_local(
        _RECORDS.value, 'records')
    if not records:
      records = sample_source.make_records(*_source(scratch, _NUM_READ),
                                           scratch, _IMAGE_SIZE.value)
    report = remote_measurement.measure(
        remote.make_job(records, scratch, _BATCH_SIZE.value, _SECONDS.value,
                        _REPEATS.value))
  _show(report, remote_measurement.form)


def main_train() -> None:
  """Measures the training step beside other ways."""
  with _make_scratch() as scratch:
    job = train.Job(scratch=scratch,
                    peer=train.require_peer(_PEER.value),
                    batch=_BATCH_SIZE.value,
                    size=_IMAGE_SIZE.value,
                    precision=_PRECISION.value,
                    xla=_XLA.value,
                    steps=_STEPS.value,
                    seconds=_SECONDS.value,
                    repeats=_REPEATS.value)
    measure = train.measure_overhead if _OVERHEAD.value else train.measure
    report = measure(job)
  _show(report,
        table.format_overhead if _OVERHEAD.value else table.format_train)


def main_predict() -> None:
  """Measures prediction beside other programs that run the networks."""
  with _make_scratch() as scratch:
    csv, images = _source(scratch, _NUM_MADE)
    report = prediction.measure(
        prediction.Job(images=images,
                       records=sample_source.make_records(
                           csv, images, scratch, _IMAGE_SIZE.value),
                       scratch=scratch,
                       size=_IMAGE_SIZE.value,
                       folds=_FOLDS.value,
                       tta=_TTA.value,
                       batch=_BATCH_SIZE.value,
                       seconds=_SECONDS.value,
                       repeats=_REPEATS.value))
  _show(report, prediction.form)


def main_device() -> None:
  """Measures everything that needs a GPU, in one call."""
  with _make_scratch() as scratch:
    device.main(scratch, train.require_peer(_PEER.value))


def _show(report: dict[str, Any], form: Callable[[dict[str, Any]],
                                                 str]) -> None:
  """Prints the machine and the tables, and writes all numbers if asked to."""
  machine = report_file.describe_machine()
  print(machine)
  print(form(report))
  if _JSON.value:
    report_file.write(path_check.require_local(_JSON.value, 'json'), 'json', {
        **report, 'machine': machine
    })


def _source(scratch: str, num_made: int) -> tuple[str, str]:
  """Returns the paths of CSV and images, given by the user or made here."""
  return sample_source.find_images(_CSV.value, _IMAGES.value, _LIMIT.value,
                                   scratch, num_made)


def run() -> None:
  """Runs the subcommand with its flags; see cli.run."""
  cli.run(text=__doc__,
          subcommands={
              'convert': main_convert,
              'balance': main_balance,
              'input': main_input,
              'remote': main_remote,
              'train': main_train,
              'predict': main_predict,
              'device': main_device
          })
