"""Writes features of images, by models of a run or export.

  hpa-embed --workdir=run --records=records --output=run/features.parquet
  hpa-embed --workdir=run --images=new --output=new.h5ad --figures=figures
  hpa-embed --model=exported --images=new --output=new.npz
"""

# What takes long to import is imported after --help and flags are answered.
# pylint: disable=import-outside-toplevel

import os
import sys
from typing import Any

from absl import flags

from hpa_records.runtime import cli
from hpa_records.runtime import errors
from hpa_records.runtime import process
from hpa_records.storage import filesystem
from hpa_records.storage import path_check
from trainer.model import model_flags
from trainer.prediction import image_input
from trainer.prediction import model_input
from trainer.start import description as start_description

_WORKDIR = flags.DEFINE_string('workdir', '', 'Folder of a run.')
_MODEL = model_input.define_model()
_WEIGHTS = model_flags.define_weights()
_MODEL_FOLD = flags.DEFINE_integer(
    'model_fold',
    None,
    'Fold whose model embeds images that no finished fold held out; by default '
    'the first finished.',
    lower_bound=0)
image_input.define_flags()
_OUTPUT = flags.DEFINE_string(
    'output', '',
    'File to write: NAME.parquet, NAME.npz or NAME.h5ad (AnnData).')
_FIGURES = flags.DEFINE_string(
    'figures', '', 'Folder for a map of the features and their scores; '
    'NAME_map.npz beside --output has them for the report.')
_MLSMOTE = flags.DEFINE_bool(
    'mlsmote', False, 'With --figures: also scores a probe fitted on features '
    'with synthetic ones of rare classes.')
_BATCH_SIZE, _DISTRIBUTE, _TPU = model_flags.define_devices()
_FLAGS_BY_GROUP = {
    'Models': ('workdir', 'model', 'weights', 'model_fold'),
    'Input': image_input.FLAGS,
    'Output': ('output', 'figures', 'mlsmote'),
    'Devices': model_flags.DEVICES,
}
_FIGURE_NAMES = ('features_map.png', 'features_map.svg', 'features_scores.csv')
_SCORE_COLUMNS = ('scorer', 'metric', 'value', 'low', 'high')


def main() -> None:
  """Embeds the images or records of the flags, and writes the table."""
  with process.ended_by_interrupt():
    from trainer.prediction import feature_places
    from trainer.prediction import feature_scores
    from trainer.prediction import feature_table
    from trainer.run.embedding import feature_map
  models = model_input.read_flags([_WORKDIR.value], _MODEL.value)
  read = image_input.read_flags(_DISTRIBUTE.value, _TPU.value)
  output = path_check.require_path(_OUTPUT.value, 'output')
  figures = _FIGURES.value and path_check.require_path(_FIGURES.value,
                                                       'figures')
  ensemble = models.load()
  place = feature_map.locate(output)
  written = _name_figures(figures)
  models.check_output(
      [('output', output), ('output', place),
       ('figures', figures), *(('figures', each) for each in written)], read)
  if figures:
    feature_scores.require()
  elif _MLSMOTE.value:
    raise errors.DataError('--mlsmote is for the scores of --figures; pass '
                           '--figures=FOLDER, or leave --mlsmote out.')
  samples = read.load_samples(ensemble)
  feature_table.prepare(output)
  feature_map.prepare(place)
  if figures:
    _prepare_figures(*written)
  from trainer.prediction import assignment as assignment_lib
  from trainer.prediction import embed
  from trainer import strategy as strategy_lib
  trained, = ensemble.runs
  with read.open(ensemble, samples) as source:
    assignment = assignment_lib.assign(ensemble, source.ids, _MODEL_FOLD.value)
    strategy = strategy_lib.make(_DISTRIBUTE.value, _TPU.value, alone=True)
    embedder = embed.Embedder(ensemble, strategy, _WEIGHTS.value)
    folder = None if filesystem.is_remote(
        output) else os.path.dirname(output) or os.curdir
    table = embedder.embed(source, assignment, _BATCH_SIZE.value, folder)
    found = None
    if figures and not table.trained_on.all():
      found = feature_places.make(
          table, ensemble.choose_thresholds(''),
          assignment_lib.choose_fold(trained, _MODEL_FOLD.value),
          lambda rows: embed.read_images(source, rows), _choose_method(),
          _MLSMOTE.value)
  feature_table.write(output, table, place)
  _tell(table, output)
  for fold in trained.folds:  # an exported model's card says it
    for line in start_description.warn(fold.about.get('starting_weights', {})):
      print(f'Fold {fold.number}: {line}')
  if found:
    _write_figures(found, trained.spec.classes, figures)
    with path_check.translate_write_errors(output):
      found.save(place)
    _tell_scores(found, place)
  elif figures:
    print('No figures: each image was trained on by its model.')


