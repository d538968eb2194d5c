"""export: a run of three folds as files that other programs open."""

import contextlib
import http.server
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import threading

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest

from hpa_records.datasets import description
from hpa_records.ingest import input_tables
from hpa_records.ingest import sample_table
from hpa_records.reading import inference_source
from hpa_records.runtime import errors
from hpa_records.runtime import json_text
from hpa_records.runtime.tensorflow import tf
from tests.support import fakes
from tests.support import prestarted
from tests.support import runs
from trainer import strategy
from trainer.export import export
from trainer.model import model_file
from trainer.prediction import ensemble
from trainer.prediction import predict
from trainer.scoring import thresholds

_SIZE = 32
_FOLDS = 3
# Before a program that can import neither package.
_FOREIGN = '''
import sys
class Blocker:
  def find_spec(self, name, *_):
    if name.split('.')[0] in ('trainer', 'hpa_records'):
      raise ImportError(name)
sys.meta_path.insert(0, Blocker())
for name in ('trainer', 'hpa_records'):
  try:
    __import__(name)
  except ImportError:
    continue
  raise SystemExit(f'{name} can be imported')
'''


def run_foreign(code, cwd, is_fresh=False):
  """Runs a program without this package, returns what it printed.

  Args:
    code: of the program.
    cwd: folder to run it in.
    is_fresh: whether its process has imported nothing before.
  """
  environment = {name: os.environ[name] for name in ('PATH', 'HOME')}
  words = ['-c', f'{_FOREIGN}\n{code}']
  if is_fresh:
    done = subprocess.run([sys.executable, '-I', *words],
                          cwd=cwd,
                          env=environment,
                          capture_output=True,
                          text=True,
                          check=False)
  else:
    done = prestarted.run(words, cwd, environment)
  assert done.returncode == 0, done.stderr
  return done.stdout


def predict_files(found, images, tta):
  """Returns probabilities by id, of --images."""
  described = description.of_settings(found.settings, found.classes)
  loaded = sample_table.load('', images,
                             input_tables.How(described, unlabelled=True))
  models = predict.Models(found, strategy.make('cpu'), 'last')
  with inference_source.Files(loaded, images, found.load_how(described),
                              'stop') as files:
    made = models.predict(files, tta, 16)
  return pd.DataFrame(made.predictions, made.ids)


@pytest.fixture(name='folder', scope='module')
def _folder(tmp_path_factory):
  """A run of three folds on 40 samples, reduced to 32 px, and its export."""
  folder = tmp_path_factory.mktemp('export')
  records = fakes.write_records(folder, 40, _SIZE, num_folds=_FOLDS)
  runs.train_folds(records, folder / 'run', _FOLDS)
  export.write(str(folder / 'run'), str(folder / 'model'),
               export.Choice(threshold='f1'))
  return folder


@pytest.fixture(name='wanted', scope='module')
def _wanted(folder):
  """What predict gives for the images of the run, by its folds."""
  return predict_files(ensemble.load([str(folder / 'run')]),
                       str(folder / 'train'), 'dihedral')


@pytest.fixture(name='pixels', scope='module')
def _pixels(wanted):
  return np.stack([fakes.image(int(each[1:]), _SIZE) for each in wanted.index])


def _run_predict(*flags):
  done = runs.call('tools/predict.py', *flags)
  assert done.returncode == 0, done.stderr
  return done.stdout


def test_the_exported_folder_predicts_as_the_run(folder, wanted, tmp_path):
  shutil.copytree(folder / 'model', tmp_path / 'model')
  images = f'--images={folder / "train"}'
  printed = _run_predict(f'--model={tmp_path / "model"}', images,
                         f'--output={tmp_path / "new.csv"}')
  assert f'40 images, 0 skipped, mean of {_FOLDS} models' in printed
  assert '40 of these 40 images, by their ids, were trained on' in printed
  _run_predict(f'--workdir={folder / "run"}', images, '--threshold=f1',
               f'--output={tmp_path / "of_run.csv"}')
  for name in ('', '_predictions'):
    assert (tmp_path /
            f'new{name}.csv').read_text() == (tmp_path /
                                              f'of_run{name}.csv').read_text()
  table = pd.read_csv(tmp_path / 'new_predictions.csv', index_col='Id')
  np.testing.assert_allclose(table, wanted, atol=1e-5)


