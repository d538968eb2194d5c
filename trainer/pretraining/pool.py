"""The images of a pre-training: several datasets as one, labelled or not.

Labels are not trained on. They hold out a fold, and score the network by
nearest neighbours. ArcFace trains on identities.
"""

import dataclasses
import functools
import hashlib
from typing import Any, Sequence

import numpy as np

from hpa_records.format import spec as spec_lib
from hpa_records.images import pixel_codec
from hpa_records.reading import dataset
from hpa_records.runtime import errors
from hpa_records.sampling import epoch_plan
from trainer.pretraining import identity
from trainer.pretraining import settings as settings_lib

_UNLABELLED = -1  # in place of a fold
_ANY_CLASS = ('any',)  # of records that know none; no logits are trained


@dataclasses.dataclass(frozen=True)
class Pool:
  """The images of a pre-training.

  Attributes:
    parts: the datasets.
    spec: channels and size of all of them; classes of those with labels.
    ids: [N] str.
    labels: [N, K] uint8 multi-hot; 0 where there are none.
    folds: [N] int64; -1 where there are no labels.
    fold: that is held out.
    identities: [N] int64, as of identity.find; all NONE without --identity.
  """
  parts: tuple[dataset.Records, ...]
  spec: spec_lib.Spec
  ids: np.ndarray
  labels: np.ndarray
  folds: np.ndarray
  fold: int
  identities: np.ndarray

  @property
  def is_trained(self) -> np.ndarray:
    """Which images are trained on, [N] bool."""
    return self.folds != self.fold

  @property
  def labelled(self) -> np.ndarray:
    """Rows of the images with labels, [n] int64."""
    return np.flatnonzero(self.folds != _UNLABELLED)

  @property
  def num_identities(self) -> int:
    """I, of the images that are trained on; 0 without --identity."""
    return int(self.identities.max()) + 1

  @functools.cached_property
  def fingerprint(self) -> str:
    """Sha256 of the datasets, in their order; that of an only one."""
    found = [each.manifest.fingerprint for each in self.parts]
    if len(found) == 1:
      return found[0]
    return hashlib.sha256('\n'.join(found).encode()).hexdigest()

  def pixels(self) -> dict[str, Any]:
    """Returns mean and std of the pixels that are trained on.

    Returns:
      mean and std, C numbers each, 0..255.
    """
    sums = [0, 0, 0]
    for part in self.parts:
      found = part.manifest.pixels
      taken = [found]
      if part.manifest.is_labelled and part.has_fold_sums:
        taken = [
            each for number, each in enumerate(found['folds'])
            if number != self.fold
        ]
      for each in taken:
        for i, key in enumerate(('count', 'sum', 'sum_of_squares')):
          sums[i] = np.add(sums[i], each[key])
    return pixel_codec.statistics(*sums)

  def plan(self, key: epoch_plan.Key, batch_size: int) -> epoch_plan.Epoch:
    """Returns an epoch: each image once, in full batches.

    The loss of a smaller batch would have fewer negatives. The images that are
    left out differ in each epoch.

    Args:
      key: of the epoch.
      batch_size: of a global batch.
    """
    whole = epoch_plan.shuffle(self.is_trained.astype(np.float32), key, 'none')
    return whole.take(np.arange(len(whole) // batch_size * batch_size))


def load(settings: settings_lib.Settings) -> Pool:
  """Returns the images of a pre-training.

  Raises:
    errors.DataError: records are missing or damaged; they differ in channels,
      size or classes, or are the same; there is no such fold; a batch has more
      images than there are; or as identity.find.
  """
  addresses = settings.addresses
  parts = tuple(dataset.load(each, allow_unlabelled=True) for each in addresses)
  labelled = [each for each in parts if each.manifest.is_labelled]
  _check_alike(parts, [each.spec.channel_names for each in parts], 'channels')
  _check_alike(parts, [each.spec.image_size for each in parts], 'image sizes')
  _check_alike(labelled, [each.spec.classes for each in labelled], 'classes')
  known = {each.manifest.fingerprint: each.directory for each in parts}
  if len(known) < len(parts):
    raise errors.DataError('--records has the same records twice: '
                           f'{settings.records}; name each of them once.')
  for each in labelled:
    if settings.fold >= each.manifest.num_folds:
      raise errors.DataError(
          f'Expected --fold from 0 to {each.manifest.num_folds - 1}, received '
          f'{settings.fold}; {each.directory} has {each.manifest.num_folds} '
          'folds.')
  spec = (labelled or parts)[0].spec
  spec = dataclasses.replace(spec, classes=spec.classes or _ANY_CLASS)
  folds = np.concatenate([_find_folds(each) for each in parts])
  is_trained = folds != settings.fold
  count = int(is_trained.sum())
  if settings.batch_size > count:
    raise errors.DataError(
        f'Expected --batch_size of at most {count:,}, received '
        f'{settings.batch_size:,}: there are {count:,} images to train on.')
  identities = np.full(len(folds), identity.NONE, np.int64)
  if settings.identity:
    identities = identity.find(parts, settings.identity, is_trained)
  return Pool(
      parts, spec,
      np.concatenate([each.index['id'].to_numpy(str) for each in parts]),
      np.concatenate([_find_labels(each, spec) for each in parts]), folds,
      settings.fold, identities)


def _check_alike(parts: Sequence[dataset.Records], values: Sequence[Any],
                 what: str) -> None:
  """Refuses datasets with another value than the first."""
  for part, value in zip(parts, values):
    if value != values[0]:
      raise errors.DataError(
          f'The records at {parts[0].directory} and {part.directory} have '
          f'different {what}; convert them with the same ones, or leave one '
          'out of --records.')


def _find_labels(part: dataset.Records, spec: spec_lib.Spec) -> np.ndarray:
  if part.manifest.is_labelled:
    return part.labels
  return np.zeros((len(part.index), spec.num_classes), np.uint8)


def _find_folds(part: dataset.Records) -> np.ndarray:
  if part.manifest.is_labelled:
    return part.index['fold'].to_numpy(np.int64)
  return np.full(len(part.index), _UNLABELLED, np.int64)
