"""feature_table: any names of columns, full disks, an earlier map."""

import resource

import anndata
import numpy as np
from pyarrow import parquet
import pytest

from hpa_records.runtime import errors
from tests.support import runs
from trainer.prediction import feature_table

_ENDINGS = ('.parquet', '.npz', '.h5ad')


def _make(names=(), count=3):
  rows = np.arange(count)
  values = np.random.default_rng(0).normal(size=(count, 6))
  return feature_table.Table(
      ids=np.array([f's{i}' for i in range(count)]),
      rows=rows,
      values=values.astype(np.float32),
      lengths={
          'hidden2': 4,
          'probabilities': 2
      },
      classes=('a', 'b'),
      metadata={each: np.char.add(each, rows.astype(str)) for each in names},
      num_skipped=0,
      folds=np.zeros(count, np.int32),
      models=np.zeros(count, np.int32),
      trained_on=np.zeros(count, bool),
      labels=np.zeros((count, 2), np.uint8),
      labelled=np.ones(count, bool),
      groups=np.full(count, ''))


def _read(path):
  if path.suffix == '.npz':
    return runs.arrays(path)
  if path.suffix == '.parquet':
    return parquet.read_table(path).to_pandas()
  return anndata.read_h5ad(path).obs


@pytest.mark.parametrize('ending', _ENDINGS)
@pytest.mark.parametrize('names', [
    ('file', 'allow_pickle', 'arr_0', 'x.npy'),
    ('model', 'metadata_model', 'metadata_metadata_model'),
    ('_index', 'index', '/index', '.', '..', ''),
    ('a/b', 'a_b', '/a', '_a', 'labels', 'labelled', 'hpa_features'),
])
def test_no_name_of_metadata_is_lost_or_refused(tmp_path, ending, names):
  path = tmp_path / f'features{ending}'
  feature_table.write(str(path), _make(names))
  found = _read(path)
  columns = {''.join(map(str, np.ravel(found[name]))): name for name in found}
  for name in names:
    column = columns[''.join(f'{name}{i}' for i in range(3))]
    assert column.endswith(name.replace('/', '_' if ending == '.h5ad' else '/'))
  assert list(found['model']) == [0, 0, 0]


@pytest.mark.parametrize('ending', _ENDINGS)
def test_a_full_disk_is_one_line_and_keeps_the_earlier_files(
    tmp_path, monkeypatch, ending):
  path, other = tmp_path / f'features{ending}', tmp_path / 'features_map.npz'
  path.write_bytes(b'earlier')
  other.write_bytes(b'its map')
  # All is written beside the output.
  monkeypatch.setattr('tempfile.tempdir', str(tmp_path / 'none'))
  limits = resource.getrlimit(resource.RLIMIT_FSIZE)
  resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, limits[1]))
  try:
    with pytest.raises(errors.DataError, match='File too large; ') as error:
      feature_table.write(str(path), _make(count=2000), str(other))
  finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
  assert '\n' not in str(error.value)
  assert sorted(each.name for each in tmp_path.iterdir()) == sorted(
      [path.name, other.name])
  assert path.read_bytes() == b'earlier' and other.read_bytes() == b'its map'
  feature_table.write(str(path), _make(count=2000), str(other))
  assert len(_read(path)['model']) == 2000 and not other.exists()
