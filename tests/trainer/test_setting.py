"""setting: a field is checked, a flag, and a line of the docs."""

import dataclasses

from absl import flags
import pytest

from hpa_records.runtime import errors
from trainer import config
from trainer import setting


@dataclasses.dataclass(frozen=True)
class _Kind:
  # The last group first: lists have the order of setting.GROUPS.
  test_decay: float = setting.define('Running',
                                     'A decay.',
                                     0.0,
                                     within=(0, 10),
                                     or_0=True,
                                     is_free=True)
  test_name: str = setting.define('Network', 'A name |n|.', 'x')
  test_rate: float = setting.define('Network', 'A rate.', 0.5, within=(0, 1))
  test_way: str = setting.define('Network',
                                 'A way.',
                                 'a',
                                 choices=('', 'a', 'b'))


_DECAY, _NAME, _RATE, _WAY = dataclasses.fields(_Kind)


@pytest.mark.parametrize('field,value,message', [
    (_RATE, 1, '--test_rate from 0 to below 1, received 1'),
    (_RATE, True, '--test_rate as a number, received .True'),
    (_WAY, 'c', "--test_way to be one of a, b, received 'c'"),
    (_WAY, 'a' * 10**5, '--test_way of at most .* characters'),
    (_DECAY, 1e-40, '--test_decay of 0, or at least 1e-30'),
])
def test_a_value_is_checked(field, value, message):
  with pytest.raises(errors.DataError, match=message):
    setting.check(field, value)


def test_a_value_that_is_allowed_passes():
  for field, value in ((_NAME, 'n'), (_RATE, 0), (_WAY, ''), (_WAY, 'b'),
                       (_DECAY, 0.0)):
    setting.check(field, value)


def test_a_flag_has_the_type_default_and_help_of_its_setting():
  for field in dataclasses.fields(_Kind):
    setting.define_flag(field)
  values = flags.FLAGS
  assert values['test_decay'].parser.parse('1e-3') == 1e-3
  assert values['test_way'].parser.enum_values == ['', 'a', 'b']
  assert [
      values[f'test_{name}'].default
      for name in ('name', 'rate', 'way', 'decay')
  ] == ['x', 0.5, 'a', 0.0]
  assert values['test_way'].help.endswith('A way.')


def test_the_table_has_a_line_a_setting_and_a_table_a_group():
  lines = setting.tabulate(_Kind).splitlines()
  assert [line for line in lines if line.startswith('**')
         ] == ['**Network**', '**Running**']
  assert lines[4] == r'| `--test_name` | `x` | a text | A name \|n\|. | no |'
  assert '| `--test_rate` | `0.5` | a number, from 0 to below 1 |' in lines[5]
  assert '| `a` | `a`, `b` |' in lines[6]
  assert '0, or from 1e-30 to below 10' in lines[-1]
  assert lines[-1].endswith('| yes |')


def test_settings_are_listed_by_group():
  assert setting.list_groups(_Kind) == {
      'Network': ['test_name', 'test_rate', 'test_way'],
      'Running': ['test_decay']
  }


@pytest.mark.parametrize('field',
                         dataclasses.fields(config.Config),
                         ids=lambda each: each.name)
def test_each_setting_of_a_training_is_whole(field):
  found = setting.of(field)
  assert found.help.endswith('.') and found.group
  if field.type in (int, float) and not field.name.startswith(
      ('balance_', 'max_repeat')):  # which Balance checks
    assert found.within
  if field.default is not dataclasses.MISSING:
    setting.check(field, field.default)


def test_what_may_change_on_resume_is_where_and_how_long():
  names = {
      each.name
      for each in dataclasses.fields(config.Config)
      if setting.of(each).is_free
  }
  assert names == {
      'records', 'stage_dir', 'workdir', 'epochs', 'distribute', 'cache',
      'cache_dir', 'cache_gb', 'check', 'data_service', 'tpu', 'xla',
      'steps_per_call', 'checkpoint_steps', 'profile', 'deterministic',
      'init_from', 'weights_file'
  }
