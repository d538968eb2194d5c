"""Figures of a dataset, drawn from arrays.

Figures are matplotlib objects made without pyplot: no window, no global state.
They do not depend on the user's matplotlibrc.
"""

import contextlib
import io
import os
import re
import textwrap
from typing import Iterator, Mapping, Sequence
import warnings

import matplotlib as mpl
from matplotlib.backends import backend_agg
from matplotlib.backends import backend_svg
from matplotlib import colors
from matplotlib import figure
from matplotlib import ticker
import numpy as np

from hpa_records.format import spec as spec_lib
from hpa_records.inspection import class_choice
from hpa_records.storage import filesystem

_BEFORE, _AFTER = '#4477aa', '#cc6677'  # distinct for the colour-blind too
_DPI = 120
MARK = 'hpa-records'  # the Software field of each PNG
_ID_CHARS = 40
_NAME_CHARS = 32  # of a class or a channel
_MOST_NUMBERS = 8  # written at the bars of a small chart
_MOST_NAMES = 8  # of the classes of a sample
_COMPOSITES_A_ROW = 5


@contextlib.contextmanager
def own_style() -> Iterator[None]:
  """Sets matplotlib's defaults while the block draws or writes a figure.

  Also a decorator. Not thread-safe: matplotlib's settings are global. Letters
  that its font lacks are drawn as boxes, without warnings.
  """
  with mpl.rc_context(fname=os.path.join(mpl.get_data_path(), 'matplotlibrc')):
    with warnings.catch_warnings():
      warnings.filterwarnings('ignore', r'Glyph \d+ .* missing from')
      yield


def save(drawn: figure.Figure, path: str) -> None:
  """Writes a figure as PNG, atomically.

  Args:
    drawn: the figure.
    path: of the file, or its address.

  Raises:
    OSError: the file cannot be written.
  """
  filesystem.write_atomically(path, to_png(drawn))


@own_style()
def to_png(drawn: figure.Figure) -> bytes:
  """Returns the figure as a PNG file's bytes."""
  data = io.BytesIO()
  with _settled(drawn):
    canvas = backend_agg.FigureCanvasAgg(drawn)
    drawn.dpi = _DPI
    canvas.print_png(data, metadata={'Software': MARK})
  return data.getvalue()


@own_style()
def to_svg(drawn: figure.Figure) -> bytes:
  """Returns the figure as an SVG file's bytes, the same for equal figures.

  Letters are stored as shapes, so the text does not depend on installed fonts.
  """
  data = io.BytesIO()
  with mpl.rc_context({'svg.fonttype': 'path', 'svg.hashsalt': 'figure'}):
    with _settled(drawn):
      canvas = backend_svg.FigureCanvasSVG(drawn)
      canvas.print_svg(data, metadata={'Date': None, 'Creator': None})
  return re.sub(rb'\n +', b'\n', data.getvalue())  # 6 % smaller


@contextlib.contextmanager
def _settled(drawn: figure.Figure) -> Iterator[None]:
  """Fixes the layout; lets a block write the figure at another resolution.

  The layout is computed once: each further pass would move it a little. Blocks
  write with a canvas and not with savefig, which draws the figure twice.
  """
  if drawn.get_layout_engine() is not None:
    drawn.draw_without_rendering()
    drawn.set_layout_engine(None)
  dpi = drawn.dpi
  try:
    yield
  finally:
    drawn.dpi = dpi


def composite(image: np.ndarray, spec: spec_lib.Spec) -> np.ndarray:
  """Returns the channels as one RGB image, each in its color.

  Args:
    image: [..., C] uint8.
    spec: of the image.

  Returns:
    [..., 3] uint8: the sum of the channels' colors, clipped to 255.
  """
  # The products are integers below 2^24, so float32 is exact; NumPy multiplies
  # matrices of integers many times slower.
  rgb = np.array([each.rgb for each in spec.channels], np.float32)
  mixed = np.rint(image.astype(np.float32) @ rgb / 255)
  return np.minimum(mixed, 255).astype(np.uint8)


@own_style()
def draw_labels_per_image(labels: np.ndarray) -> figure.Figure:
  """Returns a bar chart of the number of images with 1, 2, ... labels.

  Args:
    labels: [N, K] uint8 multi-hot.
  """
  counts = np.bincount(labels.sum(axis=1, dtype=int))
  numbers = np.flatnonzero(counts)
  drawn = figure.Figure(figsize=(5, 3.5), layout='constrained')
  axes = drawn.add_subplot()
  bars = axes.bar(numbers, counts[numbers], color=_BEFORE)
  axes.set(title='Labels of an image', xlabel='labels', ylabel='images')
  if len(numbers) <= _MOST_NUMBERS:
    axes.bar_label(bars, fmt='{:,.0f}', padding=2)
    axes.set_xticks(numbers)
  axes.margins(y=0.12)
  _tidy(axes, 'y')
  return drawn


