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
