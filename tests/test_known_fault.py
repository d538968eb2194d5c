"""known_fault: a file of another's stops nothing, and leads nowhere."""

import json

import pytest

from hpa_records import known_fault
from hpa_records import shard_conversion
from hpa_records import shard_plan


@pytest.mark.parametrize('sample_id', ['\0', '../../etc/passwd', 'a\nb', ''])
def test_a_sample_without_a_plain_name_is_none(tmp_path, sample_id):
  plan = shard_plan.Plan('images', str(tmp_path), shard_plan.Settings())
  folder = tmp_path / shard_conversion.UNFINISHED_NAME
  folder.mkdir()
  told = {'row': 2, 'id': sample_id, 'file': '', 'message': 'damaged'}
  (folder / 'faults.json').write_text(
      json.dumps([{
          'fault': told,
          'stamps': [None] * 4
      }]))
  assert not known_fault.read(plan)
