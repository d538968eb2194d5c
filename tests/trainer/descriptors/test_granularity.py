"""The granularity of blocks of known size."""

import numpy as np
import pytest

from trainer.descriptors import granularity


def test_each_block_is_removed_by_the_first_opening_wider_than_it():
  image = np.zeros((64, 64), np.uint8)
  image[5, 5] = 100  # removed by 3 px
  image[20:23, 20:23] = 100  # removed by 5 px
  image[40:53, 40:53] = 50  # 13 px, removed by 17 px
  light = 100 + 900 + 8450
  found = dict(zip(granularity.NAMES, granularity.compute(image)))
  assert found == {
      name:
          pytest.approx({
              'granularity_1px': 100,
              'granularity_2px': 900,
              'granularity_8px': 8450
          }.get(name, 0) / light) for name in granularity.NAMES
  }


def test_what_is_even_is_in_no_structure():
  assert not granularity.compute(np.full((16, 16), 77, np.uint8)).any()


def test_shares_are_not_negative():
  image = np.random.default_rng(0).integers(0, 256, (16, 20)).astype(np.uint8)
  found = granularity.compute(image)
  assert (found >= 0).all() and 0 < found.sum() <= 1
