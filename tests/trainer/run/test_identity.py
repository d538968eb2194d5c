"""identity: in what two runs differ."""

import dataclasses

from trainer import config
from trainer.run import identity


def test_differences_name_what_decides_the_numbers():
  one = config.Config(records='r', workdir='w')
  other = dataclasses.replace(one, seed=1, epochs=3, workdir='elsewhere')
  assert identity.find_differences(one.identity('a'), other.identity('b')) == [
      'seed 0, not 1', 'records a, not b'
  ]


def test_a_setting_that_is_younger_than_a_run_has_its_default():
  one = config.Config(records='r', workdir='w')
  other = dataclasses.replace(one, l1=0.5)
  before = one.identity('a')
  del before['l1']
  assert not identity.find_differences(before, one.identity('a'))
  assert identity.find_differences(before,
                                   other.identity('a')) == ['l1 0.0, not 0.5']
