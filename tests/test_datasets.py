"""Each built-in description, the whole way on synthetic samples.

make_sample_data, make_records, verify_records, a training of two epochs, the
report, and predictions of the images: as the commands do it, in one process.
"""

import contextlib
import pathlib

import numpy as np
import pandas as pd
import pytest

from hpa_records.conversion import conversion_input
from hpa_records.conversion import convert
from hpa_records.conversion import shard_plan
from hpa_records.datasets import description
from hpa_records.inspection import verify
from hpa_records.ingest import input_tables
from hpa_records.ingest import sample_table
from hpa_records.reading import dataset
from hpa_records.reading import inference_source
from hpa_records.synthetic import generator
from hpa_records.synthetic import sample_layout
from trainer import config as config_lib
from trainer import strategy
from trainer.prediction import ensemble as ensemble_lib
from trainer.prediction import predict
from trainer.report import page
from trainer.training import loop

_NUM_SAMPLES, _SIZE = 12, 32
# Two kinds are trained on in every test run: one class a sample, and the
# intensities of a plate. The paper's is that of test_docs.py.
_TRAINED = ('rxrx1', 'cell_painting')


@pytest.fixture(name='made', scope='module', params=description.names())
def _made(request, tmp_path_factory):
  """(description, folder with train.csv, train, and records of two folds)."""
  found = description.load(request.param)
  folder = tmp_path_factory.mktemp(request.param)
  generator.make(str(folder), _NUM_SAMPLES, size_px=64, workers=1, found=found)
  convert.make(
      conversion_input.Source(str(folder / 'train.csv'), str(folder / 'train')),
      str(folder / 'records'),
      shard_plan.Settings(description=found, image_size=_SIZE, num_folds=2),
      convert.How(workers=1))
  return found, folder


def test_records_are_complete_and_have_the_spec_of_the_description(made):
  found, folder = made
  records = dataset.load(str(folder / 'records'))
  verify.verify(str(folder / 'records'), deep=True, workers=1)
  assert len(records.index) == _NUM_SAMPLES
  used = sorted(
      {label for labels in records.index['labels'] for label in labels})
  names = sample_layout.find_classes(found)
  # Without classes in the description, those that occur are all.
  expected = names if found.classes else tuple(
      each for each in names if each in records.spec.classes)
  assert records.spec == found.spec(_SIZE, classes=expected)
  assert len(used) > 1 and max(used) < records.spec.num_classes


def _open(folder, found, ensemble):
  """The samples without labels: as images, or as records where an image alone
  does not tell the intensities of its plate."""
  csv, images = str(folder / 'train.csv'), str(folder / 'train')
  if not found.needs_levels:
    samples = sample_table.load(csv, images,
                                input_tables.How(found, unlabelled=True))
    return inference_source.Files(samples, images, ensemble.load_how(found),
                                  'stop')
  convert.make(
      conversion_input.Source(csv, images), str(folder / 'new'),
      shard_plan.Settings(description=found, image_size=_SIZE, unlabelled=True),
      convert.How(workers=1))
  records = inference_source.Records(str(folder / 'new'))
  ensemble.check_records(records.spec, records.settings, 'new')
  return contextlib.nullcontext(records)


def _predict(folder, output):
  """Writes predictions of the samples, as new ones, by the run; returns those
  of the records, by id."""
  ensemble = ensemble_lib.load([str(folder / 'run')])
  models = predict.Models(ensemble, strategy.make('cpu'), 'last')
  found = description.of_settings(ensemble.settings, ensemble.classes)
  with _open(folder, found, ensemble) as source:
    models.predict(source, 'none',
                   4).save(output, ensemble.choose_thresholds('', 'last'))
  records = inference_source.Records(str(folder / 'records'))
  stored = models.predict(records, 'none', 4)
  return pd.DataFrame(stored.predictions, stored.ids)


@pytest.mark.parametrize('made', [
    pytest.param(name, marks=[] if name in _TRAINED else pytest.mark.soak)
    for name in description.names()
],
                         indirect=True)
def test_a_training_a_report_and_predictions(made):
  _, folder = made
  spec = dataset.load(str(folder / 'records')).spec
  summary = loop.train(
      config_lib.Config(records=str(folder / 'records'),
                        workdir=str(folder / 'run'),
                        distribute='cpu',
                        epochs=2,
                        batch_size=4,
                        fold=0))
  assert np.isfinite(summary['loss'])
  path = page.write([str(folder / 'run')], str(folder / 'run'), 20)
  text = pathlib.Path(path).read_text('utf-8')
  assert all(name in text for name in spec.channel_names)
  stored = _predict(folder, str(folder / 'new.csv'))
  table = pd.read_csv(folder / 'new_predictions.csv', index_col='Id')
  assert list(table.columns) == list(spec.classes)
  assert 0 <= table.min().min() and table.max().max() <= 1
  # The images are those of the records.
  np.testing.assert_allclose(table.loc[stored.index], stored, atol=1e-4)
