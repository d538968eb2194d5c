"""Loads tables and folders of images by the description of Kaggle's dataset."""

from typing import Any

from hpa_records.datasets import description
from hpa_records.datasets import layout
from hpa_records.ingest import input_tables
from hpa_records.ingest import sample_table


def load(csv: str,
         images: str,
         *,
         dataset: layout.Description | None = None,
         pattern: str = '',
         white_level: int = 0,
         fold_column: str = '',
         groups: str = '',
         **how: Any) -> sample_table.SampleTable:
  """Returns sample_table.load's result.

  Args:
    csv: as of sample_table.load.
    images: as of sample_table.load.
    dataset: hpa2018 if it is None.
    pattern: as of description.change.
    white_level: as of description.change.
    fold_column: as of description.change.
    groups: as of sample_table.load.
    **how: further values of input_tables.How.
  """
  found = description.change(dataset or description.default(), pattern,
                             white_level, fold_column)
  return sample_table.load(csv, images, input_tables.How(found, **how), groups)
