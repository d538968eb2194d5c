"""Estimates the bytes that a conversion will write."""

import contextlib
import os
from typing import Iterable

import numpy as np

from hpa_records.conversion import shard_plan
from hpa_records.conversion import shard_writer
from hpa_records.images import pixel_codec
from hpa_records.runtime import errors
from hpa_records.storage import filesystem

_PROBED = 16  # images to estimate the size of PNG records from


def needed_bytes(plan: shard_plan.Plan,
                 shards: Iterable[shard_plan.Shard],
                 every: bool = False) -> int:
  """Returns the bytes of the missing shards; for PNG an estimate.

  Args:
    plan: of the conversion.
    shards: of the plan.
    every: whether shards that exist are counted, too.
  """
  missing = [
      (each, i) for each in shards
      if every or filesystem.size(os.path.join(plan.output, each.name)) is None
      for i in range(len(each.ids))
  ]
  record_bytes = plan.settings.most_record_bytes
  if plan.settings.encoding != 'raw' and missing:
    probed = missing[::-(-len(missing) // _PROBED)]
    sizes = []
    for shard, i in probed:
      with contextlib.suppress(errors.DataError):  # listed later
        pixels = shard_writer.load_pixels(plan, shard, i)
        sizes.append(len(pixel_codec.encode(pixels, plan.settings.encoding)))
    spare = record_bytes - plan.settings.raw_bytes
    record_bytes = int(np.mean(sizes or [0]) * 1.2) + spare
  return len(missing) * record_bytes
