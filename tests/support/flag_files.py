"""The flag files beside the packages, as configurations."""

import json

from tests.support import prestarted
from trainer import config as config_lib

# Commands define flags of the same names, so each is read in its own process.
_READ = '''
import dataclasses, json, sys
from absl import flags
from hpa_records.runtime import flag_file
from trainer import config
from trainer.commands import train
flags.FLAGS([sys.argv[0], *flag_file.expand(sys.argv[1:])])
print(json.dumps({each.name: flags.FLAGS[each.name].value
                  for each in dataclasses.fields(config.Config)
                  if each.name != 'fold'}))
'''


def load(name: str) -> config_lib.Config:
  """Returns what hpa-train --flagfile=name trains."""
  done = prestarted.run(['-c', _READ, f'--flagfile={name}'])
  return config_lib.Config(**json.loads(done.stdout))
