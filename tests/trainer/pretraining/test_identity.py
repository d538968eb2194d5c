"""identity: a column of the index as numbers, and what is refused."""

import numpy as np
import pytest

from hpa_records.conversion import convert
from hpa_records.conversion import shard_plan
from hpa_records.runtime import errors
from hpa_records.sampling import epoch_plan
from tests.support import fakes
from trainer.pretraining import pool
from trainer.pretraining import pool_reader
from trainer.pretraining import settings as settings_lib

_COUNT = 12


@pytest.fixture(name='folder', scope='module')
def _folder(tmp_path_factory):
  """Records with identities, and the same images with others and with none."""
  folder = tmp_path_factory.mktemp('identity')
  csv, images = fakes.write_source(folder, _COUNT)
  described = fakes.carry(
      csv, {
          'antibody': [f'HPA{i % 3}' for i in range(_COUNT)],
          'plate': [f'{i}' if i else ' ' for i in range(_COUNT)],
          'line': ['U-2 OS'] * _COUNT
      })
  for name, options in (('records', {'description': described}), ('plain', {})):
    convert.convert(csv, images, str(folder / name),
                    shard_plan.Settings(image_size=24, num_folds=2, **options),
                    convert.How(workers=1))
  return folder


def _load(*records, **values):
  return pool.load(
      settings_lib.Settings(records=settings_lib.join(map(str, records)),
                            workdir='w',
                            loss='arcface',
                            batch_size=4,
                            **values))


def test_numbers_are_of_what_is_trained_on_and_come_with_the_batches(folder):
  found = _load(folder / 'records', identity='antibody', fold=1)
  numbers = np.array([int(each[1:]) % 3 for each in found.ids])
  np.testing.assert_array_equal(found.identities,
                                np.where(found.is_trained, numbers, -1))
  assert found.num_identities == 3
  key = epoch_plan.Key(0, 0, 1)
  plan = found.plan(key, 4)
  batches = pool_reader.Reader(found).training(plan, key, epoch_plan.Share(4))
  labels = [each['labels'] for each in batches.as_numpy_iterator()]
  np.testing.assert_array_equal(
      np.concatenate(labels)[:, 0], numbers[plan.record])


def test_other_losses_have_no_identities(folder):
  found = pool.load(
      settings_lib.Settings(records=str(folder / 'plain'),
                            workdir='w',
                            batch_size=4))
  assert found.num_identities == 0


@pytest.mark.parametrize('names,column,message', [
    ('records', 'plates', r"No column 'plates' .* it has \['antibody', "
     r"'plate', 'line'\]. Choose one"),
    ('records', 'fold', "No column 'fold' for --identity"),
    ('plain', 'antibody', 'plain; it has none of a group or of metadata'),
    ('records,plain', 'antibody', "No column 'antibody' .*plain; it has none"),
    ('records', 'plate', "1 image at .*records without 'plate', first s0;"),
    ('records', 'line', "two or more values of 'line' .* only 'U-2 OS'"),
])
def test_what_does_not_fit_is_one_line(folder, names, column, message):
  with pytest.raises(errors.DataError, match=message) as found:
    _load(*(folder / each for each in names.split(',')), identity=column)
  assert '\n' not in str(found.value)


@pytest.mark.parametrize('values', [{
    'loss': 'arcface'
}, {
    'identity': 'antibody'
}, {
    'loss': 'nt_xent',
    'identity': 'antibody'
}])
def test_the_loss_and_its_column_come_together(values):
  with pytest.raises(errors.DataError, match='--identity=COLUMN with --loss=a'):
    settings_lib.Settings(records='r', workdir='w', **values)
