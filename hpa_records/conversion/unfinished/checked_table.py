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

import pandas as pd

from hpa_records.conversion.output import output_lock
from hpa_records.conversion.unfinished import sidecar
from hpa_records.ingest import input_tables
from hpa_records.ingest import issue
from hpa_records.ingest import sample_table
from hpa_records.runtime import json_text
from hpa_records.storage import filesystem

_FORM = {
    'key': str,
    'csv_sha256': str,
    'groups_sha256': str,
    'sizes': [[int]],
    'issues': [sidecar.ISSUE_FORM],
    'classes': [str],
    'requested': dict,
    'columns': {
        'id': [str],
        'row': [int],
        'labels': [[int]],
        'files': [[str]],
        'fold': [(int, type(None))],
        'group': [str],
        'plate': [str],
        'pixel_um': [float],
        'metadata': [[str]],
    },
}
_TUPLES = ('labels', 'files', 'metadata')


def find_key(tables: input_tables.Tables, how: input_tables.How) -> str:
  """Returns a hash of the input, without the files' contents.

  Args:
    tables: of the input.
    how: how it is checked.
  """
  listing = tables.listing
  parts = [
      dataclasses.asdict(how), tables.csv_sha256, tables.groups_sha256,
      *sorted(listing.files), *sorted(listing.others)
  ]
  return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def write(output: str, key: str, loaded: sample_table.SampleTable) -> None:
  """Writes checked samples to the folder .unfinished of an output folder.

  Args:
    output: folder of the dataset; contains .unfinished.
    key: from find_key.
    loaded: the samples.
  """
  content = {
      'key': key,
      'csv_sha256': loaded.csv_sha256,
      'groups_sha256': loaded.groups_sha256,
      'sizes': [[*size, count] for size, count in loaded.sizes.items()],
      'issues': [dataclasses.asdict(each) for each in loaded.issues],
      'classes': loaded.classes,
      'requested': loaded.requested,
      'columns': {
          name: loaded.table[name].to_list() for name in _FORM['columns']
      },
  }
  filesystem.write_atomically(_path(output), json_text.seal(content),
                              sidecar.unfinished_folder(output))


def read(output: str, key: str) -> sample_table.SampleTable | None:
  """Returns the samples that write wrote with the same key.

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
    for name in _TUPLES:
      columns[name] = [tuple(each) for each in columns[name]]
    return sample_table.SampleTable(
        pd.DataFrame(columns), {
            (height, width): count for height, width, count in content['sizes']
        }, content['csv_sha256'],
        tuple(issue.Issue(**each) for each in content['issues']),
        tuple(content['classes']), {
            each: tuple(files) for each, files in content['requested'].items()
        }, content['groups_sha256'])
  except (ValueError, TypeError):
    return None


def _path(output: str) -> str:
  return os.path.join(sidecar.unfinished_folder(output),
                      output_lock.CHECKED_NAME)
