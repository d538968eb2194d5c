"""The gallery of a report: best hit and worst mistakes of each class.

Each fold has its own gallery; the most extreme entries of all folds are shown.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from trainer.report import files
from trainer.report import result as result_lib
from trainer.report import tile
from trainer.run import fold_file
from trainer.scoring import decision
from trainer.scoring import shown_class

_KINDS = {
    'hit': 'best hit',
    'miss': 'worst miss',
    'false_alarm': 'worst false alarm'
}


def describe(results: Sequence[result_lib.Result]) -> list[dict[str, Any]]:
  """Returns the entries to show for each class, as values for the template.

  Of many classes up to shown_class.MOST, those of the first run's panels before
  others.
  """
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
          'probability':
              f'{entry.predictions[row, number]:.3f}',
          'truth':
              np.flatnonzero(entry.labels[row]).tolist(),
          'predicted':
              np.flatnonzero(
                  decision.decide(entry.predictions[row:row + 1],
                                  result.threshold)).tolist(),
          'image':
              files.to_address(
                  'webp',
                  tile.to_webp(
                      tile.strip(entry.images[row],
                                 [each[row] for each in entry.maps],
                                 result.spec))),
      })
  first = results[0]
  numbers = sorted(found)
  if first.spec.num_classes > shown_class.MOST_OF_ALL:
    shown = first.shown
    numbers.sort(key=lambda number: number not in shown)
    numbers = sorted(numbers[:shown_class.MOST])
  return [{
      'name': first.spec.classes[number],
      'entries': found[number]
  } for number in numbers]


def _place(item: tuple[tuple[int, str], Any]) -> tuple[int, int]:
  """Returns a sort key: classes in order, hits first."""
  (number, kind), _ = item
  return number, list(_KINDS).index(kind)


def _pick(
    result: result_lib.Result) -> Mapping[tuple[int, str], tuple[Any, int]]:
  """Returns the most extreme entry of all folds for each class and kind."""
  best: dict[tuple[int, str], tuple[Any, int]] = {}
  extremes: dict[tuple[int, str], float] = {}
  for directory in result_lib.list_directories(result.run):
    entries = fold_file.load_gallery(directory, result.spec)
    if entries is None:
      continue
    for row, (number, kind) in enumerate(
        zip(entries.classes.tolist(), entries.kinds.tolist())):
      probability = float(entries.predictions[row, number])
      extreme = -probability if kind == 'miss' else probability
      if extreme > extremes.get((number, kind), -np.inf):
        extremes[number, kind] = extreme
        best[number, kind] = entries, row
  return best
