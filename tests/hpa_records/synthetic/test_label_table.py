"""label_table: frequencies of the real table."""

import csv as csv_module

import numpy as np
import pytest

from hpa_records.synthetic import label_table


def _counts(labels):
  return np.bincount(np.concatenate(labels), minlength=28)


def test_label_sets_are_those_of_the_real_table(shared_data):
  with open(shared_data / 'hpa' / 'train.csv', encoding='utf-8') as file:
    real = [
        tuple(map(int, row['Target'].split()))
        for row in csv_module.DictReader(file)
    ]
  made = label_table.draw_labels(31072, seed=1)
  ratio = _counts(made) / _counts(real)
  spread = 4 / np.sqrt(_counts(real))  # four deviations of a count
  assert (np.abs(ratio - 1) < spread).all()
  for count, low, high in ((1, .97, 1.03), (2, .97, 1.03), (3, .9, 1.1),
                           (4, .75, 1.25)):
    share = sum(len(m) == count for m in made) / sum(
        len(r) == count for r in real)
    assert low < share < high
  assert all(9 in each for each in made if 10 in each)


@pytest.mark.parametrize('num_samples,least', [(280, 10), (600, 5), (2000, 30)])
def test_min_per_class_is_kept(num_samples, least):
  labels = label_table.draw_labels(num_samples, 0, least)
  assert len(labels) == num_samples
  assert _counts(labels).min() >= least


def test_more_samples_leave_the_first_as_they_are():
  # A shared stream once put the labels of 92 in 300 rows in another order.
  assert label_table.draw_labels(300, 0) == label_table.draw_labels(900,
                                                                    0)[:300]


def test_labels_are_in_no_order():
  pairs = [each for each in label_table.draw_labels(500, 0) if len(each) == 2]
  ascending = np.mean([first < second for first, second in pairs])
  assert 0.35 < ascending < 0.65
