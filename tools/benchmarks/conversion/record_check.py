"""Checks that two ways to convert did the same work."""

import pathlib
import struct
from typing import Any, Iterable

import numpy as np

from hpa_records.format import example
from hpa_records.format import tfrecord

# Of 255. On real fields filters lie 0.4 apart at 299 px and 1.8 at 64, a turned
# image or another sample 9 or more; a swapped channel 1.6, so that channels are
# compared with each other.
MAX_MEAN_DIFFERENCE = 4.0


def read(path: str, sample: dict[str, Any],
         size_px: int) -> tuple[int, np.ndarray]:
  """Returns the number of records, and the pixels of one sample.

  Args:
    path: of a file of records, or of a folder with such.
    sample: with id, labels, and files, one a channel.
    size_px: height and width that it should have.

  Returns:
    The count, and [size_px, size_px, C] uint8.

  Raises:
    RuntimeError: the sample is missing, or of another size.
  """
  folder = pathlib.Path(path)
  paths = sorted(folder.glob('*.tfrecord')) if folder.is_dir() else [folder]
  shape = (size_px, size_px, len(sample['files']))
  count, found = 0, None
  for each in paths:
    for _, data in tfrecord.read(str(each)):
      count += 1
      record = example.decode(data, len(sample['labels']))
      if record.id == sample['id']:
        found = np.frombuffer(record.image, np.uint8)
  if found is None or found.size != np.prod(shape):
    raise RuntimeError(f'Expected {sample["id"]} with {shape} pixels among the '
                       f'{count} records of {path}, found none')
  return count, found.reshape(shape)


def compare(images: dict[str, np.ndarray], ours: str) -> dict[str, float]:
  """Returns the mean difference of each image from one of them, 0..255.

  Args:
    images: [H, W, C] uint8 by name.
    ours: name of the one.

  Raises:
    RuntimeError: an image differs more than another filter explains.
  """
  differences = {}
  num_channels = images[ours].shape[-1]
  reference = images[ours].reshape(-1, 1, num_channels).astype(float)
  for name, image in images.items():
    pixels = image.reshape(-1, num_channels, 1)
    each = np.abs(pixels - reference).mean(axis=0)  # [its, our channel]
    same = np.diag(each)
    differences[name] = float(same.mean())
    if (differences[name] > MAX_MEAN_DIFFERENCE or
        (same > each.min(axis=1)).any()):
      raise RuntimeError(
          f'Expected pixels of {name} within {MAX_MEAN_DIFFERENCE} of {ours} '
          f'in the mean, channel by channel, found\n{each.round(2)}')
  return differences


def count_inflated(paths: Iterable[str]) -> int:
  """Returns how many bytes the pixels of 8-bit gray PNGs inflate to.

  Source: PNG specification (W3C), 7.3: a filter byte before each row.
  """
  count = 0
  for path in paths:
    with open(path, 'rb') as file:
      width, height = struct.unpack('>II', file.read(24)[16:])
    count += height * (width + 1)
  return count
