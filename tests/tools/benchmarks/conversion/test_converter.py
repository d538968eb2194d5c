"""converter: what the floor of a conversion inflates."""

from benchmarks.conversion import converter

from hpa_records.synthetic import generator


def test_inflating_ends_with_a_filter_byte_a_row(tmp_path):
  generator.make(str(tmp_path), 1, size_px=128, workers=1)
  path = next((tmp_path / 'train').glob('*.png'))
  assert len(converter.inflate(path.read_bytes())) == 128 * 129