def _name_figures(figures: str) -> list[str]:
  """Returns the paths of the files in --figures; none without it."""
  return [os.path.join(figures, name) for name in _FIGURE_NAMES if figures]


def _prepare_figures(picture: str, drawing: str, scores: str) -> None:
  """Checks that the files can be written, and replace no other program's."""
  from hpa_records.inspection import figure
  for path in (picture, drawing, scores):
    path_check.prepare_output(path, 'figures')
  with path_check.translate_write_errors(picture, 'figures'):
    path_check.refuse_foreign(picture, figure.MARK, 'figures')
    path_check.refuse_foreign(scores, ','.join(_SCORE_COLUMNS), 'figures')
    if filesystem.size(picture) is None:  # an SVG says not whose it is
      path_check.refuse_foreign(drawing, '\0', 'figures')


def _choose_method() -> str:
  """Returns how maps are drawn; says so if it is not UMAP."""
  from trainer.prediction import feature_places
  from trainer.prediction import feature_table
  method = feature_places.find_method()
  if method == 'PCA':
    print(
        'umap-learn is not installed, so the map is drawn by PCA; '
        f'{feature_table.EXTRA}.',
        file=sys.stderr)
  return method


def _tell(table: Any, output: str) -> None:
  """Prints what was written, and of which images the models are to be told."""
  count = len(table.ids)
  features = ', '.join(
      f'{name} {table.lengths[name]}' for name in table.features)
  print(f'{count} images, {table.num_skipped} skipped, {features}: {output}')
  new = int((table.folds < 0).sum())
  if new:
    print(f'{new} of these {count} images are new to the run; they have the '
          f'features of the model of fold {table.models[table.folds < 0][0]}.')
  num_trained = int(table.trained_on.sum())
  if num_trained:
    print(f'{num_trained} of these {count} images were trained on by the model '
          'whose features they have, since their fold is not finished; the '
          'column trained_on says which.')


def _write_figures(found: Any, classes: Any, figures: str) -> None:
  """Writes the map as PNG and SVG, and the scores as CSV."""
  import pandas as pd

  from hpa_records.inspection import figure
  from hpa_records.ingest import csv_cell
  from trainer.run.embedding import map_figure
  drawn = map_figure.draw(found, classes)
  table = pd.DataFrame([(scorer, metric, *bounds)
                        for scorer, metrics in found.scores.items()
                        for metric, bounds in metrics.items()],
                       columns=_SCORE_COLUMNS)
  content = (figure.to_png(drawn), figure.to_svg(drawn), csv_cell.encode(table))
  with path_check.translate_write_errors(figures, 'figures'):
    for path, data in zip(_name_figures(figures), content):
      filesystem.write_atomically(path, data)


def _tell_scores(found: Any, place: str) -> None:
  from trainer.run.embedding import feature_map
  from trainer.scoring import metrics
  title = metrics.spell(found.metric)
  for scorer, scores in found.scores.items():
    value, low, high = scores[found.metric]
    print(f'{feature_map.SCORERS[scorer]:22s}{title} {value:.3f} '
          f'({low:.3f} to {high:.3f})')
  if not found.scores:
    print('No scores: too few images with labels that their model was not '
          'trained on.')
  print(f'{found.method} of {len(found.ids)} images: {place}')


def run() -> None:
  """Runs the command with its flags; see cli.run."""
  cli.run(main, text=__doc__, groups=_FLAGS_BY_GROUP)
