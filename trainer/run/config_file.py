"""config.json: the settings of a run, and the dataset that it was made from."""

import dataclasses
import json
import re

from hpa_records.runtime import json_text
from trainer import config as config_lib

_FINGERPRINT = 'records_sha256'
_USER = re.compile(r'(?<=://)[^/@]*@')  # name and password in an address
_SHA256 = re.compile('[0-9a-f]{1,64}')


def format_json(config: config_lib.Config,
                fingerprint: str,
                reader: str = '') -> str:
  """Returns the text: all fields, and the dataset's fingerprint.

  Runs are shared, so no password or signature of an address is written.

  Args:
    config: of the run.
    fingerprint: sha256 of the dataset.
    reader: that was chosen, as of config.Config.identity.
  """
  content = {**dataclasses.asdict(config), _FINGERPRINT: fingerprint}
  content['reader'] = reader or config.reader
  if '://' in config.records:
    content['records'] = _USER.sub('', config.records).partition('?')[0]
  return json.dumps(content, indent=1) + '\n'


def parse_json(text: bytes | str) -> tuple[config_lib.Config, str]:
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
  return config_lib.Config(**content), fingerprint
