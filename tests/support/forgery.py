"""Small datasets, and forged ones: hashes right, content wrong.

All are written through the library, as a converter at fault would do it.
"""

import dataclasses
import hashlib
import json
import pathlib
from typing import Any, Callable

import pandas as pd
import pytest

from hpa_records.conversion import convert
from hpa_records.conversion import shard_plan
from hpa_records.format import example
from hpa_records.format import manifest
from hpa_records.format import tfrecord
from hpa_records.inspection import verify
from hpa_records.runtime import errors
from hpa_records.storage import filesystem
from tests.support import fakes


def write_dataset(folder: pathlib.Path, encoding: str = 'raw') -> pathlib.Path:
  """Returns a folder with 20 records of 16x16 in 5 shards, made by convert."""
  settings = shard_plan.Settings(image_size=16, encoding=encoding)
  csv, images = fakes.write_source(folder)
  convert.convert(csv, images, str(folder / 'records'), settings,
                  convert.How(workers=1))
  return folder / 'records'


def forge_manifest(folder: pathlib.Path, **changes: Any) -> None:
  """Writes a manifest with changed entries, its own hash right."""
  made = dataclasses.replace(manifest.load(str(folder)), **changes)
  manifest.write(str(folder), made)


def forge_content(folder: pathlib.Path, edit: Callable[[dict[str, Any]],
                                                       None]) -> None:
  """Edits the JSON of the manifest, its own hash right, whatever it says."""
  path = folder / manifest.MANIFEST_NAME
  content = json.loads(path.read_bytes())
  del content['sha256']
  edit(content)
  canonical = json.dumps(content, sort_keys=True, separators=(',', ':'))
  content['sha256'] = hashlib.sha256(canonical.encode()).hexdigest()
  path.write_text(json.dumps(content, indent=1, sort_keys=True) + '\n')


def forge_parquet(folder: pathlib.Path, data: bytes) -> None:
  """Replaces the bytes of the index, and their hash in the manifest."""
  (folder / manifest.INDEX_NAME).write_bytes(data)
  files = {
      **manifest.load(str(folder)).files, manifest.INDEX_NAME:
          hashlib.sha256(data).hexdigest()
  }
  forge_manifest(folder, files=files)


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
  digest = filesystem.sha256(str(folder / first.name))
  first = dataclasses.replace(first, sha256=digest, bytes=len(data))
  forge_manifest(folder, shards=(first, *others))


def forge_record(folder: pathlib.Path, **changes: Any) -> None:
  """Writes the first record of the first shard anew, with other fields."""
  made = manifest.load(str(folder))
  path = folder / made.shards[0].name
  records = [data for _, data in tfrecord.read(str(path))]
  sample = dataclasses.replace(example.decode(records[0], made.num_classes),
                               **changes)
  records[0] = example.encode_head(sample) + bytes(sample.image)
  tfrecord.write(str(path), [[data] for data in records])
  forge_shard(folder, path.read_bytes())


def write_unlabelled(folder: pathlib.Path, num_samples: int = 7) -> None:
  """Makes folder a dataset of samples s0, s1, ... without labels."""
  _, images = fakes.write_source(folder.with_name(f'{folder.name}_images'),
                                 num_samples,
                                 size_px=16)
  convert.convert('', images, str(folder),
                  shard_plan.Settings(image_size=16, unlabelled=True),
                  convert.How(workers=1))


def list_issues(folder: pathlib.Path,
                deep: bool = False,
                workers: int = 1) -> list[str]:
  """Returns the lines of issues that verify lists; expects some."""
  with pytest.raises(errors.DataError) as error:
    verify.verify(str(folder), deep, workers)
  head, *lines = str(error.value).splitlines()
  assert str(folder) in head
  return [line.strip() for line in lines] or [head]


def list_shards(folder: pathlib.Path) -> list[pathlib.Path]:
  """Returns the paths of a dataset's shards, in order."""
  return [folder / each.name for each in manifest.load(str(folder)).shards]