@own_style()
def draw_class_counts(before: np.ndarray,
                      after: np.ndarray,
                      classes: Sequence[str],
                      titles: tuple[str, str] = ('before', 'after'),
                      title: str = 'Class counts') -> figure.Figure:
  """Returns two bar charts of class counts, side by side, one bar a class.

  Of many classes, those that class_choice.choose chooses by before are shown.

  Args:
    before: [K] counts, drawn on the left.
    after: [K] counts, drawn on the right.
    classes: their names.
    titles: of the two charts.
    title: of the figure.
  """
  chosen = class_choice.choose(before)
  choice = class_choice.describe(len(classes))
  drawn = figure.Figure(figsize=(11, max(2.5, 0.25 * len(chosen) + 0.5)),
                        layout='constrained')
  drawn.suptitle(f'{title}: {choice}' if choice else title)
  places = np.arange(len(chosen))
  both = drawn.subplots(1, 2, sharey=True)
  panels = zip(both, (before, after), titles, (_BEFORE, _AFTER))
  for axes, counts, name, color in panels:
    bars = axes.barh(places, counts[chosen], color=color)
    axes.bar_label(bars, fmt='{:,.0f}', padding=3, fontsize=8)
    axes.set(title=f'{name}: {np.sum(counts):,.0f} labels', xlabel='images')
    axes.margins(x=0.12, y=0.01)
    _tidy(axes, 'x')
    axes.set_yticks(places, [f'{i} {_shorten(classes[i])}' for i in chosen],
                    parse_math=False)
  both[0].invert_yaxis()  # shared
  return drawn


@own_style()
def draw_rates(rates: Mapping[str, Sequence[float]], unit: str,
               title: str) -> figure.Figure:
  """Returns a bar chart of medians, with each measurement as a point.

  Args:
    rates: measurements by the title of their bar, in the order of the bars.
    unit: of the measurements.
    title: of the figure.
  """
  drawn = figure.Figure(figsize=(9, 0.38 * len(rates) + 1.2),
                        layout='constrained')
  axes = drawn.add_subplot()
  places = np.arange(len(rates))
  medians = [float(np.median(each)) for each in rates.values()]
  bars = axes.barh(places, medians, color=_BEFORE)
  axes.bar_label(bars, fmt='{:,.0f}', padding=12, fontsize=8)
  for place, each in zip(places, rates.values()):
    axes.plot(each, [place] * len(each), '.', color=_AFTER, markersize=5)
  axes.set_yticks(places, list(rates))
  axes.set(title=title, xlabel=unit)
  axes.margins(x=0.12)
  axes.invert_yaxis()
  _tidy(axes, 'x')
  return drawn


@own_style()
def draw_channels(images: np.ndarray, ids: Sequence[str],
                  labels: Sequence[Sequence[int]],
                  spec: spec_lib.Spec) -> figure.Figure:
  """Returns a figure with the channels and the composite of a sample per row.

  Args:
    images: [n, H, W, C] uint8, n >= 1.
    ids: id of each sample.
    labels: classes 0..K-1 of each sample; () if unknown.
    spec: of the samples.
  """
  columns = (*map(_shorten, spec.channel_names), 'composite')
  drawn = figure.Figure(figsize=(2.4 * len(columns), 2.0 * len(images) + 0.4),
                        layout='constrained')
  grid = drawn.subplots(len(images), len(columns), squeeze=False)
  for row, image, sample_id, classes in zip(grid, images, ids, labels):
    for c, (axes, channel) in enumerate(zip(row, spec.channels)):
      shades = colors.LinearSegmentedColormap.from_list(
          channel.name, ['black', channel.color])
      _show(axes, image[..., c], shades)
    _show(row[-1], composite(image, spec))
    names = [spec.classes[number] for number in classes]
    row[0].set_ylabel(_caption(sample_id, names, 24),
                      rotation=0,
                      ha='right',
                      va='center',
                      fontsize=9,
                      parse_math=False)
  for axes, name in zip(grid[0], columns):
    axes.set_title(textwrap.fill(name, 18), parse_math=False)
  return drawn


@own_style()
def draw_composites(images: np.ndarray,
                    titles: Sequence[str],
                    spec: spec_lib.Spec,
                    title: str = '') -> figure.Figure:
  """Returns a figure of colour composites with a title each.

  Args:
    images: [n, H, W, C] uint8, n >= 1.
    titles: of each image, such as the name of its class.
    spec: of the images.
    title: of the figure; '' for none.
  """
  rows = -(-len(images) // _COMPOSITES_A_ROW)
  drawn = figure.Figure(figsize=(12, 2.75 * rows), layout='constrained')
  if title:
    drawn.suptitle(title)
  grid = drawn.subplots(rows, _COMPOSITES_A_ROW, squeeze=False).reshape(-1)
  for axes, image, name in zip(grid, images, titles):
    _show(axes, composite(image, spec))
    axes.set_title(textwrap.fill(_shorten(name), 26),
                   fontsize=9,
                   parse_math=False)
  for axes in grid[len(images):]:
    axes.set_axis_off()
  return drawn


def _show(axes, pixels: np.ndarray, shades=None) -> None:
  axes.imshow(pixels, cmap=shades, vmin=0, vmax=255, interpolation='nearest')
  axes.set(xticks=[], yticks=[])


def _shorten(name: str, most: int = _NAME_CHARS) -> str:
  return name if len(name) <= most else f'{name[:most - 1]}…'


def _caption(sample_id: str, classes: Sequence[str], width: int) -> str:
  lines = textwrap.wrap(_shorten(sample_id, _ID_CHARS), width)
  for name in classes[:_MOST_NAMES]:
    lines += textwrap.wrap(_shorten(name), width)
  if len(classes) > _MOST_NAMES:
    lines.append(f'… and {len(classes) - _MOST_NAMES:,} more')
  return '\n'.join(lines)


def _tidy(axes, along: str) -> None:
  axis = axes.yaxis if along == 'y' else axes.xaxis
  axis.set_major_formatter(ticker.StrMethodFormatter('{x:,.0f}'))
  axis.set_major_locator(ticker.MaxNLocator(6, integer=True))
  axes.grid(axis=along, alpha=0.3)
  axes.set_axisbelow(True)
  axes.spines[['top', 'right']].set_visible(False)
