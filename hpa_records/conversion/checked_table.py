"""Caches the checked samples of a conversion for jobs that make one shard each.

Checking reads the header of every image file: 124,288 of them in each of some
300 jobs. So the first job writes the result to the folder .unfinished and the
others read it, if the table, the groups, the settings and the names of the
image files are the same. The job that decodes a file checks it again.
"""

import dataclasses
import hashlib
import json
import os
from typing import Any

import pandas as pd

from hpa_records.conversion import output_lock
from hpa_records.conversion import shard_plan
from hpa_records.conversion import shard_writer
from hpa_records.ingest import csv_table
from hpa_records.ingest import image_folder
from hpa_records.ingest import issue
from hpa_records.ingest import sample_table
from hpa_records.runtime import json_text
from hpa_records.storage import filesystem

# Columns that not all tables have.
_OPTIONAL = {'fold': int, 'group': str}
_FORM = {
    'key': str,
    'csv_sha256': str,
    'groups_sha256': str,
    'sizes': [[int]],
    'issues': [shard_writer.ISSUE_FORM],
    'columns': {
        'id': [str],
        'row': [int],
        'labels': [[int]]
    },
}


def find_key(csv: str, images: str, settings: shard_plan.Settings,
             on_error: str, on_doubt: str, groups: str) -> str:
  """Returns a hash of the input and settings, without the files' contents.

  Args: as of sample_table.load; the others are in settings.

  Raises:
    errors.DataError: a CSV cannot be read, or the folder of images cannot be
      listed.
  """
  parts: list[Any] = [dataclasses.asdict(settings), on_error, on_doubt]
  for path in (csv, groups):
    content = csv_table.read(path) if path else b''
    parts.append(hashlib.sha256(content).hexdigest())
  listing = image_folder.scan(images, settings.pattern)
  parts += [*sorted(listing.files), *sorted(listing.others)]
  return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def write(output: str, key: str, loaded: sample_table.SampleTable) -> None:
  """Writes checked samples to the folder .unfinished of an output folder.

  Args:
    output: folder of the dataset; contains .unfinished.
    key: from find_key.
    loaded: the samples; paths of image files are not written.
  """
  columns = [
      name for name in (*_FORM['columns'], *_OPTIONAL) if name in loaded.table
  ]
  content = {
      'key': key,
      'csv_sha256': loaded.csv_sha256,
      'groups_sha256': loaded.groups_sha256,
      'sizes': [[*size, count] for size, count in loaded.sizes.items()],
      'issues': [dataclasses.asdict(each) for each in loaded.issues],
      'columns': {
          name: loaded.table[name].to_list() for name in columns
      },
  }
  filesystem.write_atomically(_path(output), json_text.seal(content),
                              shard_writer.unfinished_folder(output))


def read(output: str, key: str) -> sample_table.SampleTable | None:
  """Returns the samples that write wrote with the same key, without paths.

  Args:
    output: as of write.
    key: as of write.

  Returns:
    None if there is no file, it is damaged, or it has another key.
  """
  path = _path(output)
  try:
    content = json_text.unseal(filesystem.read_small(path) or b'')
    json_text.check_form(content, _FORM, path)
    if content['key'] != key:
      return None
    columns = content['columns']
    json_text.check_form(columns, {
        name: [kind] for name, kind in _OPTIONAL.items() if name in columns
    }, path)
    columns['labels'] = [tuple(each) for each in columns['labels']]
    return sample_table.SampleTable(
        pd.DataFrame(columns), {
            (height, width): count for height, width, count in content['sizes']
        }, content['csv_sha256'],
        tuple(issue.Issue(**each) for each in content['issues']),
        content['groups_sha256'])
  except (ValueError, TypeError):
    return None


def _path(output: str) -> str:
  return os.path.join(shard_writer.unfinished_folder(output),
                      output_lock.CHECKED_NAME)
