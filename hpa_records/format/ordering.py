"""The order of records and samples: by salted hash of their ids."""

import hashlib
from typing import Sequence

import numpy as np


def hash_order(keys: Sequence[str], salt: int) -> np.ndarray:
  """Returns the positions [N] int64 of keys in order of their salted hash."""
  digests = [hashlib.sha256(f'{salt}:{key}'.encode()).digest() for key in keys]
  return np.array(sorted(range(len(keys)), key=digests.__getitem__),
                  dtype=np.int64)
