"""Issues that decoding found in an earlier run, in files still the same.

Without them a conversion that was cut off would make the first layout again,
over the shards of the second.
"""

import dataclasses
import os
from typing import Sequence

from hpa_records.conversion import shard_plan
from hpa_records.conversion import shard_writer
from hpa_records.ingest import issue
from hpa_records.runtime import json_text
from hpa_records.runtime import printable
from hpa_records.storage import filesystem

_FORM = [{'issue': shard_writer.ISSUE_FORM, 'stamps': list}]


def read(plan: shard_plan.Plan) -> list[issue.Issue]:
  """Returns the issues that write kept; [] if there are none, or damaged."""
  path = _path(plan)
  try:
    told = json_text.unseal(filesystem.read_small(path) or b'')
    json_text.check_form(told, _FORM, path)
  except ValueError:
    return []  # damaged: they are found again
  return [
      issue.Issue(**each['issue'])
      for each in told
      if not printable.find_name_issue(each['issue']['id']) and
      each['stamps'] == shard_writer.stamps(plan, each['issue']['id'])
  ]


def write(plan: shard_plan.Plan, issues: Sequence[issue.Issue]) -> None:
  """Keeps issues in the folder .unfinished of a plan's output.

  Args:
    plan: of the conversion, locked.
    issues: all that decoding found so far.
  """
  told = [{
      'issue': dataclasses.asdict(each),
      'stamps': shard_writer.stamps(plan, each.id)
  } for each in issues]
  path = _path(plan)
  filesystem.write_atomically(path, json_text.seal(told), os.path.dirname(path))


def _path(plan: shard_plan.Plan) -> str:
  return os.path.join(shard_writer.unfinished_folder(plan.output),
                      'issues.json')
