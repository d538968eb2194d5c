"""feature_scores, feature_places: what tells classes scores high; no leak."""

import dataclasses

import numpy as np
import pytest

from trainer.prediction import feature_places
from trainer.prediction import feature_scores
from trainer.prediction import feature_table
from trainer.run.embedding import feature_map
from trainer.run.embedding import map_figure

_CLASSES = 3


def _make(count=60, models=2, spread=0.3, groups=1, shift=50.0):
  """Images whose last features lie around the center of their class, each
  model in other coordinates; probabilities say nothing."""
  rng = np.random.default_rng(3)
  truth = np.arange(count) % _CLASSES
  fold = np.arange(count) // _CLASSES % models
  centers = rng.normal(size=(models, _CLASSES, 8)) * 3
  features = centers[fold, truth] + rng.normal(size=(count, 8)) * spread
  features += fold[:, np.newaxis] * shift
  values = np.hstack([features, np.full((count, _CLASSES), 0.5)])
  names = [f'g{i // groups}' if groups > 1 else '' for i in range(count)]
  return feature_table.Table(ids=np.array([f's{i:03d}' for i in range(count)]),
                             rows=np.arange(count),
                             values=values.astype(np.float32),
                             lengths={
                                 'hidden2': 8,
                                 'probabilities': _CLASSES
                             },
                             classes=('a', 'b', 'c'),
                             metadata={},
                             num_skipped=0,
                             folds=fold.astype(np.int32),
                             models=fold.astype(np.int32),
                             trained_on=np.zeros(count, bool),
                             labels=np.eye(_CLASSES, dtype=np.uint8)[truth],
                             labelled=np.ones(count, bool),
                             groups=np.array(names))


@pytest.fixture(autouse=True)
def _few(monkeypatch):
  monkeypatch.setattr(feature_scores, '_REPETITIONS', 50)


def _values(scores, metric='auc_macro'):
  return {name: each[metric][0] for name, each in scores.items()}


@pytest.mark.parametrize('threshold', [0.5, None])
def test_features_of_classes_apart_score_high_inside_each_model(threshold):
  scores, count = feature_scores.score(_make(), threshold, with_mlsmote=True)
  assert count == 60
  found = _values(scores, feature_scores.choose_metric(threshold))
  assert found['neighbours'] > 0.95 and found['probe'] > 0.95
  assert found['network'] < 0.7
  assert scores['mlsmote'] == scores['probe']  # no class is rare
  for metrics in scores.values():
    for value, low, high in metrics.values():
      assert low <= value <= high


def test_features_of_noise_score_as_chance_also_of_rare_classes(monkeypatch):
  monkeypatch.setattr(feature_scores, '_REPETITIONS', 1)
  found = {name: [] for name in ('neighbours', 'probe', 'network')}
  for seed in range(10):
    rng = np.random.default_rng(seed)
    table = dataclasses.replace(_make(40, models=1),
                                labels=(rng.random((40, 16))
                                        < 0.12).astype(np.uint8),
                                values=rng.normal(size=(40,
                                                        24)).astype(np.float32),
                                lengths={
                                    'hidden2': 8,
                                    'probabilities': 16
                                })
    scores, _ = feature_scores.score(table, 0.5)
    for name, value in _values(scores).items():
      found[name].append(value)
  for values in found.values():
    assert abs(np.mean(values) - 0.5) < 0.03, found


def test_no_image_is_predicted_by_another_of_its_group():
  """Equal images of random labels: only a leak could tell them."""
  rng = np.random.default_rng(0)
  features = np.repeat(rng.normal(size=(30, 8)), 8, axis=0)
  labels = np.eye(3, dtype=np.uint8)[rng.integers(0, 3, 30)]
  table = dataclasses.replace(_make(240, models=1, groups=8),
                              labels=np.repeat(labels, 8, axis=0),
                              values=np.pad(features,
                                            ((0, 0),
                                             (0, 3))).astype(np.float32))
  scores, _ = feature_scores.score(table, 0.5)
  assert max(_values(scores).values()) < 0.65
  table = dataclasses.replace(table, groups=np.full(240, ''))
  scores, _ = feature_scores.score(table, 0.5)
  assert _values(scores)['neighbours'] > 0.9  # what a leak would look like


