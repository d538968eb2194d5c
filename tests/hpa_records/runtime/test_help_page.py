"""help_page: what a page says of each kind of flag."""

from absl import flags
import pytest

from hpa_records.runtime import help_page

flags.DEFINE_string('page_path', '', 'A file.')
flags.DEFINE_float('page_rate', 0.5, 'A rate.')
flags.DEFINE_bool('page_off', False, 'A switch.')
flags.DEFINE_bool('page_on', True, 'A switch.')
flags.DEFINE_enum('page_way', 'a', ('', 'a', 'b'), 'A way.')
flags.DEFINE_enum('page_told', 'aa', ('aa', 'bb'), 'aa: this; bb: that.')
flags.DEFINE_multi_string('page_each', [], 'Files.')
flags.DEFINE_string('page_of_a_very_long_name', 'default', 'Short.')
flags.DEFINE_string('page_of_another_very_long_name', 'default', 'Longer ' * 9)


@pytest.mark.parametrize('name,lines', [
    ('path', ['  --page_path            A file.']),
    ('rate', ['  --page_rate=0.5        A rate.']),
    ('off', ['  --page_off             A switch.']),
    ('on', ['  --page_on=true         A switch.']),
    ('way', ['  --page_way=a           A way. [a|b]']),
    ('told', ['  --page_told=aa         aa: this; bb: that.']),
    ('each', ['  --page_each            Files.']),
    ('of_a_very_long_name', ['  --page_of_a_very_long_name=default  Short.']),
    ('of_another_very_long_name', [
        '  --page_of_another_very_long_name=default',
        ' ' * 25 + ' '.join(['Longer'] * 8), ' ' * 25 + 'Longer'
    ]),
])
def test_a_flag_is_shown_with_default_values_and_help(name, lines):
  page = help_page.Page('Does it.\n', {'Group': [f'page_{name}']}).render()
  assert page.startswith('Does it.\n\nGroup\n')
  assert page.splitlines()[3:3 + len(lines)] == lines
  assert page.splitlines()[3 + len(lines)] == ''


def test_without_groups_all_flags_but_those_of_absl_are_shown():
  page = help_page.Page().render()
  assert '--page_rate' in page and '--page_each' in page
  assert '--verbosity' not in page and '--flagfile' in page
