"""The picture of README.md: samples of a fold beside F1 of each class."""

import textwrap

import cv2
from matplotlib import figure
import numpy as np

from hpa_records.format import spec as spec_lib
from hpa_records.inspection import figure as figure_lib
from hpa_records.runtime import errors
from trainer.report import page
from trainer.report import result as result_lib
from trainer.report import tile
from trainer.report.figures import evaluation
from trainer.run import arrays
from trainer.run import finished_run
from trainer.run import fold_file

_SIZE_IN = (8, 9)  # as the figure beside it
_LEGEND = 'F1 and its 95 % interval'
_COLUMNS = 3
_SHOWN = 3  # most probable classes under a sample
_KINDS = {
    'hit': 'Best hits',
    'miss': 'Worst misses',
    'false_alarm': 'Worst false alarms'
}


def draw(workdir: str) -> bytes:
  """Returns the picture of a run as WebP.

  Args:
    workdir: folder of the run.

  Raises:
    errors.DataError: it is no run, has no finished fold or no gallery, or a
      file of it is damaged.
  """
  run = finished_run.load(workdir)
  result = result_lib.compute(run, _LEGEND, page.REPETITIONS)
  entries = fold_file.load_gallery(
      result_lib.list_directories(run)[0], run.spec)
  if entries is None:
    raise errors.DataError(f'No gallery.npz in {workdir}; train it again.')
  drawn = (draw_samples(entries, run.spec),
           evaluation.draw_class_metrics(
               {_LEGEND: result.classes.loc[list(result.shown)]}))
  return tile.to_webp(np.hstack([_to_pixels(each) for each in drawn]))


@figure_lib.own_style()
def draw_samples(entries: arrays.Gallery, spec: spec_lib.Spec) -> figure.Figure:
  """Returns a row of composites for each kind of notable sample.

  Over each its labels, below it the most probable classes.

  Args:
    entries: notable samples of a fold.
    spec: of the run.
  """
  drawn = figure.Figure(figsize=_SIZE_IN, layout='constrained')
  rows = drawn.subfigures(len(_KINDS), 1)
  for row, (kind, title) in zip(rows, _KINDS.items()):
    row.suptitle(title, fontweight='bold')
    panels = row.subplots(1, _COLUMNS)
    for axes in panels:
      axes.set_axis_off()
    for axes, number in zip(panels, pick(entries, kind)):
      axes.set_axis_on()
      _draw_sample(axes, entries.images[number], entries.labels[number],
                   entries.predictions[number], spec)
  return drawn


def pick(entries: arrays.Gallery, kind: str) -> list[int]:
  """Returns up to three samples of a kind, each once, the most extreme first.

  Args:
    entries: notable samples of a fold.
    kind: of arrays.KINDS.

  Returns:
    Positions in entries.
  """
  rows = np.flatnonzero(entries.kinds == kind)
  own = entries.predictions[rows, entries.classes[rows]]
  order = rows[np.argsort(own if kind == 'miss' else -own, kind='stable')]
  once: dict[str, int] = {}
  for row in order.tolist():
    once.setdefault(str(entries.ids[row]), row)
  return list(once.values())[:_COLUMNS]


def _draw_sample(axes, image: np.ndarray, labels: np.ndarray,
                 probabilities: np.ndarray, spec: spec_lib.Spec) -> None:
  """Draws one composite with its labels and its most probable classes."""
  axes.imshow(figure_lib.composite(image, spec), interpolation='bilinear')
  axes.set(xticks=[], yticks=[])
  names = [spec.classes[k] for k in np.flatnonzero(labels)]
  axes.set_title(textwrap.fill(', '.join(names), 30), fontsize=9)
  most = np.argsort(-probabilities, kind='stable')[:_SHOWN]
  axes.set_xlabel('\n'.join(
      f'{probabilities[k]:.2f} {spec.classes[k]}' for k in most),
                  fontsize=9)


def _to_pixels(drawn: figure.Figure) -> np.ndarray:
  """Returns a figure as [H, W, 3] uint8 RGB."""
  data = np.frombuffer(figure_lib.to_png(drawn), np.uint8)
  return cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
