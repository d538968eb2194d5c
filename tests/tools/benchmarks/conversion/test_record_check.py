"""record_check: other work than the converter's is found."""

from benchmarks.conversion import record_check
import numpy as np
import pytest

from hpa_records.format import example
from hpa_records.format import tfrecord
from tests.support import fakes


def _write_record(path, sample_id, num_bytes):
  pixels = np.zeros(num_bytes, np.uint8)
  head = example.encode_head(example.Sample(sample_id, pixels))
  tfrecord.write(str(path), [(head, pixels)])


@pytest.mark.parametrize('sample_id,num_bytes', [('b', 16), ('a', 15)])
def test_records_of_other_work_are_found(tmp_path, sample_id, num_bytes):
  path = tmp_path / 'records'
  _write_record(path, 'a', 16)
  sample = {'id': 'a', 'labels': [0] * 28, 'files': ['r', 'g', 'b', 'y']}
  count, pixels = record_check.read(str(path), sample, 2)
  assert (count, pixels.shape) == (1, (2, 2, 4))
  _write_record(path, sample_id, num_bytes)
  with pytest.raises(RuntimeError, match='Expected a with .* among the 1 rec'):
    record_check.read(str(path), sample, 2)


def test_other_pixels_or_swapped_channels_are_found():
  ours = fakes.image(0)
  for same in (ours, np.zeros_like(ours)):
    assert record_check.compare({'b': same, 'a': same}, 'b')['a'] == 0
  faint = ours // 64  # its channels lie less than 4 apart
  for image, other in ((ours, ours // 2), (ours, ours.swapaxes(0, 1)),
                       (faint, faint[..., [1, 0, 2, 3]])):
    with pytest.raises(RuntimeError, match='pixels of a within 4.0 of b'):
      record_check.compare({'b': image, 'a': other}, 'b')
