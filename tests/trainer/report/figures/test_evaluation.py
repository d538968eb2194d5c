"""evaluation: figures show the predictions and metrics they are given."""

import functools

from matplotlib import colors
import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as reference

from hpa_records.datasets import description
from hpa_records.inspection import figure
from tests.support import figure_text
from trainer.report.figures import evaluation

_NAMES = ['_first', 'b $x$']  # no legend's business, no formula
_SIZE = 31_072
_CLASSES = description.default().spec(32).classes
_SHOWN = dict(enumerate(_CLASSES))


@functools.cache
def _sample(size):
  """Labels as rare as the real ones, none of class 3, all of class 4; and
  predictions of two runs."""
  rng = np.random.default_rng(size)
  labels = (rng.random((size, 28)) < np.geomspace(0.4, 0.003,
                                                  28)).astype(np.uint8)
  labels[:, 3], labels[:, 4] = 0, 1
  predictions = {
      name: (
          1 /
          (1 + np.exp(3 - 3 * labels - rng.normal(size=labels.shape)))).astype(
              np.float32) for name in _NAMES
  }
  return labels, predictions


def _lines(axes):
  """The lines of the runs: all but that of chance."""
  return [line for line in axes.lines if line.get_linestyle() != ':']


def _texts(axes):
  return [text.get_text() for text in axes.texts]


def _legend(drawn):
  legend, = drawn.legends
  assert not any(text.get_parse_math() for text in legend.get_texts())
  return [text.get_text() for text in legend.get_texts()]


def test_roc_panels_hold_the_curves_and_their_areas():
  labels, predictions = _sample(600)
  drawn = evaluation.draw_roc(labels, predictions, _SHOWN)
  assert [axes.get_title() for axes in list(drawn.axes)
         ] == [f'{i} {name}' for i, name in enumerate(_CLASSES)]
  assert _legend(drawn) == _NAMES
  for number in (0, 10, 27):
    axes = list(drawn.axes)[number]
    areas = [
        reference.roc_auc_score(labels[:, number], each[:, number])
        for each in predictions.values()
    ]
    assert _texts(axes) == [
        f'{labels[:, number].sum():,}', *(f'{area:.3f}' for area in areas)
    ]
    for line, text, each in zip(_lines(axes), axes.texts[1:],
                                predictions.values()):
      x, y, _ = reference.roc_curve(labels[:, number], each[:, number])
      assert text.get_color() == line.get_color()
      assert reference.auc(*line.get_data()) == pytest.approx(reference.auc(
          x, y),
                                                              abs=0.002)
      # Each corner that is drawn is one of the curve's.
      on_curve = np.isclose(line.get_xdata()[:, None], x) & np.isclose(
          line.get_ydata()[:, None], y)
      assert on_curve.any(axis=1).all()


def test_precision_recall_panels_hold_the_steps_and_their_areas():
  labels, predictions = _sample(600)
  drawn = evaluation.draw_precision_recall(labels, predictions, _SHOWN)
  for number in (0, 10, 27):
    axes = list(drawn.axes)[number]
    chance, = (line for line in axes.lines if line not in _lines(axes))
    assert chance.get_ydata() == pytest.approx([labels[:, number].mean()] * 2)
    for line, text, each in zip(_lines(axes),
                                _texts(axes)[1:], predictions.values()):
      area = reference.average_precision_score(labels[:, number], each[:,
                                                                       number])
      assert text == f'{area:.3f}'
      x, y = line.get_data()
      assert reference.auc(x, y) == pytest.approx(area, abs=0.002)
  # Few positives: every step is drawn, level or upright, none aslant.
  rare = _lines(list(drawn.axes)[20])[0]
  assert 3 < labels[:, 20].sum() < 12
  moved = np.diff(rare.get_data(), axis=1) != 0
  assert moved.shape[1] > 3 and not moved.all(axis=0).any()


@pytest.mark.parametrize('draw,empty', [(evaluation.draw_roc, {
    3: ['no positives'],
    4: ['no negatives']
}), (evaluation.draw_precision_recall, {
    3: ['no positives']
})])
def test_a_class_without_its_curve_says_so(draw, empty):
  axes = draw(*_sample(600), _SHOWN).axes
  assert {
      number: _texts(each) for number, each in enumerate(axes) if not each.lines
  } == empty