def test_thresholds_are_those_of_the_export_or_a_number(folder):
  found = ensemble.load_exported(str(folder / 'model'))
  of_run = ensemble.load([str(folder / 'run')])
  np.testing.assert_array_equal(found.choose_thresholds(''),
                                of_run.choose_thresholds('f1'))
  assert found.choose_thresholds('0.25') == 0.25
  for rule in thresholds.RULES:
    with pytest.raises(errors.DataError, match=f'--threshold={rule} is chosen'):
      found.choose_thresholds(rule)


def test_other_programs_open_saved_model_and_keras_files(
    folder, wanted, pixels, tmp_path):
  np.save(tmp_path / 'pixels.npy', pixels)
  run_foreign(
      f'''
import glob, numpy as np, tensorflow as tf, keras
pixels = np.load('pixels.npy')
model = tf.saved_model.load({str(folder / 'model/saved_model')!r})
found = dict(model.signatures['pixels'](pixels=tf.constant(pixels)))
found |= model.signatures['embed'](pixels=tf.constant(pixels))
files = [[open(f'{folder}/train/{{name}}_{{channel}}.png', 'rb').read()
          for channel in ('red', 'green', 'blue', 'yellow')]
         for name in {wanted.index.tolist()!r}]
of_files = model.signatures['serving_default'](files=tf.constant(files))
found['of_files'] = of_files['probabilities']
for i, path in enumerate(sorted(glob.glob({str(folder / 'model/folds/*')!r}))):
  fold = keras.models.load_model(path)
  found[f'fold{{i}}'] = fold.predict(pixels, verbose=0)
np.savez('found.npz', **{{key: np.array(each) for key, each in found.items()}})
''', tmp_path, True)
  with np.load(tmp_path / 'found.npz') as file:
    found = dict(file)
  np.testing.assert_allclose(found['probabilities'], wanted, atol=1e-5)
  np.testing.assert_allclose(found['of_files'], wanted, atol=1e-5)
  cuts = model_file.load(str(folder / 'model')).threshold
  np.testing.assert_array_equal(found['labels'], found['probabilities'] > cuts)
  assert found['averages'].shape == (40, _FOLDS, 224)
  assert found['hidden'].shape == (40, _FOLDS, 256)
  plain = predict_files(ensemble.load_exported(str(folder / 'model')),
                        str(folder / 'train'), 'none')
  folds = [found[f'fold{i}'] for i in range(_FOLDS)]
  assert np.ptp(folds, axis=0).max() > 1e-3
  np.testing.assert_allclose(np.mean(folds, 0), plain, atol=1e-5)


def test_onnx_gives_the_numbers_of_the_saved_model(folder, pixels):
  path = str(folder / 'model/model.onnx')
  session = onnxruntime.InferenceSession(path)
  loaded = tf.saved_model.load(str(folder / 'model/saved_model'))
  for count in (1, 40):
    found, = session.run(None, {'pixels': pixels[:count]})
    same = loaded.signatures['pixels'](pixels=tf.constant(pixels[:count]))
    np.testing.assert_allclose(found, same['probabilities'], atol=1e-4)
  stored = {each.key: each.value for each in onnx.load(path).metadata_props}
  stored = {key: json.loads(each) for key, each in stored.items()}
  spec = description.default().spec(_SIZE)
  assert stored['channels'] == list(spec.channel_names)
  assert stored['classes'] == list(spec.classes)
  assert stored['image_size'] == _SIZE and stored['resize'] == 'triangle'
  assert len(stored['threshold']) == 28
  assert [each['fold'] for each in stored['scaling']['folds']
         ] == [*range(_FOLDS)]


