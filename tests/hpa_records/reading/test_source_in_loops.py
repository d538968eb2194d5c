"""source under PyTorch, Grain and JAX, in an environment that has them.

The guides' examples run in tests/test_docs.py.
"""

import os
import pathlib
import subprocess

import pytest

from tests.support import fakes
from tests.support import loops

_COUNT, _SIZE = 40, 64
_ROOT = pathlib.Path(__file__).parents[3]
_HEAD = '''
import pickle, sys
import numpy as np
import hpa_records
from hpa_records.format import manifest

source = hpa_records.open(sys.argv[1])
sums = source[:]['image'].sum(axis=(1, 2, 3), dtype=np.int64)
row_of = {name: row for row, name in enumerate(source.ids)}

def rows_of(batch):
  """The records of a batch, whose values are compared with theirs."""
  rows = [row_of[str(name)] for name in batch['id']]
  found = np.asarray(batch['image']).sum(axis=(1, 2, 3), dtype=np.int64)
  np.testing.assert_array_equal(found, sums[rows])
  np.testing.assert_array_equal(batch['labels'], source.labels[rows])
  np.testing.assert_array_equal(batch['repeats'], source.repeats[rows])
  np.testing.assert_array_equal(batch['fold'], source.folds[rows])
  return rows

everything = list(range(len(source)))
'''

_TORCH = '''
import torch
from torch.utils import data

order = data.BatchSampler(data.SequentialSampler(source), 7, False)
for workers in (0, 2):
  loaders = (
      data.DataLoader(source, batch_size=None, sampler=order,
                      num_workers=workers),
      data.DataLoader(source, batch_size=7, num_workers=workers),
      data.DataLoader(data.Subset(source, everything), batch_size=7,
                      num_workers=workers))
  for loader in loaders:
    batches = list(loader)  # all are held, so no memory may be used twice
    assert isinstance(batches[0]['image'], torch.Tensor)
    assert batches[0]['image'].dtype == torch.uint8
    assert sum(map(rows_of, batches), []) == everything

held = source[[0, 1]]
assert data.default_convert(held)['image'].data_ptr() == held['image'].ctypes.data

training, held_out = source.split(1)
draws = training.repeats[:, 1]
sampler = data.WeightedRandomSampler(
    draws.tolist(), 4000, generator=torch.Generator().manual_seed(0))
drawn = np.bincount(list(sampler), minlength=len(training))
expected = 4000 * draws / draws.sum()
assert draws.max() > 3 * draws.min()
# Five standard deviations.
assert (abs(drawn - expected) < 5 * expected**.5).all()
'''

_GRAIN = '''
import grain

assert isinstance(source, grain.sources.RandomAccessDataSource)
samples = grain.MapDataset.source(source).batch(7)
assert sum(map(rows_of, samples), []) == everything
batches = grain.MapDataset.range(len(source)).shuffle(seed=3).batch(7)
batches = batches.map(source.__getitem__).to_iter_dataset(
    grain.ReadOptions(num_threads=4, prefetch_buffer_size=3))
rows = sum(map(rows_of, list(batches)), [])
assert sorted(rows) == everything != rows
'''

_JAX = '''
import jax

held = [jax.device_put(source[i:i + 7]['image']) for i in range(0, 40, 7)]
for i, image in enumerate(held):
  np.testing.assert_array_equal(
      np.asarray(image).sum(axis=(1, 2, 3), dtype=np.int64),
      sums[7 * i:7 * i + 7])
value = jax.jit(lambda image: image.astype('int32').sum())(source[:]['image'])
assert int(value) == sums.sum()
'''


@pytest.fixture(name='folder', scope='module')
def _folder(tmp_path_factory):
  return fakes.write_records(tmp_path_factory.mktemp('loops'),
                             _COUNT,
                             _SIZE,
                             balance='exact',
                             balance_target=20)


@pytest.mark.parametrize('name,code', [('torch', _TORCH), ('grain', _GRAIN),
                                       ('jax', _JAX)])
def test_it_gives_the_same_records(folder, name, code, tmp_path):
  python = loops.find_python()
  if name == 'torch' and not loops.has_torch():
    pytest.skip('pip finds no build of PyTorch for the CPU')
  script = tmp_path / 'loop.py'
  script.write_text(_HEAD + code)
  done = subprocess.run([python, script, folder],
                        check=False,
                        capture_output=True,
                        text=True,
                        env=os.environ | {'PYTHONPATH': str(_ROOT)})
  assert done.returncode == 0, done.stderr