@pytest.mark.parametrize('draw', [
    functools.partial(evaluation.draw_roc, shown=_SHOWN),
    functools.partial(evaluation.draw_precision_recall, shown=_SHOWN),
    evaluation.draw_calibration
])
@pytest.mark.parametrize('size,names', [(0, _NAMES), (50, [])])
def test_nothing_to_draw_is_drawn_empty(draw, size, names):
  labels, predictions = _sample(600)
  cut = {name: predictions[name][:size] for name in names}
  drawn = draw(labels[:size], cut)
  figure.to_svg(drawn)
  assert _legend(drawn) == names
  if len(list(drawn.axes)) == 28:
    assert all(not axes.lines for axes in list(drawn.axes))
    assert _texts(list(drawn.axes)[0]) == ([] if size else ['no positives'])


@pytest.mark.parametrize(
    'draw', [evaluation.draw_roc, evaluation.draw_precision_recall])
def test_all_samples_of_two_runs_make_a_small_file(draw):
  drawn = draw(*_sample(_SIZE), _SHOWN)
  assert max(len(line.get_xdata()) for line in list(drawn.axes)[0].lines) < 400
  assert len(figure.to_svg(drawn)) < 1_500_000


def test_calibration_shows_how_often_a_class_is_there():
  labels = np.zeros((20, 28), np.uint8)
  labels[:, 0] = labels[0, 1] = 1  # the others do not occur: left out
  low = np.full((20, 28), 0.02)
  low[:15, 0] = 0.93  # three of four of the positives; and no other
  drawn = evaluation.draw_calibration(labels, {'one': low, 'two': 1 - low})
  upper, lower = list(drawn.axes)
  one, two = _lines(upper)
  np.testing.assert_allclose(one.get_data(), [[0.02, 0.93], [6 / 25, 1]])
  np.testing.assert_allclose(two.get_data(), [[0.07, 0.98], [1, 6 / 25]])
  counts, edges, _ = lower.patches[0].get_data()
  assert {
      e: c for e, c in zip(edges.round(3).tolist(), counts) if c
  } == {
      0.0: 25,
      0.9: 15
  }
  error = (25 * (6 / 25 - 0.02) + 15 * 0.07) / 40
  assert _legend(drawn)[0] == f'one: expected calibration error {error:.4f}'