def _find_snippets(path):
  return re.findall(r'^```python\n(.*?)^```$', path.read_text(),
                    re.DOTALL | re.MULTILINE)


@contextlib.contextmanager
def serve(directory):
  """Answers as TensorFlow Serving's REST does, by a SavedModel's signatures."""
  loaded = tf.saved_model.load(str(directory))

  class Handler(http.server.BaseHTTPRequestHandler):

    def do_POST(self):
      assert self.path == '/v1/models/hpa:predict'
      size = int(self.headers['Content-Length'])
      body = json_text.parse(self.rfile.read(size))
      signature = loaded.signatures[body['signature_name']]
      (name, spec), = signature.structured_input_signature[1].items()
      found = signature(**{name: tf.constant(body['instances'], spec.dtype)})
      rows = [{
          key: each[i].numpy().tolist() for key, each in found.items()
      } for i in range(len(body['instances']))]
      self.send_response(200)
      self.end_headers()
      self.wfile.write(json.dumps({'predictions': rows}).encode())

    def log_message(self, *_):
      pass

  server = http.server.ThreadingHTTPServer(('localhost', 0), Handler)
  thread = threading.Thread(target=server.serve_forever)
  thread.start()
  try:
    yield server.server_port
  finally:
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_snippets_of_the_card_run_as_they_stand(folder):
  card = folder / 'model/README.md'
  python, serving, of_onnx = _find_snippets(card)
  assert all(len(each.splitlines()) == 5 for each in (python, serving, of_onnx))
  assert '[[' in run_foreign(python, folder / 'model')
  assert '[[' in run_foreign(of_onnx, folder / 'model')
  with serve(folder / 'model/saved_model') as port:
    printed = run_foreign(serving.replace(':8501', f':{port}'),
                          folder / 'model')
  rows = eval(printed)  # pylint: disable=eval-used
  np.testing.assert_allclose(rows[0]['probabilities'],
                             np.load(folder / 'model/test_output.npy')[0],
                             atol=1e-5)


def test_the_card_has_the_metrics_of_the_run(folder):
  text = (folder / 'model/README.md').read_text()
  for each in ('## Data', '## Metrics', '## Classes', '## Limits', 'CC BY-SA',
               'fold 0, fold 1, fold 2', 'activation=prelu', 'Rods & rings',
               'have no groups', '40 images in the held-out'):
    assert each in text, each
  metrics = json.loads((folder / 'run/fold0/metrics.json').read_text())
  values = [
      json.loads((folder / f'run/fold{i}/metrics.json').read_text())
      for i in range(_FOLDS)
  ]
  assert metrics['f1_micro'] is not None
  for name, title in (('auc_macro', 'AUC macro'), ('f1_micro', 'F1 micro')):
    mean = np.mean([each[name] for each in values])
    assert re.search(rf'\| {title} \| {mean:.3f} \| .*–', text)
  cuts = model_file.load(str(folder / 'model')).threshold
  for number, cut in enumerate(cuts):
    assert re.search(rf'^\| {number} \|.*\| {cut:.4g} \|$', text, re.MULTILINE)
  assert len(re.findall(r'^\|.*\|$', text, re.MULTILINE)) == 2 + 11 + 2 + 28


def test_bioimage_io_validates_and_runs_it(folder):
  printed = run_foreign(
      '''
import socket, warnings
warnings.simplefilter('ignore')
def refuse(*_, **__):
  raise OSError('no network')
socket.socket.connect = refuse
import bioimageio.spec, bioimageio.core
found = bioimageio.spec.load_description('bioimageio.yaml')
print(type(found).__name__)
print(bioimageio.core.test_model(found).status)
''', folder / 'model')
  assert printed.split()[-2:] == ['ModelDescr', 'passed'], printed


def _edit(path, **changes):
  content = json.loads(path.read_text())
  content.update(changes)
  path.write_text(json.dumps(content))


