"""tools/docs/write_reference.py: docs/reference.md says what the code says."""

import pytest

from tools.docs import write_reference


def test_the_reference_is_up_to_date():
  text = write_reference.PATH.read_text(encoding='utf-8')
  assert write_reference.render(text) == text, (
      'run python tools/docs/write_reference.py')


def test_other_sections_stay():
  text = '# A\n\nb\n\n## Flags of training\n\nstale\n\n## Files\n\nc\n'
  found = write_reference.render(text)
  assert found.startswith('# A\n\nb\n\n## Flags of training\n')
  assert found.endswith('|\n\n## Files\n\nc\n') and 'stale' not in found
  assert write_reference.render(found) == found


def test_a_text_without_the_section_is_refused():
  with pytest.raises(ValueError, match='Expected the heading'):
    write_reference.render('# A\n')
