"""config_file: what a run's settings are read from and written to."""

import dataclasses

import pytest

from trainer import config as config_lib
from trainer.run import config_file

_CONFIG = config_lib.Config('records', 'workdir')


def test_json_gives_the_same_configuration_back():
  other = dataclasses.replace(_CONFIG, fold=3, l2=1e-5, activation='elu')
  assert config_file.parse_json(config_file.format_json(other,
                                                        'abc')) == (other,
                                                                    'abc')


@pytest.mark.parametrize(
    'text', ['[' * 10**5, '[]', 'null', '{}', '{"records_sha256": 1}'])
def test_json_that_is_no_configuration_is_refused(text):
  with pytest.raises(ValueError):
    config_file.parse_json(text)


@pytest.mark.parametrize('records,kept', [
    ('https://me:secret@host/records?sig=secret', 'https://host/records'),
    ('s3://bucket/records', 's3://bucket/records'),
    ('/data/a@b?/records', '/data/a@b?/records'),
])
def test_secrets_of_an_address_are_not_written(records, kept):
  config = dataclasses.replace(_CONFIG, records=records)
  text = config_file.format_json(config, 'a')
  found, _ = config_file.parse_json(text)
  assert found.records == kept and 'secret' not in text


def test_the_reader_that_was_chosen_is_kept_and_compared():
  auto = _CONFIG.identity('abc', 'streaming')
  assert auto['reader'] == 'streaming' and auto['records'] == 'abc'
  assert _CONFIG.common('streaming')['reader'] == 'streaming'
  found, _ = config_file.parse_json(
      config_file.format_json(_CONFIG, 'abc', 'streaming'))
  assert found.identity('abc') == auto != _CONFIG.identity('abc', 'indexed')


def test_differences_name_what_decides_the_numbers():
  one = config_lib.Config(records='r', workdir='w')
  other = dataclasses.replace(one, seed=1, epochs=3, workdir='elsewhere')
  assert config_file.find_differences(
      one.identity('a'),
      other.identity('b')) == ['seed 0, not 1', 'records a, not b']


def test_differences_of_a_stranger_are_one_short_line():
  one = {f'\n\x1b[31m{number}': number for number in range(10**4)}
  found = config_file.find_differences({'k' * 10**6: 1, **one}, {})
  assert len(found) == 41 and found[-1] == '9,961 more'
  assert max(map(len, found)) < 200
  assert found[0].startswith('kkkk') and ''.join(found).isprintable()


def test_a_setting_that_is_younger_than_a_run_has_its_default():
  one = config_lib.Config(records='r', workdir='w')
  other = dataclasses.replace(one, l1=0.5)
  before = one.identity('a')
  del before['l1']
  assert not config_file.find_differences(before, one.identity('a'))
  assert config_file.find_differences(
      before, other.identity('a')) == ['l1 0.0, not 0.5']
