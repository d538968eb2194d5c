"""Datasets of any classes and channels, written through format alone."""

import pathlib
from typing import Sequence

import numpy as np
import pandas as pd

from hpa_records.datasets import layout
from hpa_records.datasets import toml_form
from hpa_records.format import example
from hpa_records.format import manifest
from hpa_records.format import spec as spec_lib
from hpa_records.format import tfds_metadata
from hpa_records.format import tfrecord
from hpa_records.images import pixel_codec

NUM_FOLDS = 2


def image(sample: int, spec: spec_lib.Spec) -> np.ndarray:
  """Returns the pixels of a sample, [H, W, C] uint8."""
  y, x, c = np.indices(spec.image_shape)
  return ((37 * sample + 61 * c + 3 * y + 7 * x) % 256).astype(np.uint8)


def write(folder: pathlib.Path,
          spec: spec_lib.Spec,
          labels: Sequence[Sequence[int]],
          plates: bool = False) -> pathlib.Path:
  """Returns a folder with a dataset of two folds, one shard each.

  Sample s<i> is in fold i % 2; its pixels are those of image(i, spec).

  Args:
    folder: to make.
    spec: of the dataset.
    labels: of each sample.
    plates: whether the index has a metadata column, plate.
  """
  folder.mkdir(parents=True, exist_ok=True)
  rows, entries = [], []
  for fold in range(NUM_FOLDS):
    name, records, offset = tfrecord.file_name(f'fold{fold}', 0, 1), [], 0
    for i in range(fold, len(labels), NUM_FOLDS):
      stored = pixel_codec.encode(image(i, spec), spec.encoding)
      repeats = np.array([float(fold != k) for k in range(NUM_FOLDS)],
                         np.float32)
      head = example.encode_head(
          example.Sample(f's{i}', stored, fold,
                         spec.multi_hot([labels[i]])[0], repeats))
      size = len(head) + len(stored) + tfrecord.FRAME_BYTES
      rows.append({
          'id': f's{i}',
          'fold': fold,
          'shard': name,
          'record_offset': offset,
          'record_bytes': size,
          'image_offset': offset + tfrecord.FRAME_HEAD_BYTES + len(head),
          'image_bytes': len(stored),
          'labels': list(labels[i]),
          'repeats': repeats,
      })
      if plates:
        rows[-1]['plate'] = f'plate {i % 3}'
      records.append([head, stored.tobytes()])
      offset += size
    made = tfrecord.write(str(folder / name), records)
    entries.append(manifest.Shard(name, len(records), offset, made.sha256))
  _write_tables(folder, spec, pd.DataFrame(rows), entries)
  return folder


def _write_tables(folder, spec, index, entries):
  table = layout.Table(labels=('Target',),
                       metadata=('plate',) if 'plate' in index else ())
  described = layout.Description(
      'plain',
      tuple(layout.Channel(c.name, c.stain, c.color) for c in spec.channels),
      table=table)
  hot = spec.multi_hot(index['labels'])
  sums = np.zeros((NUM_FOLDS, 2, spec.num_channels), np.int64)
  for name, fold in zip(index['id'], index['fold']):
    sums[fold] += pixel_codec.sums(image(int(name[1:]), spec))
  counts = index['fold'].value_counts() * spec.image_size**2
  files = {
      manifest.INDEX_NAME: manifest.write_index(str(folder), index),
      **tfds_metadata.write(str(folder), spec, NUM_FOLDS, entries, 'Images')
  }
  manifest.write(
      str(folder),
      manifest.Manifest(settings={
          'image_size': spec.image_size,
          'encoding': spec.encoding,
          'num_folds': NUM_FOLDS,
          'seed': 0,
          'description': toml_form.encode(described),
      },
                        csv_sha256='0' * 64,
                        num_records=len(index),
                        num_skipped=0,
                        shards=tuple(entries),
                        class_counts=[
                            hot[index['fold'] == fold].sum(axis=0,
                                                           dtype=int).tolist()
                            for fold in range(NUM_FOLDS)
                        ],
                        pixels=pixel_codec.describe_folds(
                            [int(counts.get(k, 0)) for k in range(NUM_FOLDS)],
                            sums),
                        files=files,
                        versions={},
                        classes=spec.classes,
                        channels=spec.channel_names))
