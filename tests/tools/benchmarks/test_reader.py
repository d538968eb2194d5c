"""reader: what is counted of batches, and how fast they come."""

from benchmarks import reader
import numpy as np
import pytest


def test_too_few_batches_are_no_rate():
  with pytest.raises(RuntimeError, match='received too few'):
    reader.rate(iter([np.zeros(3)]), 1.0)