def _history(epochs, start=0.0):
  epoch = np.arange(1, epochs + 1)
  return pd.DataFrame({
      'epoch': epoch,
      'loss': 1 / epoch,
      'val_loss': 2 / epoch,
      'f1_macro': start + epoch / 100,
      'f1_micro': epoch / 50,
      'auc_macro': 0.5 + epoch / 100,
      'learning_rate': 0.1 * 0.5**(epoch // 3),
      'balance': 'none'
  })


def _panel(drawn, title):
  return next(axes for axes in list(drawn.axes) if axes.get_title() == title)


def test_learning_curves_are_those_of_the_folds_and_their_mean():
  histories = {'a': [_history(8), _history(5, 0.2)], 'b': [_history(8)]}
  drawn = evaluation.draw_learning_curves(histories)
  assert [axes.get_title() for axes in list(drawn.axes)] == [
      'loss, training', 'loss, validation', 'F1 macro', 'F1 micro', 'AUC macro',
      'learning rate'
  ]
  axes = _panel(drawn, 'F1 macro')
  long, short, mean, single, single_mean = axes.lines
  np.testing.assert_allclose(long.get_ydata(), np.arange(1, 9) / 100)
  np.testing.assert_allclose(short.get_ydata()[:5], 0.2 + np.arange(1, 6) / 100)
  # The mean ends with the fold that ends first.
  np.testing.assert_allclose(mean.get_ydata(),
                             [*(0.1 + np.arange(1, 6) / 100), *[np.nan] * 3])
  np.testing.assert_allclose(single_mean.get_ydata(), single.get_ydata())
  assert mean.get_linewidth() > 2 * long.get_linewidth()
  assert mean.get_color() == long.get_color() != single.get_color()
  assert _panel(drawn, 'learning rate').get_yscale() == 'log'
  assert long.get_xdata().tolist() == list(range(1, 9))


def test_gaps_in_a_history_are_gaps_in_its_lines():
  history = _history(6).astype({'f1_macro': object})
  history.loc[[1, 3, 4], 'f1_macro'] = [None, 'x', np.nan]
  history['auc_macro'] = None
  without = _history(6).drop(columns=['f1_micro', 'auc_macro'])
  drawn = evaluation.draw_learning_curves({'a': [history], 'b': [without]})
  figure.to_svg(drawn)
  mean = _panel(drawn, 'F1 macro').lines[1]
  assert np.isnan(
      mean.get_ydata()).tolist() == [False, True, False, True, True, False]
  assert mean.get_markevery() == [0, 2, 5]  # alone, so dots
  assert _texts(_panel(drawn, 'AUC macro')) == ['no values']
  assert len(_panel(drawn, 'F1 micro').lines) == 3  # b has but an empty mean


@pytest.mark.parametrize('histories', [{}, {
    'a': []
}, {
    'a': [_history(0)]
}, {
    'a': [_history(1)]
}])
def test_short_histories_are_drawn(histories):
  drawn = evaluation.draw_learning_curves(histories)
  figure.to_svg(drawn)
  said = [text for axes in list(drawn.axes) for text in _texts(axes)]
  is_empty = not any(
      len(fold) for folds in histories.values() for fold in folds)
  assert said == ['no values'] * 6 * is_empty


def _matrix():
  matrix = np.zeros((29, 29), int)
  matrix[0, :3] = 12_885, 4, 0
  matrix[5, 28], matrix[5, 5] = 30, 10
  matrix[28, 7] = 2
  return matrix


def test_a_confusion_matrix_has_shares_as_colours_and_counts_as_texts():
  drawn = evaluation.draw_confusion_matrix(_matrix(), _CLASSES, 'run $x$')
  axes = list(drawn.axes)[0]
  shares = axes.collections[0].get_array().reshape(29, 29)
  assert shares[5, 28] == 0.75 and shares[28, 7] == 1 and not shares[1].any()
  assert {
      (int(text.get_position()[1]), int(text.get_position()[0])):
          text.get_text() for text in axes.texts
  } == {
      (0, 0): '12885',
      (0, 1): '4',
      (5, 5): '10',
      (5, 28): '30',
      (28, 7): '2'
  }
  rows = [text.get_text() for text in axes.get_yticklabels()]
  columns = [text.get_text() for text in axes.get_xticklabels()]
  names = [f'{name} {i}' for i, name in enumerate(_CLASSES)]
  assert rows == [*names, 'no true label']
  assert columns == [*names, 'no predicted label']
  low, high = axes.get_ylim()
  assert low > high  # class 0 on top
  assert axes.get_title() == 'Confusion matrix: run $x$'


def test_counts_are_legible_on_their_colours():
  matrix = np.diag(range(1, 30))
  matrix[:, 0] += range(29, 0, -1)  # shares from 0 to 1
  drawn = evaluation.draw_confusion_matrix(matrix, _CLASSES, 'run')
  axes = list(drawn.axes)[0]
  mesh = axes.collections[0]
  shades = mesh.to_rgba(mesh.get_array()).reshape(29, 29, 4)
  for text in axes.texts:
    column, row = (int(place) for place in text.get_position())
    ink = colors.to_rgb(text.get_color())
    light, dark = sorted((_luminance(ink), _luminance(shades[row, column])))
    assert (dark + 0.05) / (light + 0.05) > 4.4  # WCAG 2 asks 4.5 of text


def _luminance(color):
  linear = [
      c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055)**2.4
      for c in color[:3]
  ]
  return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))


def _table(seed):
  f1 = np.random.default_rng(seed).uniform(0.2, 0.8, 28)
  f1[27] = np.nan
  return pd.DataFrame({
      'name': _CLASSES,
      'positives': [*range(100 * seed, 100 * seed + 27), 0],
      'f1': f1,
      'f1_low': f1 - 0.1,
      'f1_high': f1 + 0.05,
  })


