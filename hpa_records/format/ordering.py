"""The order of records and samples: by a salted hash of their ids."""

import hashlib
from typing import Sequence

import numpy as np


def hash_order(keys: Sequence[str], salt: int) -> np.ndarray:
  """Returns the positions [N] int64 of keys, sorted by salted sha256.

  Args:
    keys: N ids.
    salt: of the hash; another salt gives another order.
  """
  digests = [hashlib.sha256(f'{salt}:{key}'.encode()).digest() for key in keys]
  return np.array(sorted(range(len(keys)), key=digests.__getitem__),
                  dtype=np.int64)
