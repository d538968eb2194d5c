"""What a process that reads for benchmarks.input_pipeline gets to know."""

import dataclasses
import json
import os
import pathlib

import numpy as np

from hpa_records.reading import dataset
from hpa_records.reading.payload import shards

HELD_OUT = 0  # fold


@dataclasses.dataclass(frozen=True)
class Job:
  """The settings of a measurement.

  Attributes:
    records: folder of a dataset; of PNGs, only ways through tf.data read it.
    images: folder of <Id>_<channel>.png, its source.
    scratch: folder for the peers' own formats.
    peers_python: interpreter of the peers' environment; '' leaves them out.
    batch: images in a batch.
    seconds: for which a way is timed.
    repeats: repetitions of everything.
  """
  records: str
  images: str
  scratch: str
  peers_python: str
  batch: int
  seconds: float
  repeats: int


def write(job: Job, records: dataset.Records) -> tuple[str, dict[str, int]]:
  """Writes the pixels and job.json into the job's scratch folder.

  Args:
    job: the settings.
    records: of the job.

  Returns:
    Path of job.json, and the expected count of images and sum of their bytes.
  """
  rows = np.flatnonzero(records.index['fold'] != HELD_OUT)
  spec = records.spec
  pixels = np.empty((len(rows), *spec.image_shape), np.uint8)
  shards.Shards(records).read(rows, pixels)
  path = os.path.join(job.scratch, 'pixels.npy')
  np.save(path, pixels)
  files = [[
      os.path.join(job.images, f'{name}_{channel}.png')
      for channel in spec.channel_names
  ]
           for name in records.index['id'].iloc[rows]]
  for each in files if job.peers_python else ():
    for png in each:
      pathlib.Path(png).read_bytes()  # now it is in the page cache
  content = {
      **dataclasses.asdict(job), 'pixels': path,
      'encoding': spec.encoding,
      'size': spec.image_size,
      'num_channels': spec.num_channels,
      'num_classes': spec.num_classes,
      'held_out': HELD_OUT,
      'files': files
  }
  job_path = os.path.join(job.scratch, 'job.json')
  pathlib.Path(job_path).write_text(json.dumps(content), encoding='utf-8')
  return job_path, {
      'count': len(rows),
      'sum': int(pixels.sum(dtype=np.int64)),
  }
