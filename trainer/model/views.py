"""The views of an image that a network's probabilities are taken of: --tta.

A network has the mean of its probabilities over the views, or their maximum;
over networks it is always the mean.

Source of the maximum: CellProfiling/HPA-competition-solutions, bestfitting.
"""

from hpa_records.runtime import errors
from hpa_records.sampling import epoch_plan

_MAX, _NONE = 'dihedral_max', 'none'
TTA = ('dihedral', _MAX, _NONE)  # the default first
HELP = ('dihedral: the mean over the eight symmetries of an image; '
        'dihedral_max: their maximum; none: the image as it is.')


def list_elements(tta: str) -> range:
  """Returns the symmetries of the square that are the views.

  Args:
    tta: one of TTA.
  """
  return range(1 if tta == _NONE else epoch_plan.NUM_ELEMENTS)


def takes_maximum(tta: str) -> bool:
  """Returns whether a probability is the maximum over the views.

  Args:
    tta: one of TTA.
  """
  return tta == _MAX


def check(tta: str, is_single_label: bool) -> None:
  """Checks that the views fit what a run predicts.

  Args:
    tta: one of TTA.
    is_single_label: whether the probabilities of an image sum to 1.

  Raises:
    errors.DataError: maxima would not sum to 1.
  """
  if is_single_label and takes_maximum(tta):
    raise errors.DataError(
        f'--tta={tta} is for runs whose classes do not exclude each other: '
        'with --loss=softmax the probabilities of an image sum to 1, and their '
        'maxima do not; pass --tta=dihedral.')
