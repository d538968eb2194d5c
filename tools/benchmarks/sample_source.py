"""What is measured on: the user's images and records, or some made here."""

import os

from hpa_records.conversion import convert as convert_lib
from hpa_records.conversion import shard_plan
from hpa_records.runtime import errors
from hpa_records.storage import path_check
from hpa_records.synthetic import generator


def find_images(csv: str, images: str, limit: int, scratch: str,
                num_made: int) -> tuple[str, str]:
  """Returns the paths of CSV and images, given by the user or made here.

  Args:
    csv: the flag; '' makes sample data.
    images: the flag.
    limit: the flag, number of samples to make; 0 makes num_made.
    scratch: folder for sample data.
    num_made: as of limit.

  Raises:
    errors.DataError: a path is no local one, or limit is too small.
  """
  least = shard_plan.Settings().num_folds
  if 0 < limit < least:
    raise errors.DataError(f'Expected --limit=0, or at least {least}, one '
                           f'sample a fold, received {limit}.')
  if csv:
    return (path_check.require_local(csv, 'csv'),
            path_check.require_local(images, 'images'))
  folder = os.path.join(scratch, 'data')
  generator.make(folder, limit or num_made)
  return os.path.join(folder, 'train.csv'), os.path.join(folder, 'train')


def make_records(csv: str, images: str, scratch: str, size_px: int) -> str:
  """Returns a folder of raw records of images, made here.

  Args:
    csv: as find_images returns it.
    images: as find_images returns it.
    scratch: folder for the records.
    size_px: height and width of the stored images.
  """
  records = os.path.join(scratch, 'records')
  convert_lib.convert(csv, images, records,
                      shard_plan.Settings(image_size=size_px, shard_mb=64),
                      convert_lib.How())
  return records