def test_a_few_groups_of_one_class_each_are_scored():
  table = _make(16, models=1, groups=4)
  labels = np.eye(_CLASSES, dtype=np.uint8)[np.arange(16) // 4 % 2]
  scores, count = feature_scores.score(
      dataclasses.replace(table, labels=labels), 0.5)
  assert count == 16 and 'auc_macro' in scores['probe']


def test_what_the_model_was_trained_on_or_has_no_labels_is_left_out():
  table = _make()
  labelled = np.arange(60) < 50
  table = dataclasses.replace(table,
                              trained_on=np.arange(60) < 10,
                              labelled=labelled)
  _, count = feature_scores.score(table, 0.5)
  assert count == 40
  for change in ({
      'labelled': ~labelled & labelled
  }, {
      'groups': np.full(60, 'one')
  }):
    assert feature_scores.score(dataclasses.replace(table, **change),
                                0.5) == ({}, 0)


def test_scores_are_the_same_each_time_and_in_any_order_of_rows():
  table = _make()
  first, _ = feature_scores.score(table, 0.5)
  assert feature_scores.score(table, 0.5)[0] == first
  order = np.random.default_rng(0).permutation(60)
  fields = {
      name: getattr(table, name)[order]
      for name in ('ids', 'rows', 'folds', 'models', 'trained_on', 'labels',
                   'labelled', 'groups')
  }
  other, _ = feature_scores.score(dataclasses.replace(table, **fields), 0.5)
  assert first.keys() == feature_map.SCORERS.keys() - {'mlsmote'}
  for name, value in _values(first).items():
    assert _values(other)[name] == pytest.approx(value, abs=0.02)


def _read_images(rows):
  """The number of an image in each of its pixels."""
  return np.broadcast_to(rows[:, np.newaxis, np.newaxis, np.newaxis],
                         (len(rows), 8, 8, 4)).astype(np.uint8)


def _place(table, method, model_fold=0):
  return feature_places.make(table, 0.5, model_fold, _read_images, method)


@pytest.mark.parametrize('method', feature_map.METHODS)
def test_a_map_keeps_classes_apart_and_is_the_same_each_time(method):
  table = _make()
  found = _place(table, method)
  assert found.places.shape == (60, 2)
  np.testing.assert_array_equal(_place(table, method).places, found.places)
  for model in (0, 1):
    rows = np.flatnonzero(found.models == model)
    places = found.places[rows]
    apart = np.linalg.norm(places[:, np.newaxis] - places, axis=-1)
    np.fill_diagonal(apart, np.inf)
    nearest = rows[apart.argmin(axis=1)]
    assert (found.labels[nearest] == found.labels[rows]).all(axis=1).mean() > .9


def test_neighbours_are_the_nearest_of_the_same_model():
  table = _make()
  found = _place(table, 'PCA', model_fold=1)
  assert len(found.queries) == _CLASSES and found.neighbours.shape == (3, 5)
  assert (found.models[found.queries] == 1).all()
  assert (found.models[found.neighbours] == 1).all()
  assert (np.diff(found.distances, axis=1) >= 0).all()
  for query, neighbours, images in zip(found.queries, found.neighbours,
                                       found.images):
    assert query not in neighbours
    assert (found.labels[neighbours] == found.labels[query]).all()
    assert images[:, 0, 0, 0].tolist() == [query, *neighbours]


def test_neighbours_are_of_the_model_with_most_images_if_the_chosen_has_none():
  table = dataclasses.replace(_make(),
                              models=np.repeat([1, 2], [20, 40]).astype('i4'))
  found = _place(table, 'PCA', model_fold=0)
  assert len(found.queries) and (found.models[found.queries] == 2).all()
  assert (found.models[found.neighbours] == 2).all()


@pytest.mark.parametrize('count', [1, 2, 5])
def test_a_few_images_have_a_map(count):
  table = _make(count, models=1)
  found = _place(table, 'UMAP')
  assert np.isfinite(found.places).all()
  assert found.neighbours.shape[1] == min(count - 1, 5)


def test_images_without_labels_have_a_map_and_neighbours_but_no_scores():
  table = _make()
  table = dataclasses.replace(table,
                              labels=np.zeros_like(table.labels),
                              labelled=np.zeros(60, bool))
  found = _place(table, 'PCA')
  assert found.scores == {} and len(found.queries)


def test_what_the_model_was_trained_on_has_no_place():
  table = dataclasses.replace(_make(), trained_on=np.arange(60) % 2 == 0)
  assert _place(table,
                'PCA').ids.tolist() == [f's{i:03d}' for i in range(1, 60, 2)]


def test_an_image_has_the_color_of_its_rarest_class_with_one():
  labels = np.zeros((40, 12), np.uint8)
  for number in range(12):
    labels[:30 - 2 * number, number] = 1
  colors, classes = map_figure.choose_colors(labels)
  assert classes == list(range(8))
  assert colors[0] == 7 and colors[29] == 0 and colors[39] == 8
  labels = np.zeros((3, 12), np.uint8)
  labels[0, 9] = 1
  assert map_figure.choose_colors(labels)[0].tolist() == [0, 8, 8]


def test_the_figure_has_a_panel_a_model_and_the_names_of_classes():
  found = _place(_make(), 'PCA')
  drawn = map_figure.draw(found, ('a', 'b', 'c'))
  assert [axes.get_title() for axes in drawn.get_axes()
         ] == [f'PCA, fold {model}: 30 images' for model in (0, 1)]
  legend, = drawn.legends
  assert [each.get_text() for each in legend.get_texts()
         ] == ['a', 'b', 'c', 'other']