@pytest.fixture(name='copy')
def _copy(folder, tmp_path):
  """The exported folder, to damage."""
  return pathlib.Path(shutil.copytree(folder / 'model', tmp_path / 'copy'))


@pytest.mark.parametrize('changes,message', [
    ({
        'version': 2
    }, 'version: expected 1, received 2'),
    ({
        'tta': 'all'
    }, 'tta: expected dihedral or dihedral_max or none'),
    ({
        'threshold': None
    }, 'threshold: received None with --loss=bce'),
    ({
        'threshold': [0.5]
    }, 'threshold: expected 28 numbers'),
    ({
        'threshold': 7
    }, 'threshold: received'),
    ({
        'folds': []
    }, 'folds: received'),
    ({
        'folds': [{
            'number': 0,
            'epoch': 1,
            'pixels': {}
        }] * 2
    }, 'folds: received'),
    ({
        'folds': [{
            'number': 0,
            'epoch': 1,
            'pixels': {
                'mean': [1.0],
                'std': [1.0]
            }
        }]
    }, 'mean: received'),
    ({
        'about': {}
    }, 'device: received None'),
    ({
        'config': {}
    }, 'records_sha256: received None'),
    ({
        'files': {
            'a': [1]
        }
    }, "files: 'a': received"),
])
def test_a_hostile_model_json_is_refused_in_one_line(copy, changes, message):
  _edit(copy / 'model.json', **changes)
  with pytest.raises(errors.DataError, match=message) as caught:
    ensemble.load_exported(str(copy))
  assert '\n' not in str(caught.value)


def test_a_folder_that_is_not_whole_is_refused(copy):
  path = copy / 'folds/fold2.keras'
  data = bytearray(path.read_bytes())
  data[5000] ^= 1
  path.write_bytes(data)
  found = ensemble.load_exported(str(copy))
  with pytest.raises(errors.DataError, match='fold2.keras is missing or was c'):
    predict.Models(found, strategy.make('cpu'), 'last')
  files = json.loads((copy / 'model.json').read_text())['files']
  for name in ('folds/fold0.keras', 'samples.npz'):
    del files[name]
    _edit(copy / 'model.json', files=files)
    with pytest.raises(errors.DataError, match=f'does not list {name}'):
      found = ensemble.load_exported(str(copy))
      predict.Models(found, strategy.make('cpu'), 'last')
  (copy / 'model.json').unlink()
  with pytest.raises(errors.DataError, match='not a whole exported model: it'):
    ensemble.load_exported(str(copy))


def test_weights_of_another_network_are_refused(copy):
  content = json.loads((copy / 'model.json').read_text())
  content['config']['variant'] = 'kaggle'
  content['about']['records']['image_size'] = 149
  (copy / 'model.json').write_text(json.dumps(content))
  found = ensemble.load_exported(str(copy))
  with pytest.raises(errors.DataError, match='fold0.keras is of another netw'):
    predict.Models(found, strategy.make('cpu'), 'last')


def _run_tool(*flags, code=''):
  program = f'{code}; import runpy; runpy.run_path("tools/export.py", ' \
            'run_name="__main__")'
  return prestarted.run(['-c', f'import sys{program}', *flags])


