"""config.json: the settings of a run, and the dataset that it was made from.

training/preparation compares those of a folder's config.json, checkpoint_file
those of each checkpoint, finished_run those of the folds of a run.
"""

import dataclasses
import json
import re
from typing import Any

from hpa_records.runtime import json_text
from hpa_records.runtime import printable
from trainer import config as config_lib
from trainer.recipe import baseline

_FINGERPRINT = 'records_sha256'
_USER = re.compile(r'(?<=://)[^/@]*@')  # name and password in an address
# Of differences, and of the name of a setting: both may be of a stranger.
_MOST_SHOWN, _MOST_LETTERS = 40, 80
_SHA256 = re.compile('[0-9a-f]{1,64}')
# Of a run of a network, or of a classifier of descriptors.
Settings = config_lib.Config | baseline.Baseline
_DEFAULTS = {
    field.name: field.default
    for field in dataclasses.fields(config_lib.Config)
    if field.default is not dataclasses.MISSING
}


def format_json(config: Settings, fingerprint: str, reader: str = '') -> str:
  """Returns the text: all fields, and the dataset's fingerprint.

  Runs are shared, so no password or signature of an address is written.

  Args:
    config: of the run.
    fingerprint: sha256 of the dataset.
    reader: that was chosen, as of config.Config.identity; '' without a network.
  """
  content = {**dataclasses.asdict(config), _FINGERPRINT: fingerprint}
  if reader:
    content['reader'] = reader
  if '://' in config.records:
    content['records'] = _USER.sub('', config.records).partition('?')[0]
  return json.dumps(content, indent=1) + '\n'


def parse_json(text: bytes | str) -> tuple[Settings, str]:
  """Returns the configuration and the fingerprint of a text of format_json.

  Raises:
    ValueError: text is no JSON object with a fingerprint, or a value is of
      another type or out of range.
    TypeError: a field is unknown or missing.
  """
  content = json_text.parse(text)
  json_text.check_form(content, {_FINGERPRINT: str}, 'configuration')
  fingerprint = content.pop(_FINGERPRINT)
  if not _SHA256.fullmatch(fingerprint):
    raise ValueError(f'{_FINGERPRINT}: received {fingerprint!r:.80}')
  is_baseline = baseline.CLASSIFIER in content
  kind = baseline.Baseline if is_baseline else config_lib.Config
  return kind(**content), fingerprint


def find_differences(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
  """Returns 'name one, not other' for each setting that differs.

  A setting that one does not have is younger than it, and has its default.

  Args:
    one: Config.identity of one run.
    other: Config.identity of the other.
  """

  def get(values, name):
    return values.get(name, _DEFAULTS.get(name))

  def show(values, name):
    value = get(values, name)
    return str(value)[:12] if name == config_lib.RECORDS else f'{value!r:.200}'

  names = [
      name for name in {
          **one,
          **other
      } if get(one, name) != get(other, name)
  ]
  found = [
      f'{printable.escape_line(name)[:_MOST_LETTERS]} {show(one, name)}, not '
      f'{show(other, name)}' for name in names[:_MOST_SHOWN]
  ]
  left = len(names) - _MOST_SHOWN
  return [*found, f'{left:,} more'] if left > 0 else found
