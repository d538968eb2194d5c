"""ML-ROS and LP-ROS: random oversampling by labels and by label sets.

Both clone random images of the training folds until they have P % more, and
remove none. A clone is a copy that an epoch draws; which of them are
transformed is up to the trainer.

Source: Charte et al., "Addressing imbalance in multilabel classification:
Measures and random resampling algorithms", Neurocomputing 163, 2015, sections
on LP-ROS and ML-ROS. Choices of our own, where it is silent: clones are drawn
with replacement from the original images, not from earlier clones; shares are
rounded down to whole clones; images without labels form no label set.
"""

import numpy as np

from hpa_records.sampling import imbalance
from hpa_records.sampling import label_set


def clone_labels(labels: np.ndarray, percent: int,
                 rng: np.random.Generator) -> np.ndarray:
  """Returns the copies of each image by ML-ROS, [n] int64, at least 1.

  The minority labels, IRLbl above MeanIR, take turns: each clones a random
  image of its own. A label leaves when its IRLbl, with the clones of all
  labels, is at most MeanIR of the images without clones. It ends when all have
  left, or P % are added.

  Args:
    labels: [n, K] uint8 multi-hot.
    percent: P.
    rng: of the draws.
  """
  counts = np.ones(len(labels), np.int64)
  found = imbalance.measure(labels)
  bags = {
      k: np.flatnonzero(labels[:, k])
      for k in np.flatnonzero(found.is_rare).tolist()
  }
  totals = labels.sum(axis=0, dtype=np.int64).tolist()
  largest = max(totals)
  sets, numbers = label_set.find(labels)
  classes_of_set = [np.flatnonzero(row).tolist() for row in sets]
  left = len(labels) * percent // 100
  while bags and left:
    places = rng.random(len(bags)).tolist()
    for k, place in list(zip(bags, places))[:left]:
      image = bags[k][int(place * len(bags[k]))]
      counts[image] += 1
      left -= 1
      for each in classes_of_set[numbers[image]]:
        totals[each] += 1
        largest = max(largest, totals[each])
      if largest <= found.mean * totals[k]:
        del bags[k]
  return counts


def clone_sets(labels: np.ndarray, percent: int,
               rng: np.random.Generator) -> np.ndarray:
  """Returns the copies of each image by LP-ROS, [n] int64, at least 1.

  The label sets with fewer images than the mean of all sets share the clones
  equally, from the largest set on. None is raised above the mean; what it
  leaves is shared by the sets after it.

  Args:
    labels: [n, K] uint8 multi-hot.
    percent: P.
    rng: of the draws.
  """
  counts = np.ones(len(labels), np.int64)
  labelled = np.flatnonzero(labels.any(axis=1))
  if not labelled.size:
    return counts
  _, numbers = label_set.find(labels[labelled])
  sizes = np.bincount(numbers)
  mean = len(labelled) / len(sizes)
  small = np.flatnonzero(sizes < mean)
  small = small[np.argsort(-sizes[small], kind='stable')]
  left, clones = len(labels) * percent // 100, []
  for place, room in enumerate((int(mean) - sizes[small]).tolist()):
    clones.append(min(room, left // (len(small) - place)))
    left -= clones[-1]
  members = labelled[np.argsort(numbers, kind='stable')]
  firsts = np.cumsum(sizes) - sizes
  chosen = np.repeat(small, clones)
  places = (rng.random(len(chosen)) * sizes[chosen]).astype(np.int64)
  counts += np.bincount(members[firsts[chosen] + places], minlength=len(labels))
  return counts
