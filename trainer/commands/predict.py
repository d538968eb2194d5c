"""Predicts the classes of new images by all models of a run.

  hpa-predict --workdir=run --images=test --output=submission.csv
  hpa-predict --workdir=run --records=test_records --output=new.csv
  hpa-predict --model=exported --images=test --output=new.csv
"""

# What takes long to import is imported after --help and flags are answered.
# pylint: disable=import-outside-toplevel

from absl import flags

from hpa_records.runtime import cli
from hpa_records.runtime import printable
from hpa_records.storage import path_check
from trainer.model import model_flags
from trainer.model import views
from trainer.prediction import image_input
from trainer.prediction import model_input
from trainer.scoring import thresholds

_WORKDIR = flags.DEFINE_multi_string(
    'workdir', [], 'Folder of a run; with several the models of all are '
    'averaged.')
_MODEL = model_input.define_model()
image_input.define_flags()
_OUTPUT = flags.DEFINE_string(
    'output', '', 'File NAME.csv to write, with Id and Predicted; the '
    'probabilities are in NAME_predictions.csv beside it.')
_TTA = flags.DEFINE_enum(
    'tta', None, views.TTA,
    f'{views.HELP} By default dihedral, of --model as it was exported.')
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
  models = model_input.read_flags(_WORKDIR.value, _MODEL.value)
  read = image_input.read_flags(_DISTRIBUTE.value, _TPU.value)
  output = path_check.require_path(_OUTPUT.value, 'output')
  ensemble = models.load()
  threshold = ensemble.choose_thresholds(_THRESHOLD.value, _WEIGHTS.value)
  samples = read.load_samples(ensemble)
  from trainer.prediction import predict
  from trainer import strategy as strategy_lib
  models.check_output(
      [('output', each) for each in (output, *predict.name_tables(output))],
      read)
  predict.prepare(output, ensemble.classes)
  with read.open(ensemble, samples) as inference_source:
    strategy = strategy_lib.make(_DISTRIBUTE.value, _TPU.value, alone=True)
    predictor = predict.Models(ensemble, strategy, _WEIGHTS.value)
    found = predictor.predict(inference_source, _TTA.value or ensemble.tta,
                              _BATCH_SIZE.value)
  written = found.save(output, threshold)
  print(f'{printable.count(len(found.ids), "image")}, {found.num_skipped} '
        f'skipped, mean of {printable.count(ensemble.num_models, "model")}: '
        f'{", ".join(written)}')
  if not inference_source.is_ordered:
    print('The rows are in the order of the records, which is not that of a '
          'CSV; pass --csv for its rows in its order.')
  trained = ensemble.count_trained(found.ids)
  if trained:
    print(f'{trained} of these {len(found.ids)} images, by their ids, were '
          'trained on; use the out_of_fold files of the report for their '
          'predictions.')


def run() -> None:
  """Runs the command with its flags; see cli.run."""
  cli.run(main, text=__doc__, groups=_FLAGS_BY_GROUP)
