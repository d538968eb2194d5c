"""Predicts the classes of new images by all models of a run.

  hpa-predict --workdir=run --images=test --output=submission.csv
  hpa-predict --workdir=run --records=test_records --output=new.csv
  hpa-predict --model=exported --images=test --output=new.csv
"""

# What takes long to import is imported after --help and flags are answered.
# pylint: disable=import-outside-toplevel

from absl import flags

from hpa_records.runtime import cli
from hpa_records.runtime import errors
from hpa_records.runtime import process
from hpa_records.storage import path_check
from trainer.model import model_flags
from trainer.prediction import image_input
from trainer.run import workdir as workdir_lib
from trainer.scoring import thresholds

_WORKDIR = flags.DEFINE_multi_string(
    'workdir', [], 'Folder of a run; with several the models of all are '
    'averaged.')
_MODEL = flags.DEFINE_string(
    'model', '', 'In place of --workdir: folder that hpa-export wrote.')
image_input.define_flags()
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
_WEIGHTS = model_flags.define_weights()
_BATCH_SIZE, _DISTRIBUTE, _TPU = model_flags.define_devices()
_FLAGS_BY_GROUP = {
    'Models': ('workdir', 'model', 'weights', 'tta', 'threshold'),
    'Input': image_input.FLAGS,
    'Output': ('output',),
    'Devices': model_flags.DEVICES,
}


def main() -> None:
  """Predicts the images or records of the flags, and writes the CSVs."""
  with process.ended_by_interrupt():
    from trainer.prediction import ensemble as ensemble_lib
  workdirs = _list_workdirs()
  read = image_input.read_flags(_DISTRIBUTE.value, _TPU.value)
  output = path_check.require_path(_OUTPUT.value, 'output')
  if _MODEL.value:
    ensemble = ensemble_lib.load_exported(workdirs[0])
  else:
    ensemble = ensemble_lib.load(workdirs)
  threshold = ensemble.choose_thresholds(_THRESHOLD.value, _WEIGHTS.value)
  samples = read.load_samples(ensemble)
  from trainer.prediction import predict
  from trainer import strategy as strategy_lib
  _check_output([output, *predict.name_tables(output)], read, workdirs)
  predict.prepare(output, ensemble.classes)
  with read.open(ensemble, samples) as inference_source:
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


def _check_output(written: list[str], read: image_input.Input,
                  workdirs: list[str]) -> None:
  """Refuses files to write that are read, or among what is read."""
  staged, inputs = read.list_paths()
  of = 'model' if _MODEL.value else 'workdir'
  model = _MODEL.value and workdirs[0]
  path_check.refuse_shared(
      [*staged, *(('output', each) for each in written)],
      [*inputs, *((of, each) for each in workdirs)],
      closed=[('records', read.records), ('model', model),
              *(('workdir', fold)
                for each in workdirs
                for fold in workdir_lib.list_fold_directories(each))])


def run() -> None:
  """Runs the command with its flags; see cli.run."""
  cli.run(main, text=__doc__, groups=_FLAGS_BY_GROUP)
