"""Each built-in description, the whole way on synthetic samples.

make_sample_data, make_records, verify_records, a training of two epochs, the
report, and predictions of the images: as the commands do it, in one process.
"""

import pytest

from hpa_records.conversion import conversion_input
from hpa_records.conversion import convert
from hpa_records.conversion import shard_plan
from hpa_records.datasets import description
from hpa_records.inspection import verify
from hpa_records.reading import dataset
from hpa_records.synthetic import generator
from hpa_records.synthetic import sample_layout

_NUM_SAMPLES, _SIZE = 12, 32


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
