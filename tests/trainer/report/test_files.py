"""files: where a report is written, and what it replaces."""

import pytest

from hpa_records.runtime import errors
from hpa_records.storage import file_lock
from trainer.report import page
from trainer.run import workdir


@pytest.mark.parametrize('name', ['file', 'file/report', '/proc/none', 'full'])
def test_an_unwritable_report_is_refused_before_the_work(run, tmp_path, name):
  (run / 'fold0' / workdir.PREDICTIONS_NAME).unlink()  # the work would end here
  (tmp_path / 'file').touch()
  (tmp_path / 'full' / 'report.html').mkdir(parents=True)
  with pytest.raises(errors.DataError, match='Cannot write to .*--output'):
    page.write([str(run)], str(tmp_path / name))


def test_no_run_leaves_no_folder(tmp_path):
  with pytest.raises(errors.DataError, match='No finished fold'):
    page.write([str(tmp_path / 'none')], str(tmp_path / 'none'))
  assert not (tmp_path / 'none').exists()


def _write(output, *names):
  """Writes a report of these files."""
  page.prepare(str(output)).write('page', {name: b'' for name in names})


def test_a_report_removes_what_an_earlier_one_wrote_alone(tmp_path):
  folder = tmp_path / 'report'
  _write(tmp_path, 'other_metrics.csv', 'other_counts.csv')
  (folder / 'other_metrics.csv').write_text('changed')
  (folder / 'measurements.csv').write_text('mine')
  _write(tmp_path, 'run_metrics.csv')
  left = {path.name for path in folder.iterdir()}
  assert {'measurements.csv', 'other_metrics.csv', 'run_metrics.csv'} <= left
  assert 'other_counts.csv' not in left


@pytest.mark.parametrize('name', ['report.html', 'report/run_metrics.csv'])
def test_a_report_does_not_replace_a_file_that_is_not_its_own(tmp_path, name):
  path = tmp_path / name
  path.parent.mkdir(exist_ok=True)
  path.write_text('mine')
  with pytest.raises(errors.DataError, match=f'{path} exists, and no report'):
    _write(tmp_path, 'run_metrics.csv')
  assert path.read_text() == 'mine'
  assert {each.name for each in tmp_path.rglob('*')} <= {path.name, 'report'}


def test_a_report_is_not_written_into_while_another_is(tmp_path):
  place = page.prepare(str(tmp_path))
  _write(tmp_path, 'run_metrics.csv')  # after place looked
  with file_lock.hold(f'{tmp_path}/report/lock', ''):
    with pytest.raises(errors.DataError, match='Another report is being'):
      place.write('page', {'run_metrics.csv': b'2'})
  place.write('page', {'run_metrics.csv': b'2'})
  assert (tmp_path / 'report' / 'run_metrics.csv').read_text() == '2'
  assert not (tmp_path / 'report' / 'lock').exists()


def test_a_file_of_the_users_named_lock_stops_a_report(made, tmp_path):
  path = tmp_path / 'report' / 'lock'
  path.parent.mkdir()
  path.write_text('mine')
  with pytest.raises(errors.DataError, match=rf'name exists: .*\({path}\)'):
    page.write([str(made)], str(tmp_path), 0)
  assert [each.name for each in path.parent.iterdir()] == ['lock']
  assert path.read_text() == 'mine'


@pytest.mark.parametrize(
    'text',
    ['[', '[]', '{"a.csv": 1}', '{"../outside.csv": ["0"]}', '{"..": []}'])
def test_a_damaged_list_of_files_is_refused(made, tmp_path, text):
  (tmp_path / 'report').mkdir()
  (tmp_path / 'report' / 'files.json').write_text(text)
  with pytest.raises(errors.DataError, match='is not the list of an earlier'):
    page.write([str(made)], str(tmp_path), 0)


def test_a_report_is_not_written_through_a_link(made, tmp_path):
  (tmp_path / 'elsewhere').mkdir()
  (tmp_path / 'report').symlink_to(tmp_path / 'elsewhere')
  with pytest.raises(errors.DataError, match='is a link'):
    page.write([str(made)], str(tmp_path), 0)
  assert not list((tmp_path / 'elsewhere').iterdir())
