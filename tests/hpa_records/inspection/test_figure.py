"""figure: figures show their data."""

from xml.etree import ElementTree

import cv2
import matplotlib as mpl
import numpy as np
import pytest

from hpa_records.datasets import description
from hpa_records.inspection import class_choice
from hpa_records.inspection import figure
from tests.support import fakes
from tests.support import figure_text
from tests.support import specs

_IMAGES = np.stack([fakes.image(i, 8) for i in range(3)])
_HPA = description.default().spec(8)


@pytest.mark.parametrize('pixel,color', [
    ((200, 0, 0, 0), (200, 0, 0)),
    ((0, 200, 0, 0), (0, 200, 0)),
    ((0, 0, 200, 0), (0, 0, 200)),
    ((0, 0, 0, 200), (200, 200, 0)),
    ((200, 10, 7, 200), (255, 210, 7)),
])
def test_composite_has_the_atlas_colors(pixel, color):
  image = np.array([[pixel]], np.uint8)
  mixed = figure.composite(image, _HPA)
  assert mixed.dtype == np.uint8 and mixed.tolist() == [[list(color)]]


def test_letters_that_the_font_lacks_cause_no_warning():
  drawn = figure.draw_composites(_IMAGES[:1], ['\u65e5\u672c'], _HPA)
  assert figure.to_png(drawn) and figure.to_svg(drawn)


def test_bars_of_labels_per_image_are_the_counts():
  labels = np.zeros((6, 28), np.uint8)
  for row, count in enumerate((1, 1, 1, 2, 2, 4)):
    labels[row, :count] = 1
  axes, = figure.draw_labels_per_image(labels).axes
  bars = {each.get_x() + each.get_width() / 2: each for each in axes.patches}
  assert {
      round(x): each.get_height() for x, each in bars.items()
  } == {
      1: 3,
      2: 2,
      4: 1
  }
  assert [text.get_text() for text in axes.texts] == ['3', '2', '1']


def test_bars_of_class_counts_are_the_counts_beside_their_names():
  before, after = np.arange(28) * 1000, np.arange(28)[::-1] + 0.25
  drawn = figure.draw_class_counts(before, after, _HPA.classes,
                                   ('all', 'drawn'))
  left, right = drawn.axes
  np.testing.assert_array_equal([each.get_width() for each in left.patches],
                                before)
  np.testing.assert_array_equal([each.get_width() for each in right.patches],
                                after)
  names = [text.get_text() for text in left.get_yticklabels()]
  assert names == [f'{i} {name}' for i, name in enumerate(_HPA.classes)]
  assert left.texts[27].get_text() == '27,000'
  low, high = left.get_ylim()
  assert low > high  # class 0 on top
  assert left.get_title() == 'all: 378,000 labels'


def test_sheet_of_channels_shows_the_pixels():
  drawn = figure.draw_channels(_IMAGES, ['a', 'b$', 'c' * 99], [(0, 27), (3,),
                                                                ()], _HPA)
  grid = np.array(drawn.axes).reshape(3, 5)
  for row, image in zip(grid, _IMAGES):
    for c in range(4):
      shown = row[c].images[0]
      np.testing.assert_array_equal(shown.get_array(), image[..., c])
      assert shown.get_clim() == (0, 255)
      # Full intensity has the channel's own colour.
      assert shown.to_rgba(255)[:3] == ((1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1,
                                                                          0))[c]
    np.testing.assert_array_equal(row[4].images[0].get_array(),
                                  figure.composite(image, _HPA))
  assert grid[0, 0].get_ylabel() == 'a\nNucleoplasm\nRods & rings'
  assert '…' in grid[2, 0].get_ylabel()
  assert [axes.get_title() for axes in grid[0]
         ] == ['red', 'green', 'blue', 'yellow', 'composite']


def test_sheet_of_composites_shows_each_under_its_title():
  images = np.repeat(_IMAGES, 2, axis=0)
  drawn = figure.draw_composites(images, [f'{i} $x$' for i in range(6)], _HPA)
  assert len(drawn.axes) == 10
  for i, (axes, image) in enumerate(zip(list(drawn.axes), images)):
    assert axes.get_title() == f'{i} $x$'
    np.testing.assert_array_equal(axes.images[0].get_array(),
                                  figure.composite(image, _HPA))
  assert [axes.axison for axes in drawn.get_axes()] == [True] * 6 + [False] * 4


def test_saved_figures_are_valid_pngs_and_reproducible(tmp_path):
  paths = [tmp_path / name for name in ('one.png', 'two.png')]
  for path in paths:
    drawn = figure.draw_composites(_IMAGES, ['a', 'b', 'c'], _HPA)
    figure.save(drawn, str(path))
  height, width, _ = cv2.imread(str(paths[0])).shape
  assert (width, height) == (1440, 330)
  assert paths[0].read_bytes() == paths[1].read_bytes()


_SVG = '{http://www.w3.org/2000/svg}'


@pytest.mark.parametrize('draw', [
    lambda: figure.draw_class_counts(np.arange(28), np.full(28, 99.5), _HPA.
                                     classes),
    lambda: figure.draw_composites(_IMAGES, ['a', 'b$', 'c'], _HPA)
],
                         ids=['bars', 'images'])
