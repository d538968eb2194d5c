"""Keeps the issues that decoding found, for a resumed conversion.

Without them a resumed conversion would start with the layout that contains the
invalid samples, and remove the shards of the layout without them.
"""

import dataclasses
import os
from typing import Mapping, Sequence

from hpa_records.conversion import shard_plan
from hpa_records.conversion import shard_writer
from hpa_records.conversion.unfinished import sidecar
from hpa_records.ingest import issue
from hpa_records.runtime import json_text
from hpa_records.storage import filesystem

_FORM = [{'issue': sidecar.ISSUE_FORM, 'stamps': list}]


def read(plan: shard_plan.Plan,
         requested: Mapping[str, Sequence[str]]) -> list[issue.Issue]:
  """Returns the issues that write wrote, for files that have not changed.

  Args:
    plan: of the conversion.
    requested: names of each sample's files, by id.

  Returns:
    [] also if there is no file or it is damaged.
  """
  path = _path(plan)
  try:
    content = json_text.unseal(filesystem.read_small(path) or b'')
    json_text.check_form(content, _FORM, path)
  except ValueError:
    return []  # decoding finds them again
  return [
      issue.Issue(**each['issue'])
      for each in content
      if each['issue']['id'] in requested and each['stamps'] ==
      shard_writer.stamps(plan, requested[each['issue']['id']])
  ]


def write(plan: shard_plan.Plan, issues: Sequence[issue.Issue],
          requested: Mapping[str, Sequence[str]]) -> None:
  """Writes issues to the folder .unfinished of the plan's output.

  Args:
    plan: of the conversion, whose output is locked.
    issues: all issues that decoding found so far.
    requested: as of read.
  """
  content = [{
      'issue': dataclasses.asdict(each),
      'stamps': shard_writer.stamps(plan, requested[each.id])
  } for each in issues]
  path = _path(plan)
  filesystem.write_atomically(path, json_text.seal(content),
                              os.path.dirname(path))


def _path(plan: shard_plan.Plan) -> str:
  return os.path.join(sidecar.unfinished_folder(plan.output), 'issues.json')
