"""Small datasets, and forged ones: hashes right, content wrong.

All are written through the library, as a converter at fault would do it.
"""

import dataclasses
import pathlib
from typing import Any, Callable

import numpy as np
import pandas as pd

from hpa_records import convert
from hpa_records import image
from hpa_records import manifest
from hpa_records import record
from hpa_records import shard
from hpa_records import shard_plan
from hpa_records import tfds_metadata
from tests import fakes


def write_dataset(folder: pathlib.Path, encoding: str = 'raw') -> pathlib.Path:
  """Returns a folder with 20 records of 16x16 in 5 shards, made by convert."""
  settings = shard_plan.Settings(image_size=16, encoding=encoding)
  csv, images = fakes.write_source(folder)
  convert.convert(csv, images, str(folder / 'records'), settings, workers=1)
  return folder / 'records'


def forge_manifest(folder: pathlib.Path, **changes: Any) -> None:
  """Writes a manifest with changed entries, its own hash right."""
  made = dataclasses.replace(manifest.load(str(folder)), **changes)
  manifest.write(str(folder), made)


def forge_index(folder: pathlib.Path, change: Callable[[pd.DataFrame],
                                                       pd.DataFrame]) -> None:
  """Writes the index as change leaves it, with the hash in the manifest."""
  made = manifest.load(str(folder))
  index = change(manifest.load_index(str(folder), made))
  digest = manifest.write_index(str(folder), index)
  forge_manifest(folder, files={**made.files, manifest.INDEX_NAME: digest})


def forge_shard(folder: pathlib.Path, data: bytes) -> None:
  """Replaces the first shard's bytes, and their hash in the manifest."""
  first, *others = manifest.load(str(folder)).shards
  (folder / first.name).write_bytes(data)
  digest = manifest.file_sha256(str(folder / first.name))
  first = dataclasses.replace(first, sha256=digest, bytes=len(data))
  forge_manifest(folder, shards=(first, *others))


def forge_record(folder: pathlib.Path, **changes: Any) -> None:
  """Writes the first record of the first shard anew, with other fields."""
  path = folder / manifest.load(str(folder)).shards[0].name
  records = [data for _, data in shard.read(str(path))]
  sample = dataclasses.replace(record.decode(records[0]), **changes)
  records[0] = record.encode_head(sample) + bytes(sample.image)
  shard.write(str(path), [[data] for data in records])
  forge_shard(folder, path.read_bytes())


def write_unlabelled(folder: pathlib.Path, num_samples: int = 7) -> None:
  """Writes a dataset without labels through the library's own functions."""
  settings = {
      'image_size': 16,
      'encoding': 'raw',
      'num_folds': 5,
      'unlabelled': True
  }
  pixels = [fakes.image(i, 16) for i in range(num_samples)]
  payloads = [image.encode(each, 'raw') for each in pixels]
  heads = [
      record.encode_head(record.Sample(f'u{i}', payload))
      for i, payload in enumerate(payloads)
  ]
  name = shard.file_name('test', 0, 1)
  written = shard.write(str(folder / name), zip(heads, payloads))
  index = pd.DataFrame({
      'id': [f'u{i}' for i in range(num_samples)],
      'shard':
          name,
      'record_offset':
          written.offsets,
      'record_bytes':
          written.sizes,
      'image_offset':
          written.offsets + shard.FRAME_HEAD_BYTES + [len(h) for h in heads],
      'image_bytes': [len(payload) for payload in payloads],
  })
  index.to_parquet(folder / manifest.INDEX_NAME)
  shards = (manifest.Shard(name, num_samples, written.num_bytes,
                           written.sha256),)
  digest = manifest.file_sha256(str(folder / manifest.INDEX_NAME))
  manifest.write(
      str(folder),
      manifest.Manifest(settings=settings,
                        csv_sha256='',
                        num_records=num_samples,
                        num_skipped=0,
                        shards=shards,
                        class_counts=[],
                        pixels=manifest.pixel_statistics(
                            sum(image.histogram(each) for each in pixels)),
                        files={
                            manifest.INDEX_NAME: digest,
                            **tfds_metadata.write(str(folder), settings, shards)
                        },
                        versions={'numpy': np.__version__}))
