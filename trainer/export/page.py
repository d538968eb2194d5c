"""classify.html of an exported folder: a page that classifies images.

One file that opens from disk. It holds the networks, the runtime that computes
them (page_runtime), and the scripts of the folder web: results, pictures and
files in the page; decoding, resizing and networks in a worker, so that the page
answers meanwhile. A content security policy forbids all connections.

The page reads PNGs itself, since a browser converts colors, and resizes in the
integers of the converter. It turns the image in its symmetries itself: then one
image at a time is in memory, and the progress is known.
"""

import base64
from collections.abc import Sequence
import gzip
import hashlib
import os
import re
from typing import Any

import jinja2
import numpy as np

from hpa_records.datasets import layout
from hpa_records.datasets import template
from hpa_records.images import file_pattern
from hpa_records.runtime import errors
from hpa_records.runtime.tensorflow import keras
from trainer.augmentation import dihedral
from trainer.export import onnx_file
from trainer.export import page_runtime
from trainer.model import views
from trainer.network import plain
from trainer.run import finished_run
from trainer.scoring import decision

MOST_BYTES = 25 * 10**6
_FOLDER = os.path.join(os.path.dirname(__file__), 'web')
_SCRIPTS = ('results.js', 'picture.js', 'match.js', 'engine.js', 'page.js')
_WORKER_SCRIPTS = ('decode.js', 'png.js', 'jpeg.js', 'resize.js', 'network.js',
                   'worker.js')
# Samples of a pixel in a PNG or JPEG with several channels.
_STACKED_SAMPLES = (3, 4)


def check(described: layout.Description, stored_um: float) -> None:
  """Checks that a page can make images as those of the training.

  Args:
    described: of the dataset.
    stored_um: as of images.how.How.

  Raises:
    errors.DataError: it cannot.
  """
  why = ''
  if described.intensity.rule == 'percentiles':
    why = 'scaled by percentiles'
  elif stored_um:
    why = 'brought to one pixel size in micrometers'
  if why:
    raise errors.DataError(
        'The page of --page makes an image by a resize alone, but those of the '
        f'training were {why}; leave out --page, and use hpa-predict --model.')


def render(run: finished_run.Run, networks: Sequence[keras.Model], *,
           described: layout.Description, tta: str,
           threshold: decision.Threshold,
           runtime: page_runtime.Runtime) -> bytes:
  """Returns the page.

  Args:
    run: with the exported folds.
    networks: of plain.build, those of the folds.
    described: of the dataset; passed by check.
    tta: one of views.TTA, the views of an image.
    threshold: above which a class is predicted.
    runtime: which computes the networks.

  Raises:
    errors.DataError: the page would be too large.
  """
  _check_size(4 * sum(each.count_params() for each in networks))
  model = onnx_file.convert(networks,
                            'none', {},
                            map_of=0,
                            is_apart=views.takes_maximum(tta))
  style, script = _read('style.css'), _join(_SCRIPTS)
  environment = jinja2.Environment(loader=jinja2.FileSystemLoader(_FOLDER),
                                   autoescape=True,
                                   undefined=jinja2.StrictUndefined,
                                   trim_blocks=True,
                                   lstrip_blocks=True)
  page = environment.get_template('page.html').render(
      policy=_format_policy(style, script),
      style=style,
      script=script,
      settings=_describe(run, described, tta, threshold),
      has_maps=bool(plain.find_parts(networks[0]).maps),
      blocks={
          'worker': _join(_WORKER_SCRIPTS),
          'runtime': _pack(runtime.script),
          'glue': _pack(runtime.glue),
          'wasm': _pack(runtime.wasm),
          'model': _pack(model),
      },
      runtime_version=page_runtime.VERSION,
      licence=_read('onnxruntime_licence.txt')).encode()
  _check_size(len(page))
  return page


def _check_size(num_bytes: int) -> None:
  """Refuses a page of that size, or weights that it would have to hold."""
  if num_bytes > MOST_BYTES:
    raise errors.DataError(
        f'The networks are too large for --page, which makes at most '
        f'{MOST_BYTES / 1e6:.0f} MB: received {num_bytes / 1e6:.0f} MB. Choose '
        'fewer --folds, or leave out --page.')


def _read(name: str) -> str:
  with open(os.path.join(_FOLDER, name), encoding='utf-8') as file:
    return file.read()


def _join(names: Sequence[str]) -> str:
  return '\n'.join(map(_read, names))


def _pack(data: bytes) -> str:
  return base64.b64encode(gzip.compress(data, mtime=0)).decode()


def _format_policy(style: str, script: str) -> str:
  """Returns a policy that allows this style, this script and its worker.

  Source: W3C, Content Security Policy Level 3.
  """
  hashes = [
      base64.b64encode(hashlib.sha256(each.encode()).digest()).decode()
      for each in (style, script)
  ]
  return '; '.join([
      "default-src 'none'", f"style-src 'sha256-{hashes[0]}'",
      f"script-src 'sha256-{hashes[1]}' blob: 'wasm-unsafe-eval'",
      'worker-src blob:', 'img-src data:', "base-uri 'none'",
      "form-action 'none'"
  ])


def _describe(run: finished_run.Run, described: layout.Description, tta: str,
              threshold: decision.Threshold) -> dict[str, Any]:
  """Returns the settings of the page; its scripts say what they need."""
  spec = run.spec
  thresholds = None
  if threshold is not None:
    # A number is compared as float32, as decision.decide does.
    thresholds = np.broadcast_to(
        threshold if np.ndim(threshold) else np.float32(threshold),
        [spec.num_classes]).tolist()
  stack = described.stack()
  planes = stack.planes if stack and stack.kind == 'planes' else ()
  moves = dihedral.MOVES[list(views.list_elements(tta))]
  return {
      'model': run.config.model,
      'title': described.title,
      'dataset': described.name,
      'folds': [each.number for each in run.folds],
      'classes': spec.classes,
      'thresholds': thresholds,
      'size': spec.image_size,
      'filter': run.folds[0].about['records']['resize'],
      'moves': moves.astype(int).tolist(),
      # Whether a network has its maximum over the moves, not its mean.
      'isMax': views.takes_maximum(tta),
      'channels': _describe_channels(described),
      # The plane of each channel in a file with all, null for none; whether
      # such files are expected; and whether they may have no other planes.
      'stacked': _find_planes(planes, spec.num_channels),
      'isStacked': bool(stack) and stack.kind == 'planes',
      'isExact': not planes,
  }


def _find_planes(planes: Sequence[int], num_channels: int) -> list[int] | None:
  if planes:
    return list(planes)
  return list(range(num_channels)) if num_channels in _STACKED_SAMPLES else None


def _describe_channels(described: layout.Description) -> list[dict[str, Any]]:
  """Returns name, stain, color, and how the names of files are known."""
  patterns = [
      _to_expression(described.pattern(each)) for each in described.channels
  ]
  if described.images.stacked or len(set(patterns)) < len(patterns):
    patterns = [''] * len(patterns)
  return [{
      'name': each.name,
      'stain': each.stain,
      'color': each.color,
      'pattern': pattern,
      'words': [text.lower() for text in (each.file, each.name) if text],
  } for each, pattern in zip(described.channels, patterns)]


def _to_expression(pattern: str) -> str:
  """Returns the expression of a file's name without folder and extension."""
  name = file_pattern.strip_extension(template.FIELD.sub('{}', pattern)).rsplit(
      '/', 1)[-1]
  parts = [
      '(.*)'.join(map(re.escape, part.split(template.ANY)))
      for part in name.split('{}')
  ]
  return f'^{"(.+)".join(parts)}$'
