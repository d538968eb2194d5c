"""Made input whose every pixel is a function of (sample, channel, y, x), and
what became of it.

A swapped axis, channel or sample shows at once; nothing is drawn at random.
"""

from collections.abc import Sequence
import dataclasses
import pathlib

import cv2
import numpy as np
import pandas as pd

from hpa_records.conversion import convert
from hpa_records.conversion import shard_plan
from hpa_records.datasets import description
from hpa_records.datasets import layout
from hpa_records.format import example
from hpa_records.format import manifest
from hpa_records.format import tfrecord
from tests.support import specs


def plane(sample: int, channel: int, size_px: int = 24) -> np.ndarray:
  """Returns [size_px, size_px] uint8 that names its sample and channel."""
  y, x = np.mgrid[:size_px, :size_px]
  return ((37 * sample + 61 * channel + 3 * y + 7 * x) % 256).astype(np.uint8)


def image(sample: int, size_px: int = 24, num_channels: int = 4) -> np.ndarray:
  """Returns the sample's planes, [size_px, size_px, C] uint8."""
  return np.stack([plane(sample, c, size_px) for c in range(num_channels)],
                  axis=-1)


def write_source(folder: pathlib.Path,
                 num_samples: int = 20,
                 size_px: int = 24,
                 channels: Sequence[str] = specs.CHANNELS) -> tuple[str, str]:
  """Writes train.csv and real PNGs; returns the paths of CSV and images.

  Sample i is named s<i>, with labels i % 5 and, for every third, 5 + i % 7: all
  of 12 classes.
  """
  images = folder / 'train'
  images.mkdir(parents=True)
  rows = ['Id,Target']
  for i in range(num_samples):
    rows.append(f's{i},{i % 5}' + (f' {5 + i % 7}' if i % 3 == 0 else ''))
    for c, channel in enumerate(channels):
      cv2.imwrite(str(images / f's{i}_{channel}.png'), plane(i, c, size_px))
  csv = folder / 'train.csv'
  csv.write_text('\n'.join(rows) + '\n')
  return str(csv), str(images)


def write_single_label(folder: pathlib.Path, described: layout.Description,
                       labels: Sequence[int]) -> str:
  """Returns the folder of records of two folds; sample i has label i alone."""
  spec = described.spec(32)
  csv, images = write_source(folder, len(labels), 32, spec.channel_names)
  rows = [f's{i},{label}\n' for i, label in enumerate(labels)]
  pathlib.Path(csv).write_text(''.join(['Id,Target\n', *rows]),
                               encoding='utf-8')
  convert.convert(
      csv, images, str(folder / 'records'),
      shard_plan.Settings(image_size=32, num_folds=2, description=described),
      convert.How(workers=1))
  return str(folder / 'records')


def describe(num_channels: int, num_classes: int = 12) -> layout.Description:
  """Returns a description of such a source with other channels and classes."""
  return dataclasses.replace(
      description.default(),
      name='fake',
      channels=tuple(
          layout.Channel(f'channel{c}', f'stain {c}')
          for c in range(num_channels)),
      classes=tuple(layout.Class(f'class {k}') for k in range(num_classes)))


def carry(csv: str, columns: dict[str, Sequence[str]]) -> layout.Description:
  """Adds columns to a table of write_source.

  Args:
    csv: the table.
    columns: their values, one for each sample, by name.

  Returns:
    The default description, with which a conversion copies them to the index.
  """
  pd.read_csv(csv, dtype=str).assign(**columns).to_csv(csv, index=False)
  found = description.default()
  return dataclasses.replace(found,
                             table=dataclasses.replace(found.table,
                                                       metadata=tuple(columns)))


def write_records(folder: pathlib.Path, num_samples: int, size_px: int,
                  **settings) -> str:
  """Writes such a source and converts it, at its own size.

  Args:
    folder: for both.
    num_samples: as of write_source.
    size_px: as of write_source.
    **settings: of shard_plan.Settings.

  Returns:
    The folder of the records.
  """
  asked = shard_plan.Settings(image_size=size_px, **settings)
  csv, images = write_source(folder, num_samples, size_px,
                             asked.spec.channel_names)
  records = str(folder / 'records')
  convert.convert(csv, images, records, asked, convert.How(workers=1))
  return records


def read_samples(folder: pathlib.Path) -> dict[str, example.Sample]:
  """Returns every record of a dataset by id, read from its shards."""
  found = {}
  made = manifest.load(str(folder))
  for entry in made.shards:
    for _, data in tfrecord.read(str(folder / entry.name)):
      sample = example.decode(data, made.num_classes)
      found[sample.id] = sample
  return found