def test_class_scores_have_each_runs_f1_and_interval():
  tables = {name: _table(seed) for seed, name in enumerate(_NAMES, start=10)}
  drawn = evaluation.draw_class_metrics(tables)
  axes, = list(drawn.axes)
  markers = [line for line in axes.lines if line.get_marker() != 'None']
  places = []
  for line, bars, table in zip(markers, axes.collections, tables.values()):
    known = table[:27]
    np.testing.assert_allclose(line.get_xdata(), known['f1'])
    np.testing.assert_allclose([each[:, 0] for each in bars.get_segments()],
                               known[['f1_low', 'f1_high']])
    np.testing.assert_allclose([each[0, 1] for each in bars.get_segments()],
                               line.get_ydata())
    assert np.rint(line.get_ydata()).tolist() == list(range(27))
    places.append(line.get_ydata())
  assert (np.diff(places, axis=0) > 0.2).all()  # side by side
  assert markers[0].get_marker() != markers[1].get_marker()
  assert markers[0].get_color() != markers[1].get_color()
  names = [text.get_text() for text in axes.get_yticklabels()]
  assert names[1] == '1 Nuclear membrane (1,001 / 1,101)'
  assert names[27] == '27 Rods & rings (0)'
  assert _texts(axes) == ['no positives'] * 2
  assert _legend(drawn) == _NAMES


def test_an_interval_beside_its_f1_is_drawn_as_it_is():
  table = _table(1)
  table['f1_low'], table['f1_high'] = table['f1'] + 0.1, table['f1'] + 0.2
  axes, = evaluation.draw_class_metrics({'a': table}).axes
  np.testing.assert_allclose(axes.collections[0].get_segments()[0][:, 0],
                             table.loc[0, ['f1_low', 'f1_high']].tolist())


_LONG = ['p' * 40, 's' * 300]  # folders may be called anything
_DRAWN = [
    lambda: evaluation.draw_roc(*_sample(600), _SHOWN),
    lambda: evaluation.draw_precision_recall(*_sample(600), _SHOWN),
    lambda: evaluation.draw_calibration(
        _sample(600)[0], dict(zip(_LONG,
                                  _sample(600)[1].values()))),
    lambda: evaluation.draw_learning_curves(
        {name: [_history(80)] for name in _LONG}),
    lambda: evaluation.draw_class_metrics(dict.fromkeys(_LONG, _table(100))),
    lambda: evaluation.draw_confusion_matrix(
        np.full((29, 29), 999) + np.eye(29, dtype=int) * 11_886, _CLASSES,
        _LONG[0]),
]

_LONG_CLASS = '$x_{} ' + 'inhibitor of a kinase, ' * 8


def _choose(count, name):
  """Names of some of 2,000 classes, predictions, F1, and their matrix."""
  rng = np.random.default_rng(0)
  numbers = np.sort(rng.choice(2000, count, replace=False)).tolist()
  shown = {number: name.format(number).strip() for number in numbers}
  labels = (rng.random((50, 2000)) < 0.1).astype(np.uint8)
  predictions = {each: rng.random(labels.shape) for each in _NAMES}
  table = pd.DataFrame(
      {
          'name': shown.values(),
          'positives': 7,
          'f1': 0.5,
          'f1_low': 0.4,
          'f1_high': 0.6
      }, shown)
  return shown, labels, predictions, table


@pytest.mark.parametrize('count,name', [(1, 'class {}'), (1, _LONG_CLASS),
                                        (5, _LONG_CLASS), (24, 'class {}')])
def test_any_number_of_classes_fits_its_figures(count, name):
  shown, labels, predictions, table = _choose(count, name)
  matrix = np.full((count + 1, count + 1), 999)
  figures = [
      evaluation.draw_roc(labels, predictions, shown),
      evaluation.draw_precision_recall(labels, predictions, shown),
      evaluation.draw_class_metrics(dict.fromkeys(_NAMES, table)),
      evaluation.draw_confusion_matrix(matrix, list(shown.values()), 'run'),
      evaluation.draw_confusion_matrix(matrix[1:, 1:], list(shown.values()),
                                       'run'),
  ]
  for drawn in figures:
    assert not figure_text.find_overlaps(drawn)
    assert not figure_text.find_cut(drawn)
  titles = [axes.get_title() for axes in list(figures[0].axes)]
  numbers = [int(title.split()[0]) for title in titles if title]
  assert numbers == list(shown)
  for axes in list(figures[0].axes)[:4]:  # numbers under the last of a column
    column = [
        each
        for each in list(figures[0].axes)[axes.get_subplotspec().colspan[0]::4]
        if each.get_title()
    ]
    assert not column or any(
        text.get_visible() for text in column[-1].get_xticklabels())


@pytest.mark.parametrize('number', range(6))
def test_no_text_covers_another_or_is_cut(number):
  drawn = _DRAWN[number]()
  assert not figure_text.find_overlaps(drawn)
  assert not figure_text.find_cut(drawn)
