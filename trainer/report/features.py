"""The section of a run's features: maps, scores, and neighbours of images.

A run has it when its folder has the map that hpa-embed --figures writes beside
a table of features.
"""

import os
from typing import Any

import numpy as np

from hpa_records.inspection import figure
from hpa_records.runtime import errors
from trainer.report import files as files_lib
from trainer.report import result as result_lib
from trainer.report import tables
from trainer.report import tile
from trainer.run.embedding import feature_map as feature_map_lib
from trainer.run.embedding import map_figure
from trainer.run import workdir
from trainer.scoring import metrics

_SIDE = 400  # of a map, in units of its SVG
_MARGIN = 10
_MOST_POINTS = 1000  # of a map
_SEED = 0


def describe(result: result_lib.Result,
             files: files_lib.Files) -> dict[str, Any] | None:
  """Returns what the page says of a run's features; None without them.

  Args:
    result: of the run.
    files: of the run; the figure is added.

  Raises:
    errors.DataError: the map is damaged, of other classes, or of another run.
  """
  path = os.path.join(result.run.directory, feature_map_lib.NAME)
  if not workdir.exists(path):
    return None
  found = feature_map_lib.FeatureMap.load(path, result.spec)
  _check_models(found, result, path)
  names = result.spec.classes
  figure_address = files.embed('features_map', map_figure.draw(found, names))
  colors, classes = map_figure.choose_colors(found.labels)
  palette = [*map_figure.COLORS, map_figure.OTHER]
  texts = _describe_labels(found, names)
  maps = []
  for model in np.unique(found.models).tolist():
    rows = np.flatnonzero(found.models == model)
    shown = _choose(rows)
    maps.append({
        'model':
            model,
        'images':
            len(rows),
        'points': [{
            'x': x,
            'y': y,
            'color': palette[colors[row]],
            'text': f'{found.ids[row]}: {texts[row]}'
        } for row, (x, y) in zip(shown.tolist(), _fit(found.places[shown]))]
    })
  return {
      'method': found.method,
      'space': found.space,
      'k': found.k,
      'scored': found.scored,
      'figure': figure_address,
      'side': _SIDE,
      'legend': list(map_figure.name_colors(classes, names).items()),
      'maps': maps,
      'metric': metrics.spell(found.metric),
      'scores': [(feature_map_lib.SCORERS[scorer],
                  f'{each[found.metric][0]:.3f}',
                  tables.format_interval(*each[found.metric][1:]))
                 for scorer, each in found.scores.items()],
      'neighbours': _describe_neighbours(found, texts, result),
  }


def _check_models(found: feature_map_lib.FeatureMap, result: result_lib.Result,
                  path: str) -> None:
  """Raises errors.DataError if a map is of folds that are not finished."""
  finished = [fold.number for fold in result.run.folds]
  others = np.setdiff1d(found.models, finished)
  if others.size:
    raise errors.DataError(
        f'{path} has a map of the model of fold {others[0]}, which is not '
        f'among the finished folds {", ".join(map(str, finished))}; run '
        'hpa-embed --figures again, or remove it.')


def _describe_labels(found: feature_map_lib.FeatureMap,
                     names: tuple[str, ...]) -> list[str]:
  """Returns the labels of each image as text."""
  return [
      ', '.join(names[k]
                for k in np.flatnonzero(row)) or 'no label known'
      for row in found.labels
  ]


def _choose(rows: np.ndarray) -> np.ndarray:
  """Returns up to _MOST_POINTS of rows, in order."""
  if len(rows) <= _MOST_POINTS:
    return rows
  rng = np.random.default_rng(_SEED)
  return np.sort(rng.choice(rows, _MOST_POINTS, replace=False))


def _fit(places: np.ndarray) -> list[tuple[str, str]]:
  """Returns places [n, 2] as texts of coordinates inside the map's square."""
  low, high = places.min(axis=0), places.max(axis=0)
  scale = (_SIDE - 2 * _MARGIN) / max(float((high - low).max()), 1e-9)
  middle = (low.astype(float) + high) / 2
  fitted = (places - middle) * scale * (1, -1) + _SIDE / 2
  return [(f'{x:.1f}', f'{y:.1f}') for x, y in fitted.tolist()]


def _describe_neighbours(found: feature_map_lib.FeatureMap, texts: list[str],
                         result: result_lib.Result) -> list[dict[str, Any]]:
  """Returns each chosen image and its neighbours, with their pictures."""
  described = []
  for query, neighbours, distances, images in zip(found.queries.tolist(),
                                                  found.neighbours.tolist(),
                                                  found.distances.tolist(),
                                                  found.images):
    described.append({
        'model':
            int(found.models[query]),
        'images': [{
            'id':
                str(found.ids[row]),
            'labels':
                texts[row],
            'distance':
                distance,
            'picture':
                files_lib.to_address(
                    'webp', tile.to_webp(figure.composite(image, result.spec)))
        } for row, distance, image in zip(
            [query, *neighbours], ['', *(f'{each:.1f}'
                                         for each in distances)], images)]
    })
  return described
