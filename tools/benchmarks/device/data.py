"""Makes the records to train on; a child process of the measurement.

  python -m benchmarks.device.data FOLDER NUM_SAMPLES SIZE_PX WORKERS

Drawing takes longer than converting, so few samples are drawn and converted
many times, under other ids. The copies of a sample are in training and in
held-out folds: rates and memory are those of real data, F1 is not.
"""

import csv
import json
import os
import sys
import time

from hpa_records.conversion import convert
from hpa_records.conversion import shard_plan
from hpa_records.datasets import description
from hpa_records.runtime import process
from hpa_records.synthetic import generator

_MOST_DRAWN = 1024
_SMALLEST_PX = 64  # that the generator draws
RECORDS = 'records'  # in FOLDER


def make(folder: str, num_samples: int, size_px: int, workers: int) -> None:
  """Writes records of num_samples samples to FOLDER/records.

  Args:
    folder: for all that is made.
    num_samples: to convert.
    size_px: height and width of the stored images.
    workers: processes.

  Raises:
    errors.DataError: as of the generator and the converter.
  """
  drawn, copies = os.path.join(folder, 'drawn'), os.path.join(folder, 'copies')
  generator.make(drawn,
                 min(num_samples, _MOST_DRAWN),
                 size_px=max(size_px, _SMALLEST_PX),
                 workers=workers)
  with open(os.path.join(drawn, 'train.csv'), encoding='utf-8') as file:
    rows = list(csv.DictReader(file))
  os.makedirs(copies)
  table = os.path.join(folder, 'copies.csv')
  with open(table, 'w', encoding='utf-8', newline='') as file:
    writer = csv.writer(file)
    writer.writerow(['Id', 'Target'])
    for number in range(num_samples):
      row, name = rows[number % len(rows)], f's{number:07d}'
      writer.writerow([name, row['Target']])
      for channel in description.default().channels:
        ending = f'_{channel.name}.png'
        os.link(os.path.join(drawn, 'train', row['Id'] + ending),
                os.path.join(copies, name + ending))
  convert.convert(table, copies, os.path.join(folder, RECORDS),
                  shard_plan.Settings(image_size=size_px),
                  convert.How(workers=workers))


def main() -> None:
  """Makes the records of the arguments, and prints what that took."""
  process.take()
  begun = time.perf_counter()
  folder, *numbers = sys.argv[1:]
  make(folder, *map(int, numbers))
  print(json.dumps({
      'samples': int(numbers[0]),
      'seconds': time.perf_counter() - begun
  }),
        flush=True)


if __name__ == '__main__':
  main()
