"""kernels: a GPU's streams are summed by name, and what XLA launched."""

from benchmarks.device import kernels
import pytest

from hpa_records.runtime.tensorflow import tf

# pylint: disable=no-name-in-module,no-member


def _write(folder, planes):
  """Writes {plane: {line: [(event, start ps, duration ps, is XLA's)]}}."""
  from tensorflow.tsl.profiler.protobuf import xplane_pb2  # pylint: disable=import-outside-toplevel
  space = xplane_pb2.XSpace()
  for name, lines in planes.items():
    plane = space.planes.add(name=name)
    plane.stat_metadata[7].name = 'hlo_op'
    names = sorted({event[0] for events in lines.values() for event in events})
    for number, event in enumerate(names, 1):
      plane.event_metadata[number].name = event
    for title, events in lines.items():
      line = plane.lines.add(name=title, timestamp_ns=5)
      for event, start, duration, is_xla in events:
        added = line.events.add(metadata_id=names.index(event) + 1,
                                offset_ps=start,
                                duration_ps=duration)
        if is_xla:
          added.stats.add(metadata_id=7, str_value='fusion.1')
  path = folder / 'plugins' / 'profile' / 'now' / 'vm.xplane.pb'
  path.parent.mkdir(parents=True)
  path.write_bytes(space.SerializeToString())


def test_streams_of_a_gpu_are_summed(tmp_path):
  second = 10**9
  _write(
      tmp_path, {
          '/host:CPU': {
              'python': [('call', 0, 90 * second, False)]
          },
          '/device:GPU:0': {
              'Stream #1': [('conv', 0, second, True),
                            ('conv', 2 * second, second, True)],
              'Stream #2': [('copy', 3 * second, second, False)],
              'Steps': [('1', 0, 50 * second, False)],
          },
      })
  assert kernels.read(tmp_path) == {
      'plane': '/device:GPU:0',
      'busy_ms': 3.0,
      'span_ms': 4.0,
      'xla_ms': 2.0,
      'kernels': [('conv', 2.0, 2), ('copy', 1.0, 1)],
  }


def test_a_real_profile_without_a_gpu_has_the_hosts_events(tmp_path):
  tf.profiler.experimental.start(str(tmp_path))
  tf.linalg.matmul(tf.ones([99, 99]), tf.ones([99, 99])).numpy()
  tf.profiler.experimental.stop()
  found = kernels.read(tmp_path)
  assert found['busy_ms'] > 0 and found['span_ms'] > 0
  assert 'MatMul' in ' '.join(name for name, _, _ in found['kernels'])


def test_without_a_profile_the_folder_is_named(tmp_path):
  with pytest.raises(FileNotFoundError, match='No .*xplane.pb below /'):
    kernels.read(tmp_path)
  _write(tmp_path, {'/host:CPU': {}})
  with pytest.raises(ValueError, match='has no event'):
    kernels.read(tmp_path)
