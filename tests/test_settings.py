"""Settings of other programs, of Keras and matplotlib: ours hold, theirs stay.
"""

import json
import os
import pathlib
import subprocess
import sys

import matplotlib as mpl
import numpy as np
import pytest

from hpa_records.inspection import figure
from hpa_records.runtime.tensorflow import keras
from tests.support import specs
from trainer.network import applications
from trainer.network import build
from trainer.network import gapnet
from trainer.recipe import optimization
from trainer.training.optimization import optimizer

_ROOT = pathlib.Path(__file__).parent.parent
_PIXELS = {'mean': [13.0] * 4, 'std': [28.0] * 4}


def _describe(model):
  return [(each.name, each.dtype_policy.name, getattr(each, 'data_format',
                                                      None))
          for each in model.layers]


@pytest.fixture(name='odd_keras')
def _odd_keras():
  """What a program of another kind sets for all of Keras."""
  config = keras.config
  before = config.floatx(), config.dtype_policy(), config.image_data_format()
  config.set_floatx('float16')
  config.set_dtype_policy('mixed_float16')
  config.set_image_data_format('channels_first')
  yield
  assert (config.floatx(), config.image_data_format()) == ('float16',
                                                           'channels_first')
  assert config.dtype_policy().name == 'mixed_float16'
  config.set_floatx(before[0])
  config.set_dtype_policy(before[1])
  config.set_image_data_format(before[2])


@pytest.mark.parametrize('make', [
    lambda: gapnet.build(specs.make(32), **_PIXELS),
    lambda: gapnet.build(specs.make(149), 'kaggle', **_PIXELS),
    lambda: applications.build('resnet50', specs.make(32), **_PIXELS),
])
def test_networks_are_built_as_ever(make, request):
  expected = make()
  request.getfixturevalue('odd_keras')
  found = make()
  assert _describe(found) == _describe(expected)
  image = np.full((2, *expected.input_shape[0][1:]) if isinstance(
      expected.input_shape, list) else (2, *expected.input_shape[1:]), 77,
                  np.uint8)
  np.testing.assert_array_equal(build.infer(found, image),
                                build.infer(expected, image))


def test_the_rate_keeps_its_precision(odd_keras):
  del odd_keras
  model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
  settings = optimization.Optimization(learning_rate=0.1)
  made = optimizer.make_optimizer(settings, model)
  assert made.learning_rate.dtype == 'float32'


@pytest.mark.parametrize('settings', [{
    'text.usetex': True
}, {
    'font.size': 30,
    'savefig.transparent': True,
    'savefig.bbox': 'tight'
}, {
    'figure.autolayout': True,
    'axes.formatter.use_locale': True,
    'font.family': 'none such'
}])
def test_figures_are_drawn_as_ever(settings):
  counts, names = np.arange(28), specs.make(1).classes
  expected = figure.to_png(figure.draw_class_counts(counts, counts, names))
  with mpl.rc_context(settings):
    found = figure.to_png(figure.draw_class_counts(counts, counts, names))
    for name, value in settings.items():
      assert mpl.rcParams[name] in (value, [value])
  assert found == expected


@pytest.mark.parametrize('content', [
    json.dumps({
        'floatx': 'float16',
        'backend': 'jax',
        'image_data_format': 'channels_first'
    }), '[]'
])
def test_a_command_starts_whatever_is_set(tmp_path, content):
  home = tmp_path / '.keras'
  home.mkdir()
  (home / 'keras.json').write_text(content)
  (tmp_path / 'matplotlibrc').write_bytes(b'text.usetex: True\n\xff')
  code = ('from hpa_records.runtime import cli; '
          'from hpa_records.datasets import description; cli.run(lambda: print('
          '__import__("trainer.network.gapnet").network.gapnet.build('
          'description.default().spec(32), mean=[1.0] * 4, '
          'std=[1.0] * 4).layers[1].dtype))')
  done = subprocess.run(
      [sys.executable, '-c', code],
      cwd=_ROOT,
      env={
          **os.environ, 'HOME': str(tmp_path),
          'KERAS_HOME': str(home),
          'MPLCONFIGDIR': str(tmp_path),
          'MPLBACKEND': 'none such',
          'KERAS_BACKEND': 'torch',
          'KERAS_MAX_EPOCHS': 'all',
          'TF_USE_LEGACY_KERAS': '1'
      },
      capture_output=True,
      text=True,
      check=False)
  assert (done.returncode, done.stdout) == (0, 'float32\n'), done.stderr


@pytest.mark.parametrize('make', [
    os.mkfifo,
    lambda path: path.write_bytes(b'\xff'),
    lambda path: path.symlink_to('/dev/zero'),
])
def test_no_text_in_place_of_matplotlibrc_is_told(tmp_path, make):
  make(tmp_path / 'matplotlibrc')
  done = subprocess.run([
      sys.executable, _ROOT / 'tools' / 'inspect_records.py', '--records=none'
  ],
                        cwd=tmp_path,
                        timeout=120,
                        capture_output=True,
                        text=True,
                        check=False)
  assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
  assert f'{tmp_path}/matplotlibrc is not UTF-8 text' in done.stderr


def test_another_backend_of_keras_is_told_in_one_line():
  done = subprocess.run(
      [sys.executable, '-c', 'import hpa_records.runtime.tensorflow'],
      cwd=_ROOT,
      env={
          **os.environ, 'KERAS_BACKEND': 'torch'
      },
      capture_output=True,
      text=True,
      check=False)
  assert 'set KERAS_BACKEND=tensorflow before' in done.stderr.splitlines()[-1]
