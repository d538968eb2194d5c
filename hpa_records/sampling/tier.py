"""Rana's minibatch rule: extra images of the rarest classes, by tiers.

In their code each batch of 32 has 17 images in the ordinary order, each once in
an epoch, and 15 extra ones: three of each class of one tier of five classes.
The tier is drawn for each batch, the rarest with probability 1/2, the other two
with 1/4 each. An image of a class is chosen at random.

Here the same draws are expected repeats of an epoch: so many extra draws for
each class, spread evenly over its images and at random over the batches. That
keeps any batch size, the exact plan and its resumption. Their lists are of
HPA's classes, and are its 15 rarest in order of their images: so here tiers are
made of the images of the training folds, each with 18 % of the classes (five of
theirs), at least one.

Source: Rana et al., Bioinformatics 39, 2023, btac841;
priyarana/Protein-subcellular-localisation-method@cbb1c3f, main.py. Tiers by
counts, and expected draws in place of those of a batch, are choices of our own.
"""

import numpy as np

from hpa_records.sampling import label_set

_EXTRA_OF_ORDINARY = 15 / 17
_CHANCES = (1 / 2, 1 / 4, 1 / 4)  # of the tiers, from the rarest on
_PART = 0.18  # of the classes in a tier


def cut(labels: np.ndarray) -> list[np.ndarray]:
  """Returns the classes of each tier, from the rarest on.

  Args:
    labels: [n, K] uint8 multi-hot, of the training images.

  Returns:
    Three arrays [t] int64 of class numbers; the last ones are empty if few
      classes have images. Of classes with equally many images the first is
      taken for the rarer one.
  """
  images = labels.sum(axis=0, dtype=np.int64)
  order = np.argsort(images, kind='stable')
  order = order[images[order] > 0]
  size = max(1, round(_PART * len(order)))
  return [
      order[size * number:size * (number + 1)]
      for number in range(len(_CHANCES))
  ]


def mark_rarest(labels: np.ndarray) -> np.ndarray:
  """Returns which classes are in the first tier, [K] bool.

  Args:
    labels: [n, K] uint8 multi-hot, of the training images.
  """
  found = np.zeros(labels.shape[1], bool)
  found[cut(labels)[0]] = True
  return found


def find_kinds(labels: np.ndarray, trained: np.ndarray) -> np.ndarray:
  """Returns the rarest class of the first tier of each image, [N] int64.

  Args:
    labels: [N, K] uint8 multi-hot.
    trained: [n, K] uint8 multi-hot, of the training images.

  Returns:
    Its place in the tier, 0 for the rarest; -1 for an image without one.
  """
  has = labels[:, cut(trained)[0]] > 0
  return np.where(has.any(axis=1), has.argmax(axis=1), -1)


def draw(labels: np.ndarray) -> np.ndarray:
  """Returns the expected draws of each image in an epoch, [n] float64, >= 1.

  Args:
    labels: [n, K] uint8 multi-hot, of the training images.
  """
  images = labels.sum(axis=0, dtype=np.int64)
  extra = np.zeros(labels.shape[1])  # draws of each image of a class
  for classes, chance in zip(cut(labels), _CHANCES):
    each = len(labels) * _EXTRA_OF_ORDINARY * chance / max(1, len(classes))
    extra[classes] = each / images[classes]
  return 1 + label_set.sums(labels, extra)
