"""Parsers of what a run keeps, and of flags. No TensorFlow."""

import contextlib
import dataclasses
import io
import json
import os
import pathlib
import struct
import zipfile

from absl import flags
import numpy as np

from hpa_records.datasets import description
from hpa_records.runtime import cli
from hpa_records.runtime import help_page
from hpa_records.runtime import errors
from hpa_records.sampling import balance
from tests.fuzz import mutation
from tests.fuzz import target
from trainer import cluster
from trainer import config as config_lib
from trainer.commands import train as _  # defines the flags
from trainer.network import block
from trainer.model import trained
from trainer.prediction import ensemble
from trainer.recipe import baseline
from trainer.report import result
from trainer.run import arrays as arrays_lib
from trainer.run import config_file
from trainer.run import finished_fold
from trainer.run import finished_run
from trainer.run import fold_file
from trainer.run import workdir

_FINGERPRINT = '0' * 64
_SPEC = description.default().spec(4)
_CONFIG = config_lib.Config('records', 'run', epochs=2)
_BASELINE = baseline.Baseline('records', 'run')


def _configs(_) -> list[bytes]:
  return [
      config_file.format_json(each, _FINGERPRINT).encode()
      for each in (_CONFIG, _BASELINE)
  ]


def _parse_config(data: bytes, folder: pathlib.Path) -> None:
  path = folder / 'config.json'
  path.write_bytes(data)
  found, _ = fold_file.load_config(str(path))
  config_file.find_differences(found.identity('a'), _CONFIG.identity('a'))
  json.loads(config_file.format_json(found, _FINGERPRINT))
  for name, kind in type(found).__annotations__.items():
    allowed = (int, float) if kind is float else kind
    if not isinstance(getattr(found, name), allowed):
      raise AssertionError(f'{name} {getattr(found, name)!r} was taken')


def _arrays() -> dict[str, dict[str, np.ndarray]]:
  """Of each .npz of a fold: its arrays."""
  ids = np.array(['a', 'b'])
  labels = np.zeros((2, _SPEC.num_classes), np.uint8)
  labels[[0, 1], [3, 27]] = 1
  predictions = labels * np.float32(0.5)
  return {
      workdir.SAMPLES_NAME: {
          'ids':
              ids,
          'labels':
              labels,
          'folds':
              np.array([0, 0]),
          'repeats':
              np.zeros(2, np.float32),
          'seed':
              np.array(0),
          'balance':
              np.array(json.dumps(dataclasses.asdict(balance.Balance()))),
          'groups':
              np.zeros(0, str)
      },
      workdir.PREDICTIONS_NAME: {
          'ids': ids,
          'labels': labels,
          'predictions': predictions
      },
      workdir.GALLERY_NAME: {
          'ids': ids,
          'labels': labels,
          'predictions': predictions,
          'classes': np.array([3, 27]),
          'kinds': np.array(['hit', 'miss']),
          'images': np.zeros((2, 4, 4, 4), np.uint8),
          'map0': np.ones((2, 2, 2), np.float32)
      },
  }


def describe_arrays(arrays: dict[str, np.ndarray]) -> bytes:
  """Returns JSON that write_archive makes the .npz of."""
  return json.dumps({
      name: {
          'descr': each.dtype.str,
          'fortran_order': False,
          'shape': each.shape,
          'data': each.tobytes().decode('latin-1')
      } for name, each in arrays.items()
  }).encode()


def write_archive(data: bytes) -> bytes:
  """Returns an .npz of JSON that describes its members, or else data itself.

  The headers say what the JSON says; the checksums of the archive are right.
  """
  try:
    members = json.loads(data)
    written = io.BytesIO()
    with zipfile.ZipFile(written, 'w') as file:
      for name, each in members.items():
        content = each.pop('data').encode('latin-1', 'replace')
        if isinstance(each.get('shape'), list):
          each['shape'] = tuple(each['shape'])
        header = f'{each!r}\n'.encode('utf-8', 'replace')[:60_000]
        head = b'\x93NUMPY\1\0' + struct.pack('<H', len(header)) + header
        file.writestr(f'{name}.npy', head + content)
  except (ValueError, RecursionError, AttributeError, KeyError, TypeError):
    return data
  return written.getvalue()


def _npzs(_) -> list[bytes]:
  found = [describe_arrays(each) for each in _arrays().values()]
  return [*found, write_archive(found[1])]


def _parse_npz(data: bytes, folder: pathlib.Path) -> None:
  path = folder / 'a.npz'
  path.write_bytes(write_archive(data))
  refused = []
  for load, of in ((arrays_lib.Samples.load, _SPEC.num_classes),
                   (arrays_lib.Predictions.load,
                    _SPEC.num_classes), (arrays_lib.Gallery.load, _SPEC)):
    try:
      load(str(path), of)
    except errors.DataError as error:
      refused.append(error)
  if len(refused) == 3:
    raise refused[0]


