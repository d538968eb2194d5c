"""The flag files beside the packages, as configurations."""

import json
import pathlib
import subprocess
import sys

from trainer import config as config_lib

_ROOT = pathlib.Path(__file__).parents[2]
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
  done = subprocess.run([sys.executable, '-c', _READ, f'--flagfile={name}'],
                        cwd=_ROOT,
                        check=True,
                        capture_output=True,
                        text=True)
  return config_lib.Config(**json.loads(done.stdout))
