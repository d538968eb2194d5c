"""litter: files that an operating system puts beside others."""

import pytest

from hpa_records.storage import litter


@pytest.mark.parametrize('name,is_litter', [
    ('._x.png', True),
    ('a/.DS_Store', True),
    ('.DS_Store', True),
    ('Thumbs.db', True),
    ('x/desktop.ini', True),
    ('.directory', True),
    ('a/._b/c.png', False),
    ('.x.png', False),
    ('a.png', False),
    ('_a', False),
    ('.a', False),
    ('DS_Store', False),
    ('', False),
])
def test_is_litter(name, is_litter):
  assert litter.is_litter(name) == is_litter
