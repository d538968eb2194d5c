"""What a reader of a figure would trip over: texts that cover each other."""

from matplotlib import figure
from matplotlib.backends import backend_agg


def find(drawn: figure.Figure):
  """Returns (text, its place in pixels) of all that a figure says."""
  canvas = backend_agg.FigureCanvasAgg(drawn)
  canvas.draw()
  texts = list(drawn.texts)
  for legend in drawn.legends:
    texts += [legend.get_title(), *legend.get_texts()]
  for axes in drawn.axes:
    texts += [axes.title, *axes.texts]
    if axes.axison:
      for axis in (axes.xaxis, axes.yaxis):
        texts += [axis.label, *_labels(axis)]
  return [(each.get_text(), each.get_window_extent(canvas.get_renderer()))
          for each in texts
          if each.get_visible() and each.get_text().strip()]


def _labels(axis):
  """Labels of the ticks in sight: an axis keeps others beyond its ends."""
  low, high = sorted(axis.get_view_interval())
  return [
      tick.label1
      for tick in axis.get_major_ticks()
      if low <= tick.get_loc() <= high
  ]


def find_overlaps(drawn: figure.Figure):
  """Returns pairs of texts of a figure that cover each other."""
  boxes = find(drawn)
  return [(a, b)
          for i, (a, box) in enumerate(boxes)
          for b, other in boxes[:i]
          if box.overlaps(other)]


def find_cut(drawn: figure.Figure):
  """Returns texts that the figure's edge cuts."""
  places = find(drawn)
  whole = drawn.bbox.padded(1)
  return [
      said for said, box in places
      if not (whole.contains(*box.min) and whole.contains(*box.max))
  ]
