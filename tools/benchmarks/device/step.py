"""What a measurement consists of: steps, each with child processes and rows."""

import dataclasses
import os
from typing import Any, Iterator, Mapping

from benchmarks.device import child
from benchmarks.device import data

Row = tuple[str, dict[str, Any]]  # name, figures by name and unit
Rows = Mapping[str, dict[str, Any]]


@dataclasses.dataclass(frozen=True)
class Job:
  """The settings of a measurement.

  Attributes:
    scratch: folder for records, runs and files of the children.
    peer: program to compare with; '' for none.
    peer_python: interpreter to run it with.
    num_samples: of the records.
    size_px: height and width of an image.
    batches: sizes of resident batches; the trainer takes the first.
    steps_per_call: on a resident batch.
    seconds: for which a resident batch is timed.
  """
  scratch: str
  peer: str
  peer_python: str
  num_samples: int
  size_px: int
  batches: tuple[int, ...]
  steps_per_call: int
  seconds: float

  @property
  def records(self) -> str:
    """The folder of the records to train on."""
    return os.path.join(self.scratch, data.RECORDS)


class Step:
  """A part of a measurement that is run at once.

  Attributes:
    name: by which --only chooses it.
    rows: names of the rows that work gives, in order.
    needs_s: seconds that it takes on an H100. Stopped after twice as many.
    uses_records: whether it trains on the records.
    is_beside: whether it runs beside the steps before it.
  """
  name = ''
  rows: tuple[str, ...] = ()
  needs_s = 0.0
  uses_records = False
  is_beside = False

  def prepare(self, job: Job) -> list[child.Child]:
    """Returns the child processes; those that may wait for go are started."""
    raise NotImplementedError

  def work(self, children: list[child.Child], measured: Rows,
           limit_s: float) -> Iterator[Row]:
    """Yields the rows, after it has let the children go.

    Args:
      children: of prepare.
      measured: rows of the steps before.
      limit_s: for the whole step.

    Raises:
      child.Failed: the rest of the rows cannot be measured.
    """
    raise NotImplementedError


def find_rate(measured: Rows, name: str) -> float | None:
  """Returns images/s of a row; None if it has none."""
  return measured.get(name, {}).get('images_per_s')


def divide(figures: dict[str, Any], key: str, other: float | None) -> None:
  """Adds figures['images_per_s'] ÷ other as figures[key], if there is one."""
  if other:
    figures[key] = figures['images_per_s'] / other
