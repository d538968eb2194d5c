"""The record format on one page: channels, classes, keys, types, version.

Letters in all docstrings: B examples of a batch, N examples of a dataset,
H and W pixels, C = 4 channels, K = 28 classes, F folds.

A dataset is a folder of TFRecord shards of tf.train.Example, index.parquet
with one row a record, and manifest.json, written last. Each record has

  id       bytes       the sample's Id in the CSV
  fold     int64       the fold that holds the sample, 0..F-1
  labels   int64[K]    multi-hot
  repeats  float32[F]  repeats[k]: expected draws of the record in one training
                       epoch when fold k is held out; 0 where k is its own fold
  image    bytes       raw (H*W*C bytes, row-major, channels in CHANNELS order)
                       or png (one RGBA PNG: the four channels, lossless)

Records of an unlabelled set, such as Kaggle's test images, have only id and
image, and its index has no labels. Its shards are named `test`.

An integer r in repeats means exactly r copies in each epoch. A fraction is
rounded up or down in each epoch so that its mean over epochs is exact. Over
each CYCLE_EPOCHS epochs, counted from the first, the number of copies is within
1 of the sum of the repeats.
"""

from typing import Iterable, Sequence

import numpy as np

from hpa_records.runtime import errors

FORMAT_VERSION = 1

# The number of epochs in the paper. An image with LEAST_REPEATS is drawn once.
CYCLE_EPOCHS = 80
LEAST_REPEATS = 1 / CYCLE_EPOCHS

# Philox keys are 64-bit words, and NumPy converts a larger integer to float,
# which maps many seeds to one.
MAX_SEED = 2**63 - 1
MAX_FOLDS = 2**16  # as many as the keys of random streams hold
MAX_REPEATS = 2**27  # of all records and folds of an index: 512 MiB
MAX_IMAGE_SIZE = 2**13  # pixels; 256 MiB a record
MAX_SETTING = 2**12  # characters of a setting in a manifest

CHANNELS = ('red', 'green', 'blue', 'yellow')
NUM_CHANNELS = len(CHANNELS)

# Source: Kaggle, "Human Protein Atlas Image Classification" (2018), the
# competition's list of labels 0..27.
CLASS_NAMES = (
    'Nucleoplasm',
    'Nuclear membrane',
    'Nucleoli',
    'Nucleoli fibrillar center',
    'Nuclear speckles',
    'Nuclear bodies',
    'Endoplasmic reticulum',
    'Golgi apparatus',
    'Peroxisomes',
    'Endosomes',
    'Lysosomes',
    'Intermediate filaments',
    'Actin filaments',
    'Focal adhesion sites',
    'Microtubules',
    'Microtubule ends',
    'Cytokinetic bridge',
    'Mitotic spindle',
    'Microtubule organizing center',
    'Centrosome',
    'Lipid droplets',
    'Plasma membrane',
    'Cell junctions',
    'Mitochondria',
    'Aggresome',
    'Cytosol',
    'Cytoplasmic bodies',
    'Rods & rings',
)
NUM_CLASSES = len(CLASS_NAMES)

ID = 'id'
FOLD = 'fold'
LABELS = 'labels'
REPEATS = 'repeats'
IMAGE = 'image'

ENCODINGS = ('raw', 'png')

UNLABELLED_GROUP = 'test'  # shard group of an unlabelled set


def require_seed(seed: int) -> int:
  """Returns seed, checked.

  Raises:
    errors.DataError: seed is not in 0..MAX_SEED.
  """
  if not 0 <= seed <= MAX_SEED:
    raise errors.DataError(f'Expected a seed of 0..2^63-1, received {seed}.')
  return seed


def multi_hot(labels_column: Iterable[Sequence[int]]) -> np.ndarray:
  """Returns [N, K] uint8, 1 where the sample has the label.

  Args:
    labels_column: labels of each of N samples, 0..K-1.
  """
  labels = list(labels_column)
  hot = np.zeros([len(labels), NUM_CLASSES], np.uint8)
  for row, classes in enumerate(labels):
    hot[row, list(classes)] = 1
  return hot
