"""file_pattern: names without their extensions."""

import pytest

from hpa_records.images import file_pattern


@pytest.mark.parametrize('name,stem', [
    ('a.png', 'a'),
    ('a.b.PNG', 'a.b'),
    ('a.ome.tif', 'a'),
    ('a.tif.gz', 'a'),
    ('a.TIFF.GZ', 'a'),
    ('a.jp2', 'a'),
    ('a.png.png', 'a.png'),
    ('a.csv', 'a.csv'),
    ('a', 'a'),
    ('.png', ''),
])
def test_extensions_are_removed(name, stem):
  assert file_pattern.strip_extension(name) == stem
