"""progress: numbers of bytes in the unit that shows them."""

import pytest

from hpa_records import progress


@pytest.mark.parametrize('count,shown', [
    (0, '0 bytes'),
    (1, '1 byte'),
    (999, '999 bytes'),
    (1000, '1.00 KB'),
    (80_416, '80.4 KB'),
    (999_600, '1.00 MB'),
    (357_604_000, '358 MB'),
    (11_100_000_000, '11.1 GB'),
    (5.2e15, '5,200 TB'),
])
def test_bytes_are_shown_in_a_unit_that_shows_them(count, shown):
  assert progress.format_bytes(count) == shown