@pytest.mark.parametrize('flags,message', [
    ([], '--workdir is missing'),
    (['--output={folder}/new', '--folds=0,0'], 'received --folds=0,0'),
    (['--output={folder}/new', '--folds=first'], 'received --folds=first'),
    (['--output={folder}/run'], 'are the same path'),
    (['--output={folder}/run/fold0/x'], 'is inside the input folder'),
    (['--output={folder}/train'], 'is not a file of an exported model'),
    (['--output={folder}/model'], 'replace it with --overwrite'),
])
def test_wrong_flags_are_one_line_and_nothing_is_written(
    folder, flags, message):
  before = sorted(folder.iterdir())
  of_run = [f'--workdir={folder}/run'] if flags else []
  done = _run_tool(*of_run, *(each.format(folder=folder) for each in flags))
  assert done.returncode == 2 and message in done.stderr
  assert len(done.stderr.splitlines()) == 1
  assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize('name,choice,message', [
    ('run', export.Choice((0, 7)), 'has no finished fold 7; finished are 0, 1'),
    ('.', export.Choice(), 'No finished fold in'),
    ('run', export.Choice(weights='best', threshold='f1'),
     'Expected --weights=last with --threshold=f1'),
])
def test_what_a_run_does_not_have_is_refused(folder, name, choice, message):
  before = sorted(folder.iterdir())
  with pytest.raises(errors.DataError, match=message):
    export.write(str(folder / name), str(folder / 'new'), choice)
  assert sorted(folder.iterdir()) == before


def test_without_the_extra_one_line_says_what_to_install(folder):
  done = _run_tool(f'--workdir={folder}/run',
                   f'--output={folder}/new',
                   code='; sys.modules["tf2onnx"] = None')
  assert done.returncode == 2
  assert done.stderr == ('tf2onnx is not installed, which an export needs: pip '
                         'install "hpa-records[export]".\n')
  assert not (folder / 'new').exists()


@pytest.mark.parametrize('flags', [['--workdir=a'], ['--weights=best']])
def test_a_model_excludes_flags_of_runs(folder, flags):
  done = prestarted.run([
      'tools/predict.py', f'--model={folder / "model"}', '--images=a',
      '--output=b.csv', *flags
  ])
  assert done.returncode == 2 and 'with --model' in done.stderr


def test_a_run_of_one_class_an_image_and_five_channels(other_run, tmp_path):
  made = export.write(str(other_run), str(tmp_path / 'model'),
                      export.Choice(tta='none'))
  assert made.threshold is None
  images = str(other_run.parent / 'train')
  wanted = predict_files(ensemble.load([str(other_run)]), images, 'none')
  found = predict_files(ensemble.load_exported(str(tmp_path / 'model')), images,
                        'none')
  pd.testing.assert_frame_equal(found, wanted, check_exact=True)
  pixels = np.stack(
      [fakes.image(int(each[1:]), _SIZE, 5) for each in wanted.index])
  session = onnxruntime.InferenceSession(str(tmp_path / 'model/model.onnx'))
  of_onnx, = session.run(None, {'pixels': pixels})
  np.testing.assert_allclose(of_onnx, wanted, atol=1e-5)
  card = (tmp_path / 'model/README.md').read_text()
  assert 'The most probable class is predicted.' in card
  assert 'does not state the licence' in card


def test_best_weights_of_chosen_folds(folder, tmp_path):
  run = tmp_path / 'run'
  for number in (1, 2):
    shutil.copytree(folder / f'run/fold{number}', run / f'fold{number}')
  made = export.write(str(folder / 'run'), str(tmp_path / 'model'),
                      export.Choice((1, 2), 'none', 'best'))
  assert [each.number for each in made.run.folds] == [1, 2]
  images = str(folder / 'train')
  pd.testing.assert_frame_equal(predict_files(
      ensemble.load_exported(str(tmp_path / 'model')), images, 'none'),
                                predict_files(ensemble.load([str(run)]), images,
                                              'none'),
                                check_exact=True)
  assert 'not the best, whose weights are exported' in (
      tmp_path / 'model/README.md').read_text()


def test_folds_of_other_image_sizes_are_refused(folder, tmp_path):
  run = pathlib.Path(shutil.copytree(folder / 'run', tmp_path / 'run'))
  path = run / 'fold2/about.json'
  content = json.loads(path.read_text())
  content['records']['image_size'] = 64
  path.write_text(json.dumps(content))
  with pytest.raises(errors.DataError, match='received 32 in fold 0 and 64 in'):
    export.write(str(run), str(tmp_path / 'model'), export.Choice())
  assert not (tmp_path / 'model').exists()