def _runs(_) -> list[bytes]:
  """The texts of a finished fold."""
  metrics = {'epoch': 2, 'threshold': _CONFIG.threshold, 'num_samples': 2}
  layer = {
      'name': 'a',
      'kind': 'InputLayer',
      'shape': [4, 4, 4],
      'parameters': 0,
      'inputs': []
  }
  next_layer = {**layer, 'name': 'b', 'kind': 'Conv2D', 'inputs': ['a']}
  about = {
      'device': 'the CPU',
      'inner_images': 2,
      'versions': {
          'numpy': '2'
      },
      'records': {
          'image_size': 4,
          'resize': 'area',
          'pattern': '{id}_{channel}.png',
          'white_level': 0
      },
      'records_versions': {},
      'pixels': {
          'mean': [1.0] * 4,
          'std': [1.0] * 4
      },
      'classes': _SPEC.classes
  }
  without_network = {
      'config.json':
          json.loads(config_file.format_json(_BASELINE, _FINGERPRINT)),
      'metrics.json': {
          'classifier': _BASELINE.classifier,
          'threshold': _BASELINE.threshold
      },
      'about.json':
          about
  }
  return [
      json.dumps({
          'config.json':
              json.loads(config_file.format_json(_CONFIG, _FINGERPRINT)),
          'metrics.json':
              metrics,
          'best_metrics.json':
              metrics,
          'about.json':
              about,
          'network.json': {
              'parameters': 8,
              'layers': [layer, next_layer]
          },
          'history.csv':
              'epoch,loss,val_loss\n1,0.5,0.5\n2,0.25,0.5\n'
      }).encode(),
      json.dumps(without_network).encode()
  ]


def _parse_run(data: bytes, folder: pathlib.Path) -> None:
  """Reads a run as the report and predict do."""
  fold = folder / 'fold0'
  fold.mkdir(exist_ok=True)
  for name, arrays in _arrays().items():
    if not (fold / name).exists():
      (fold / name).write_bytes(write_archive(describe_arrays(arrays)))
  try:
    files = json.loads(data)
    texts = {
        name: each if isinstance(each, str) else json.dumps(each)
        for name, each in files.items()
        if name.isascii()
    }
  except (ValueError, RecursionError, AttributeError):
    return
  for path in [*fold.glob('*.json'), *fold.glob('*.csv')]:
    path.unlink()
  for name in ('config.json', 'metrics.json', 'best_metrics.json', 'about.json',
               'network.json', 'history.csv'):
    if name in texts:
      (fold / name).write_text(texts[name], 'utf-8', 'surrogatepass')
  config = config_lib.Config('records', str(folder), epochs=2)
  run = finished_run.load(str(folder))
  finished_fold.find_metrics(config)
  found = result.compute(run, 'a', 0)
  if found.network:
    block.group(found.network['layers'])
  ensemble.load([str(folder)]).choose_thresholds('')
  trained.find_epoch(run, run.folds[0], 'best')


def _flag_files(_) -> list[bytes]:
  return [
      b'--records=r\n--workdir=w\n--epochs=3\n--fold=all\n',
      b'# said\n\n--noprofile\n--learning_rate=0.1\n--xla auto\n',
      b'--help\n',
      b'\xef\xbb\xbf--epochs=2\n',
      b'--flagfile=flags\n',
      b'--noprofile=0\n',
  ]


def _parse_flags(data: bytes, folder: pathlib.Path) -> None:
  """Reads flags as the trainer's command does; exit code 2 is a refusal."""
  path = folder / 'flags'
  path.write_bytes(data)
  # pylint: disable=protected-access
  with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(
      io.StringIO()) as said:
    try:
      cli._parse(['hpa-train', f'--flagfile={path}'], help_page.Page())
      values = {
          each.name: flags.FLAGS[each.name].value
          for each in dataclasses.fields(config_lib.Config)
          if each.name != 'fold'
      }
      config_lib.Config(**values)
    except SystemExit as error:
      if error.code not in (0, 2):
        raise
      if error.code == 2 and len(said.getvalue().splitlines()) != 1:
        raise AssertionError(said.getvalue()[:500]) from error
    finally:
      flags.FLAGS.unparse_flags()


def _clusters(_) -> list[bytes]:
  jobs = {'worker': ['a:1', 'b:2'], 'chief': ['c:3']}
  task = {'type': 'worker', 'index': 0}
  return [json.dumps({'cluster': jobs, 'task': task}).encode(), b'{}']


def _parse_cluster(data: bytes, _) -> None:
  text = data.decode('utf-8', 'surrogateescape').replace('\0', '')
  os.environ['TF_CONFIG'] = text
  try:
    cluster.load()
  finally:
    del os.environ['TF_CONFIG']


TARGETS = {
    'config': target.Target(_configs, _parse_config, mutation.change_json),
    'npz': target.Target(_npzs, _parse_npz, mutation.change_json),
    'run': target.Target(_runs, _parse_run, mutation.change_json),
    'flags': target.Target(_flag_files, _parse_flags),
    'tf_config': target.Target(_clusters, _parse_cluster, mutation.change_json),
}
