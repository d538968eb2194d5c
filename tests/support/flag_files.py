"""The flag files beside the packages, as configurations."""

import json
from typing import Any

from tests.support import prestarted
from trainer import config as config_lib
from trainer.pretraining import settings as settings_lib

# Commands define flags of the same names, so each is read in its own process.
_READ = '''
import json, sys
from absl import flags
from hpa_records.runtime import flag_file
from trainer.commands import COMMAND
flags.FLAGS([sys.argv[0], *flag_file.expand(sys.argv[1:])])
print(json.dumps({each.name: flags.FLAGS[each.name].value
                  for each in COMMAND._SETTINGS if each.name != 'fold'}))
'''


def load(name: str) -> config_lib.Config:
  """Returns what hpa-train --flagfile=name trains."""
  return config_lib.Config(**_read(name, 'train'))


def load_pretraining(name: str) -> settings_lib.Settings:
  """Returns what hpa-pretrain --flagfile=name trains."""
  return settings_lib.Settings(**_read(name, 'pretrain'))


def _read(name: str, command: str) -> dict[str, Any]:
  code = _READ.replace('COMMAND', command)
  done = prestarted.run(['-c', code, f'--flagfile={name}'])
  return json.loads(done.stdout)
