"""Predicts the classes of new images by all models of a run.

  hpa-predict --workdir=run --images=test --output=submission.csv
  hpa-predict --workdir=run --records=test_records --output=new.csv
  hpa-predict --model=exported --images=test --output=new.csv
"""

# What takes long to import is imported after --help and flags are answered.
# pylint: disable=import-outside-toplevel

import contextlib
from typing import Any

from absl import flags

from hpa_records.runtime import cli
from hpa_records.ingest import doubt
from hpa_records.runtime import errors
from hpa_records.runtime import process
from hpa_records.storage import path_check
from trainer import config
from trainer import remote_tpu
from trainer.run import workdir as workdir_lib
from trainer.scoring import thresholds

_WORKDIR = flags.DEFINE_multi_string(
    'workdir', [], 'Folder of a run; with several the models of all are '
    'averaged.')
_MODEL = flags.DEFINE_string(
    'model', '', 'In place of --workdir: folder that hpa-export wrote.')
_RECORDS = flags.DEFINE_string(
    'records', '', 'Folder that hpa-make-records wrote, with --unlabelled or '
    'without, or its address.')
_IMAGES = flags.DEFINE_string(
    'images', '', 'In place of --records: folder of the image files, as of '
    'hpa-make-records.')
_CSV = flags.DEFINE_string(
    'csv', '', 'Table with the column Id: samples to predict, in this order; '
    'by default all, unlabelled records in the order of their CSV.')
_PATTERN = flags.DEFINE_string(
    'pattern', '', 'Names of the files in --images, with {id} and {channel}; '
    'by default those of the images that were trained on.')
_WHITE_LEVEL = flags.DEFINE_integer(
    'white_level',
    None, 'Intensity in 16-bit files that becomes 255; by default that of the '
    'images that were trained on.',
    lower_bound=0,
    upper_bound=65535)
_ON_ERROR = flags.DEFINE_enum(
    'on_error', 'stop', ('stop', 'skip'),
    'stop refuses --images with an issue; skip leaves invalid samples out.')
_ON_DOUBT = flags.DEFINE_enum(
    'on_doubt', 'count', doubt.ON_DOUBT,
    'Samples of --images that are not square, or with two channels of the same '
    'bytes: count prints how many, refuse treats them as invalid.')
_OUTPUT = flags.DEFINE_string(
    'output', '', 'File NAME.csv to write, with Id and Predicted; the '
    'probabilities are in NAME_predictions.csv beside it.')
_TTA = flags.DEFINE_enum(
    'tta', None, ('dihedral', 'none'),
    'dihedral: the mean over the eight symmetries of an image; none: the image '
    'as it is. By default dihedral, of --model as it was exported.')
_THRESHOLD = flags.DEFINE_string(
    'threshold', '',
    'Classes with a higher probability are predicted; or a rule that '
    f'chooses one for each class on the out-of-fold predictions: '
    f'{", ".join(thresholds.RULES)}. By default that of the training.')
_WEIGHTS = flags.DEFINE_enum(
    'weights', 'last', ('last', 'best'),
    'Weights of each model: after the last epoch, or after the best.')
_BATCH_SIZE = flags.DEFINE_integer('batch_size',
                                   32,
                                   'Global batch.',
                                   lower_bound=1)
_DISTRIBUTE = flags.DEFINE_enum(
    'distribute', 'auto',
    [each for each in config.DISTRIBUTIONS if each != 'multi_worker'],
    'auto: the first available of a TPU, all GPUs (mirrored), a GPU, the CPU.')
_TPU = flags.DEFINE_string(
    'tpu', 'local',
    'TPU of --distribute=tpu, name or address; local: of this machine.')
_FLAGS_BY_GROUP = {
    'Models': ('workdir', 'model', 'weights', 'tta', 'threshold'),
    'Input': ('records', 'images', 'csv', 'pattern', 'white_level', 'on_error',
              'on_doubt'),
    'Output': ('output',),
    'Devices': ('batch_size', 'distribute', 'tpu'),
}
_OF_IMAGES = ('pattern', 'white_level', 'on_error', 'on_doubt')


