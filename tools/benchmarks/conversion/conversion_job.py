"""What conversion.convert measures: the ways to convert, and the input."""

import dataclasses
import os
from typing import Any

from hpa_records.datasets import description


@dataclasses.dataclass(frozen=True)
class Peer:
  """One way to convert.

  Attributes:
    key: its name in the JSON and in benchmarks.conversion.converter.
    title: its name in the table.
    cores: number of cores that it may use.
    is_ours: whether it is this project's converter, one worker a core.
  """
  key: str
  title: str
  cores: int = 1
  is_ours: bool = False


@dataclasses.dataclass(frozen=True)
class Job:
  """The settings of a measurement.

  Attributes:
    csv: path of the table.
    images: folder of the files.
    samples: id, multi-hot labels and files of each row.
    image_size: height and width of the results, pixels.
    scratch: folder for the results, on a disk with enough space.
    repeats: repetitions of everything.
    dataset: description of table and images, as of --dataset.
  """
  csv: str
  images: str
  samples: list[dict[str, Any]]
  image_size: int
  scratch: str
  repeats: int
  dataset: str = description.DEFAULT

  def output(self, key: str) -> str:
    """Returns the path that a peer writes."""
    return os.path.join(self.scratch, key)
