"""The layers of a network, grouped into the blocks of a drawing.

A network of up to 80 layers keeps its layers, with minor ones joined to their
neighbours: padding to the layer after it, an activation or dropout to the one
before it, a norm to the convolution before it, or else to the layer after it. A
larger network, or one with more branches than stand beside each other, is cut
where a single layer connects both sides; repeated pieces of the same size
become one block.
"""

import collections
from collections.abc import Mapping, Sequence
import dataclasses
import os
from typing import Any

_MOST_LAYERS = 80  # that are drawn individually
_MOST_BRANCHES = 4  # that one layer joins
_LEAST_PREFIX = 4  # letters of a common prefix used as a name

Layer = Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Block:
  """Layers that are drawn as one block.

  Attributes:
    name: of a layer, or the common prefix of several.
    details: classes of its layers.
    kind: class of its main layer.
    shape: of its output without the batch axis; None for a variable size.
    parameters: number of parameters of all its layers.
    inputs: positions of the blocks that feed it, all of them earlier.
  """
  name: str
  details: str
  kind: str
  shape: tuple[int | None, ...]
  parameters: int
  inputs: tuple[int, ...]


def group(layers: Sequence[Layer]) -> list[Block]:
  """Returns the blocks of a network, in topological order.

  Args:
    layers: of summary.summarise.
  """
  is_cut = len(layers) > _MOST_LAYERS or any(
      len(each['inputs']) > _MOST_BRANCHES for each in layers)
  pieces = _join(layers,
                 _cut(layers) if is_cut else [[layer] for layer in layers])
  runs = [[piece] for piece in pieces]
  if is_cut:
    runs = _find_repeats(pieces)
  owners = {
      layer['name']: i
      for i, run in enumerate(runs) for piece in run for layer in piece
  }
  return [_describe(run, i, owners) for i, run in enumerate(runs)]


def _cut(layers: Sequence[Layer]) -> list[list[Layer]]:
  """Returns pieces, cut after layers that all paths go through."""
  lasts = {layer['name']: i for i, layer in enumerate(layers)}
  for i, layer in enumerate(layers):
    for name in layer['inputs']:
      lasts[name] = i
  pieces: list[list[Layer]] = [[]]
  furthest = 0  # layer that is fed by one before the current layer
  for i, layer in enumerate(layers):
    pieces[-1].append(layer)
    if furthest <= i:
      pieces.append([])
    furthest = max(furthest, lasts[layer['name']])
  return [piece for piece in pieces if piece]


def _join(layers: Sequence[Layer],
          pieces: Sequence[list[Layer]]) -> list[list[Layer]]:
  """Returns pieces with single layers joined to the piece that feeds them."""
  uses = collections.Counter(
      name for layer in layers for name in layer['inputs'])
  joined: list[list[Layer]] = []
  owners: dict[str, list[Layer]] = {}
  for piece in pieces:
    first = piece[0]
    owner = owners.get(first['inputs'][0]) if len(
        first['inputs']) == 1 else None
    # The owner feeds nothing else, and its last layer feeds this one.
    if (owner and len(piece) == 1 and uses[first['inputs'][0]] == 1 and
        owner[-1]['name'] == first['inputs'][0] and _belongs(first, owner)):
      owner += piece
    else:
      owner = list(piece)
      joined.append(owner)
    owners.update((layer['name'], owner) for layer in piece)
  return joined


def _belongs(layer: Layer, before: Sequence[Layer]) -> bool:
  """Returns whether a layer is drawn with those before it."""
  kind, last = layer['kind'], before[-1]['kind']
  if all(_is_minor(each['kind']) for each in before):
    return True
  if not _is_minor(kind) or 'Padding' in kind:
    return False
  if 'Normalization' in kind:
    return 'Conv' in last or 'Dense' in last
  # A layer after a branched piece starts the next one, except the activation
  # of a sum.
  return last == 'Add' or not _is_branched(before)


def _is_branched(piece: Sequence[Layer]) -> bool:
  """Returns whether a piece is more than a chain of layers."""
  return len(piece) > 1 and any(len(each['inputs']) > 1 for each in piece)


def _is_minor(kind: str) -> bool:
  return kind.endswith(
      ('LU', 'Activation', 'ProbAct', 'Normalization', 'Dropout')) or ('Padding'
                                                                       in kind)


def _find_repeats(pieces: Sequence[list[Layer]]) -> list[list[list[Layer]]]:
  """Returns runs of adjacent pieces with equal classes, height and width."""
  runs: list[list[list[Layer]]] = []
  for piece in pieces:
    if runs and _sign(runs[-1][-1]) == _sign(piece):
      runs[-1].append(piece)
    else:
      runs.append([piece])
  return runs


def _sign(piece: Sequence[Layer]) -> tuple:
  return [layer['kind'] for layer in piece], piece[-1]['shape'][:-1]


def _describe(run: Sequence[list[Layer]], position: int,
              owners: Mapping[str, int]) -> Block:
  layers = [layer for piece in run for layer in piece]
  main = [layer for layer in run[0] if not _is_minor(layer['kind'])] or run[0]
  is_branched = _is_branched(run[0])
  kinds = [layer['kind'] for layer in run[0]]
  if is_branched:
    kinds = [
        kind if count == 1 else f'{count}×{kind}'
        for kind, count in collections.Counter(kinds).items()
    ]
  name, details = main[0]['name'], ', '.join(kinds)
  if len(run) > 1 or is_branched:
    name = _name(layers)
  if len(run) > 1:
    name, details = f'{len(run)} × {name}', f'each: {details}'
  fed = {owners[each] for layer in layers for each in layer['inputs']}
  return Block(name, details, (main[-1] if is_branched else main[0])['kind'],
               tuple(layers[-1]['shape']),
               sum(layer['parameters'] for layer in layers),
               tuple(sorted(fed - {position})))


def _name(layers: Sequence[Layer]) -> str:
  names = [layer['name'] for layer in layers]
  shared = os.path.commonprefix(names).rstrip('_')
  if len(shared) >= _LEAST_PREFIX:
    return shared
  return f'{names[0]} … {names[-1]}'