def main() -> None:
  """Predicts the images or records of the flags, and writes the CSVs."""
  with process.ended_by_interrupt():
    from trainer.prediction import ensemble as ensemble_lib
  workdirs = _list_workdirs()
  _check_input()
  output = path_check.require_path(_OUTPUT.value, 'output')
  if _MODEL.value:
    ensemble = ensemble_lib.load_exported(workdirs[0])
  else:
    ensemble = ensemble_lib.load(workdirs)
  threshold = ensemble.choose_thresholds(_THRESHOLD.value, _WEIGHTS.value)
  samples = _load_samples(ensemble) if _IMAGES.value else None
  from trainer.prediction import predict
  from trainer import strategy as strategy_lib
  _check_output([output, *predict.name_tables(output)], workdirs)
  predict.prepare(output, ensemble.classes)
  with _open_source(ensemble, samples) as inference_source:
    strategy = strategy_lib.make(_DISTRIBUTE.value, _TPU.value, alone=True)
    models = predict.Models(ensemble, strategy, _WEIGHTS.value)
    found = models.predict(inference_source, _TTA.value or ensemble.tta,
                           _BATCH_SIZE.value)
  written = found.save(output, threshold)
  print(f'{len(found.ids)} images, {found.num_skipped} skipped, mean of '
        f'{ensemble.num_models} models: {", ".join(written)}')
  if not inference_source.is_ordered:
    print('The rows are in the order of the records, which is not that of a '
          'CSV; pass --csv for its rows in its order.')
  trained = ensemble.count_trained(found.ids)
  if trained:
    print(f'{trained} of these {len(found.ids)} images, by their ids, were '
          'trained on; use the out_of_fold files of the report for their '
          'predictions.')


def _list_workdirs() -> list[str]:
  """Returns the folders of the models: those of runs, or the exported one.

  Raises:
    errors.DataError: there are both or none; or weights of --model are chosen.
  """
  if not _MODEL.value:
    return [
        path_check.require_local(each, 'workdir')
        for each in _WORKDIR.value or ['']
    ]
  for name in ('workdir', 'weights'):
    if flags.FLAGS[name].present:
      raise errors.DataError(
          f'Expected no --{name} with --model, which has its own, received '
          f'both; leave one out.')
  return [path_check.require_local(_MODEL.value, 'model')]


def _check_input() -> None:
  """Refuses flags that do not go together."""
  if bool(_RECORDS.value) == bool(_IMAGES.value):
    received = 'both' if _RECORDS.value else 'none'
    raise errors.DataError('Expected --records=PATH or --images=PATH, received '
                           f'{received}; pass one.')
  for name in _OF_IMAGES:
    if _RECORDS.value and flags.FLAGS[name].present:
      raise errors.DataError(f'Expected --{name} with --images alone, received '
                             'it with --records; leave it out.')
  remote_tpu.check_input(_DISTRIBUTE.value,
                         _TPU.value,
                         records=_RECORDS.value,
                         images=_IMAGES.value)


def _check_output(written: list[str], workdirs: list[str]) -> None:
  """Refuses files to write that are read, or among what is read."""
  records, of = _path(_RECORDS), 'model' if _MODEL.value else 'workdir'
  path_check.refuse_shared(
      [('output', each) for each in written],
      [('records', records), ('images', _path(_IMAGES)),
       ('csv', _path(_CSV)), *((of, each) for each in workdirs)],
      closed=[('records', records), ('model', _path(_MODEL)),
              *(('workdir', fold)
                for each in workdirs
                for fold in workdir_lib.list_fold_directories(each))])


def _path(flag: flags.FlagHolder[str]) -> str:
  return flag.value and path_check.require_path(flag.value, flag.name)


def _load_samples(ensemble: Any) -> Any:
  """Returns the sample table of --images, checked but for their pixels."""
  from hpa_records.ingest import input_tables
  from hpa_records.ingest import sample_table
  return sample_table.load(
      _path(_CSV), _path(_IMAGES),
      input_tables.How(_describe(ensemble),
                       unlabelled=True,
                       on_error=_ON_ERROR.value,
                       on_doubt=_ON_DOUBT.value))


def _describe(ensemble: Any) -> Any:
  """Returns the description of the new images."""
  from hpa_records.datasets import description
  return description.change(
      description.of_settings(ensemble.settings, ensemble.classes),
      _PATTERN.value, _WHITE_LEVEL.value or 0)


def _open_source(ensemble: Any, samples: Any):
  """Returns what is scored, records or images, a context manager."""
  from hpa_records.reading import inference_source
  if samples is None:
    directory = _path(_RECORDS)
    found = inference_source.Records(
        directory, _path(_CSV),
        remote_tpu.is_elsewhere(_DISTRIBUTE.value, _TPU.value))
    ensemble.check_records(found.spec, found.settings, directory, found.levels)
    return contextlib.nullcontext(found)
  return inference_source.Files(samples,
                                _path(_IMAGES),
                                ensemble.load_how(_describe(ensemble)),
                                on_error=_ON_ERROR.value)


def run() -> None:
  """Runs the command with its flags; see cli.run."""
  cli.run(main, text=__doc__, groups=_FLAGS_BY_GROUP)