def test_an_svg_is_reproducible_and_needs_no_font(draw):
  drawn = draw()
  data, picture = figure.to_svg(drawn), figure.to_png(drawn)
  assert data == figure.to_svg(drawn) == figure.to_svg(draw())
  assert picture == figure.to_png(drawn) == figure.to_png(draw())
  root = ElementTree.fromstring(data)
  assert root.tag == f'{_SVG}svg' and root.findall(f'.//{_SVG}path')
  assert not root.findall(f'.//{_SVG}text')
  assert b'dc:date' not in data and len(data) < 200_000


def test_an_svg_ignores_the_settings_of_the_machine():
  drawn = figure.draw_composites(_IMAGES, ['a', 'b', 'c'], _HPA)
  data = figure.to_svg(drawn)
  with mpl.rc_context({'svg.fonttype': 'none', 'svg.hashsalt': 'other'}):
    assert figure.to_svg(drawn) == data
    assert mpl.rcParams['svg.hashsalt'] == 'other'  # left as it was


def test_no_texts_of_a_dataset_overlap():
  for drawn in (
      figure.draw_labels_per_image(np.tri(5, 28, dtype=np.uint8)),
      figure.draw_class_counts(np.full(28, 12885), np.full(28,
                                                           99999), _HPA.classes,
                               ('images', 'drawn an epoch, balance protected'),
                               'Classes of a fold'),
      figure.draw_channels(_IMAGES, ['c' * 99] * 3, [(0, 3, 18, 22, 27)] * 3,
                           _HPA),
      figure.draw_composites(_IMAGES[[0] * 7], ['18 ' + 'organizing ' * 4] * 7,
                             _HPA),
  ):
    assert not figure_text.find_overlaps(drawn)


@pytest.mark.parametrize('channels,classes', [(1, 1), (5, 41), (16, 2000)])
def test_no_texts_overlap_with_any_classes_and_channels(channels, classes):
  spec = specs.make(8, channels, classes)
  images = np.zeros((2, *spec.image_shape), np.uint8)
  counts = np.arange(classes) * 97
  for drawn in (
      figure.draw_class_counts(counts, counts, ['n' * 99] * classes),
      figure.draw_channels(images, ['a' * 99, 'b'], [range(classes), ()], spec),
      figure.draw_composites(images, ['class ' * 20] * 2, spec,
                             class_choice.describe(classes)),
      figure.draw_labels_per_image(np.tri(classes, dtype=np.uint8)[:, 1:]),
  ):
    assert not figure_text.find_overlaps(drawn)


def test_a_composite_has_the_colors_of_the_channels():
  spec = specs.make(1, 6, 1)  # red, green, blue, yellow, magenta, gray
  image = np.array([[[10, 20, 30, 40, 50, 3]]], np.uint8)
  # 128 / 255 of 3 is 1.5, which is above by the rounding of the color.
  assert figure.composite(image, spec).tolist() == [[[102, 62, 82]]]
  assert figure.composite(0 * image + 255, spec).tolist() == [[[255] * 3]]


def test_a_composite_of_sixteen_channels_is_their_rounded_sum():
  spec = specs.make(6, 16, 1)
  image = np.random.default_rng(0).integers(0, 9, (2, *spec.image_shape),
                                            np.uint8)
  rgb = np.array([each.rgb for each in spec.channels])
  want = np.minimum((image.astype(int) @ rgb + 127) // 255, 255)
  np.testing.assert_array_equal(figure.composite(image, spec), want)


@pytest.mark.parametrize('num_classes', [1, 40, 41, 200, 2000])
def test_many_classes_are_shown_by_the_largest_and_the_rarest(num_classes):
  counts = np.random.default_rng(0).permutation(num_classes) * 10
  drawn = figure.draw_class_counts(counts, counts / 2,
                                   [f'n$_{i}' for i in range(num_classes)])
  left, right = drawn.axes
  shown = [text.get_text() for text in left.get_yticklabels()]
  if num_classes <= 40:
    numbers = list(range(num_classes))
    assert drawn.get_suptitle() == 'Class counts'
  else:
    order = np.argsort(-counts, kind='stable').tolist()
    numbers = order[:20] + order[-20:]
    assert drawn.get_suptitle() == (
        'Class counts: the 20 largest and the 20 rarest of '
        f'{num_classes:,} classes')
  assert shown == [f'{i} n$_{i}' for i in numbers]
  assert [each.get_width() for each in left.patches] == counts[numbers].tolist()
  assert [each.get_width() for each in right.patches
         ] == (counts[numbers] / 2).tolist()
  assert left.get_title() == f'before: {counts.sum():,} labels'


@pytest.mark.parametrize('num_channels', [1, 2, 5, 16])
def test_a_sheet_has_each_channel_in_its_color(num_channels):
  spec = specs.make(8, num_channels, 3)
  images = np.arange(128 * num_channels).reshape(2, *spec.image_shape)
  images = images.astype(np.uint8)
  drawn = figure.draw_channels(images, ['a', 'b'], [(0, 2), ()], spec)
  grid = np.array(drawn.axes).reshape(2, num_channels + 1)
  for c, channel in enumerate(spec.channels):
    shown = grid[1, c].images[0]
    np.testing.assert_array_equal(shown.get_array(), images[1, ..., c])
    np.testing.assert_allclose(
        shown.to_rgba(255)[:3],
        np.array(channel.rgb) / 255)
  assert grid[0, 0].get_ylabel() == 'a\nclass 0\nclass 2'
  assert [axes.get_title() for axes in grid[0]
         ] == [*spec.channel_names, 'composite']
