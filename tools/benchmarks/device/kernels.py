"""Sums a profile's time by kernel, as JSON; a child of the measurement.

  python -m benchmarks.device.kernels FOLDER

FOLDER has the *.xplane.pb of TensorFlow's profiler, whose form comes with
TensorFlow. On a GPU the events of its streams are summed: kernels and copies;
without one the events of all host threads, where an event may lie in another.
"""

import collections
import json
import pathlib
import sys
from typing import Any

_MOST = 15  # kernels that are named
_MOST_LETTERS = 100  # of a name


def read(folder: str) -> dict[str, Any]:
  """Returns the sums of the newest profile below a folder.

  Args:
    folder: with *.xplane.pb somewhere in it.

  Returns:
    plane: name of the device; busy_ms: sum over all events; span_ms: from the
    first event to the end of the last; xla_ms: the part of busy_ms in kernels
    that XLA launched; kernels: (name, milliseconds, number) of those with the
    most time.

  Raises:
    FileNotFoundError: there is no profile.
    ValueError: the profile has no event.
  """
  # pylint: disable=import-outside-toplevel,no-name-in-module,no-member
  from tensorflow.tsl.profiler.protobuf import xplane_pb2
  paths = sorted(pathlib.Path(folder).rglob('*.xplane.pb'))
  if not paths:
    raise FileNotFoundError(f'No *.xplane.pb below {folder}.')
  space = xplane_pb2.XSpace()
  space.ParseFromString(paths[-1].read_bytes())
  gpus = [plane for plane in space.planes if 'GPU' in plane.name]
  hosts = [plane for plane in space.planes if plane.name == '/host:CPU']
  for plane in gpus + hosts:
    if any(line.events for line in plane.lines):
      return _sum(plane, is_gpu=plane in gpus)
  raise ValueError(f'{paths[-1]} has no event of a GPU or of the host.')


def _sum(plane, is_gpu: bool) -> dict[str, Any]:
  """Sums the events of a plane; see read."""
  total, number = collections.Counter(), collections.Counter()
  xla_ps, starts, ends = 0, [], []
  for line in plane.lines:
    if is_gpu and not line.name.startswith('Stream'):
      continue
    for event in line.events:
      name = plane.event_metadata[event.metadata_id].name[:_MOST_LETTERS]
      total[name] += event.duration_ps
      number[name] += 1
      if any(plane.stat_metadata[stat.metadata_id].name == 'hlo_op'
             for stat in event.stats):
        xla_ps += event.duration_ps
      starts.append(line.timestamp_ns * 1000 + event.offset_ps)
      ends.append(starts[-1] + event.duration_ps)
  return {
      'plane':
          plane.name,
      'busy_ms':
          sum(total.values()) / 1e9,
      'span_ms': (max(ends) - min(starts)) / 1e9 if ends else 0.0,
      'xla_ms':
          xla_ps / 1e9,
      'kernels': [(name, value / 1e9, number[name])
                  for name, value in total.most_common(_MOST)],
  }


if __name__ == '__main__':
  print(json.dumps(read(sys.argv[1])), flush=True)
