"""describe_dataset: the command, and input that it refuses."""

from hpa_records.datasets import description
from hpa_records.synthetic import generator
from tests.support import prestarted


def _run(*words, code=0):
  done = prestarted.run(['tools/describe_dataset.py', *words])
  assert done.returncode == code, done.stderr
  return done.stdout if code == 0 else done.stderr


def test_a_draft_is_printed_or_written_once(tmp_path):
  generator.make(str(tmp_path), 4, size_px=64, workers=1)
  csv, images = tmp_path / 'train.csv', tmp_path / 'train'
  flags = [f'--csv={csv}', f'--images={images}']
  output = tmp_path / 'cells.toml'
  said = _run(*flags, f'--output={output}')
  assert said.endswith(f'then pass --dataset={output}\n')
  assert description.load(str(output)).name == 'cells'
  assert _run(*flags) == output.read_text().replace('"cells"', '"mine"')
  again = _run(*flags, f'--output={output}', code=2)
  assert 'cells.toml exists' in again and again.count('\n') == 1


def test_the_name_of_the_output_need_not_be_utf_8(tmp_path):
  generator.make(str(tmp_path), 1, size_px=64, workers=1)
  output = tmp_path / 'a\udcff\n.toml'
  said = _run(f'--images={tmp_path / "train"}', f'--output={output}')
  assert said.count(r'a\udcff') == 2
  assert description.load(str(output)).name == r'a\udcff\n'


def test_bad_input_is_one_line(tmp_path):
  (tmp_path / 'empty').mkdir()
  (tmp_path / 'empty' / 'notes.txt').write_text('')
  (tmp_path / 'head.csv').write_text('Id,Target\n')
  (tmp_path / 'twice.csv').write_text('Id,Id\n1,2\n')
  for words, message in (
      ((), '--csv and --images are missing'),
      ((f'--images={tmp_path}/none',), f'{tmp_path}/none'),
      ((f'--images={tmp_path}/empty',), 'No image files in'),
      ((f'--csv={tmp_path}/head.csv',), 'it has only a header'),
      ((f'--csv={tmp_path}/twice.csv',), 'add a header'),
      ((f'--csv={tmp_path}/head.csv', f'--output={tmp_path}/x.txt'),
       'to end in .toml'),
  ):
    said = _run(*words, code=2)
    assert message in said and said.count('\n') == 1, said
