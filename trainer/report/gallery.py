"""The gallery of a report: of each class the best hit and the worst mistakes.

Each fold wrote its own; of all folds the most extreme are shown.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hpa_records.format import spec
from trainer.report import files
from trainer.report import result as result_lib
from trainer.report import tile
from trainer.run import fold_file

_KINDS = {
    'hit': 'best hit',
    'miss': 'worst miss',
    'false_alarm': 'worst false alarm'
}


def describe(results: Sequence[result_lib.Result]) -> list[dict[str, Any]]:
  """Returns what to show of each class: of all folds, the most extreme."""
  found: dict[int, list[dict[str, Any]]] = {}
  for result in results:
    for (number, kind), (entry, row) in sorted(_pick(result).items(),
                                               key=_place):
      found.setdefault(number, []).append({
          'run':
              result.name,
          'kind':
              _KINDS[kind],
          'id':
              str(entry.ids[row]),
          'score':
              f'{entry.scores[row, number]:.3f}',
          'truth':
              np.flatnonzero(entry.labels[row]).tolist(),
          'predicted':
              np.flatnonzero(entry.scores[row] > result.threshold).tolist(),
          'image':
              files.to_address(
                  'webp',
                  tile.to_webp(
                      tile.strip(entry.images[row],
                                 [each[row] for each in entry.maps]))),
      })
  return [{
      'name': spec.CLASS_NAMES[number],
      'entries': entries
  } for number, entries in sorted(found.items())]


def _place(item: tuple[tuple[int, str], Any]) -> tuple[int, int]:
  """Classes in order, hits first."""
  (number, kind), _ = item
  return number, list(_KINDS).index(kind)


def _pick(
    result: result_lib.Result) -> Mapping[tuple[int, str], tuple[Any, int]]:
  """The most extreme entry of all folds for each class and kind."""
  best: dict[tuple[int, str], tuple[Any, int]] = {}
  extremes: dict[tuple[int, str], float] = {}
  for directory in result_lib.list_directories(result.run):
    entries = fold_file.load_gallery(directory)
    if entries is None:
      continue
    for row, (number, kind) in enumerate(
        zip(entries.classes.tolist(), entries.kinds.tolist())):
      score = float(entries.scores[row, number])
      extreme = -score if kind == 'miss' else score
      if extreme > extremes.get((number, kind), -np.inf):
        extremes[number, kind] = extreme
        best[number, kind] = entries, row
  return best
