"""known_issues: forged entries are ignored."""

import pytest

from hpa_records.conversion import convert
from hpa_records.conversion import shard_plan
from hpa_records.conversion.unfinished import known_issues
from hpa_records.conversion.unfinished import sidecar
from hpa_records.ingest import issue
from hpa_records.runtime import json_text
from tests.support import fakes


@pytest.mark.parametrize('sample_id', ['\0', '../../etc/passwd', 'a\nb', ''])
def test_an_issue_without_a_plain_id_is_ignored(tmp_path, sample_id):
  plan = shard_plan.Plan('images', str(tmp_path), shard_plan.Settings())
  folder = tmp_path / sidecar.UNFINISHED_NAME
  folder.mkdir()
  told = {'row': 2, 'id': sample_id, 'file': '', 'message': 'damaged'}
  (folder / 'issues.json').write_bytes(
      json_text.seal([{
          'issue': told,
          'stamps': [None] * 4
      }]))
  assert not known_issues.read(plan, {'s0': ('a.png',) * 4})


@pytest.mark.parametrize('sample_id,row', [('another', 2), ('s0', 2**70)])
def test_an_issue_of_no_sample_of_the_table_is_ignored(tmp_path, monkeypatch,
                                                       sample_id, row):
  source = fakes.write_source(tmp_path, 10)
  settings = shard_plan.Settings(image_size=24)
  plan = shard_plan.Plan(source[1], str(tmp_path / 'records'), settings)
  requested = {'another': ('a.png',), 's0': ('b.png',)}
  found = issue.Issue(row, sample_id, 'a.png', 'damaged')
  monkeypatch.setattr(convert.commit, 'complete',
                      lambda *_: known_issues.write(plan, [found], requested))
  how = convert.How(workers=1, on_error='skip')
  with monkeypatch.context() as patch:
    patch.setattr(convert.output_folder, 'tidy', lambda _: None)
    convert.convert(*source, plan.output, settings, how)
  monkeypatch.undo()
  assert known_issues.read(plan, requested) == [found]
  made = convert.convert(*source, plan.output, settings, how)
  assert (made.num_records, made.num_skipped) == (10, 0)
