"""Finds the channels, by file names and by what the files contain."""

import collections
import dataclasses
from typing import Any, Sequence

from hpa_records.format import spec
from hpa_records.survey import image_look
from hpa_records.survey import word

_PLANES = ('red', 'green', 'blue', 'alpha')


@dataclasses.dataclass(frozen=True)
class Channels:
  """The channels, and what else image files say.

  Attributes:
    channels: keys of each.
    images: keys of [images], without the pattern.
    intensity: keys of [intensity].
    notes: what was assumed or not understood, a line each.
  """
  channels: list[dict[str, Any]]
  images: dict[str, Any]
  intensity: dict[str, Any]
  notes: list[str]


def find(tokens: Sequence[str], look: image_look.Look) -> Channels:
  """Returns the channels.

  Args:
    tokens: what {channel} stands for; () if files have all channels.
    look: of some files.
  """
  sizes = collections.Counter({
      f'{height} x {width}': count
      for (height, width), count in look.sizes.items()
  })
  notes = [
      f'{look.num_files:,} of the files were opened. '
      f'{_show(sizes, "Height x width")}. {_show(look.depths, "Bits")}'
  ] if look.num_files else []
  notes += [
      f'{name} cannot be opened: {message}'
      for message, name in look.unread.items()
  ]
  images: dict[str, Any] = {}
  names = list(tokens)
  if not tokens:
    names, images = _find_stacked(look, notes)
  elif max(look.pages, default=1) > 1:
    notes.append(f'files with {_show(look.pages, "pages")}: a file of one '
                 'channel must have one')
  elif max(look.colors, default=1) > 1:
    notes.append('files with several values a pixel: they must be gray, or '
                 'tinted in the color of their channel')
  if len(look.pixel_um) == 1 and max(look.pixel_um):
    images['pixel_um'] = max(look.pixel_um)
    notes.append('pixel_um is by the resolution in the TIFFs')
  channels = [{
      'name': name,
      'color': color
  } for name, color in zip(names, word.find_colors(names))]
  notes.append('the colors are by the names of the channels, or by their '
               'order; stain = "..." says what a channel shows')
  return Channels(channels, images, _find_intensity(look, notes), notes)


def _find_stacked(look: image_look.Look,
                  notes: list[str]) -> tuple[list[str], dict[str, Any]]:
  """Returns the names of channels in a file, and keys of [images]."""
  pages = look.num_pages
  colors = look.colors.most_common(1)[0][0] if look.colors else 1
  if pages == 1:
    if colors == 1:
      notes.append('one gray file a sample: one channel')
      return ['gray'], {}
    notes.append(f'files with {colors} values a pixel: taken for {colors} '
                 'channels')
    return list(_PLANES[:colors]), {'stacked': 'planes'}
  found: dict[str, Any] = {'stacked': 'pages'}
  if len(look.pages) > 1:
    notes.append(f'files with {_show(look.pages, "pages")}')
  axes = dict(look.axes.most_common(1)[0][0])
  if axes:
    declared = ', '.join(f'{axis} = {each}' for axis, each in axes.items())
    notes.append(f'files declare the axes {declared}')
    count = axes.get('C', 1)
  elif pages <= spec.MAX_CHANNELS:
    count = pages
    notes.append(
        f'{pages} pages a file, which do not say what they are: taken for '
        f'{pages} channels. If they are focal planes, too, keep the channels '
        'that there are, and add axes = "CZ" (all planes of a channel first) or'
        ' "ZC", and project = "max" or "middle"')
  else:
    count = next(
        (each for each in range(2, spec.MAX_CHANNELS + 1) if not pages % each),
        1)
    found['axes'], found['project'] = 'CZ', 'max'
    notes.append(
        f'{pages} pages a file, which do not say what they are, more than '
        f'{spec.MAX_CHANNELS} channels: {count} channels of {pages // count} '
        'focal planes are a guess; correct the channels and axes ("CZ": all '
        'planes of a channel first, or "ZC")')
  if axes.get('Z', 1) > 1:
    found['project'] = 'max'
  return [f'channel_{i + 1}' for i in range(count)], found


def _find_intensity(look: image_look.Look, notes: list[str]) -> dict[str, Any]:
  """Returns the keys of [intensity]."""
  if set(look.depths) <= {'8'}:
    return {'rule': 'full_scale'}
  if len(look.depths) > 1:
    notes.append('files of several depths: those of a sample must be alike')
  notes.append('more than 8 bits: the percentiles 0.1 and 99.9 of each image '
               'become 0 and 255; of = "plate" or "dataset" keeps differences '
               'between images, white_level = 4095 those of a 12-bit camera')
  return {'rule': 'percentiles', 'of': 'image'}


def _show(counts: collections.Counter, what: str) -> str:
  """Returns values with their numbers of files."""
  return f'{what}: ' + ', '.join(
      f'{value} in {count:,}' for value, count in counts.most_common(8))
