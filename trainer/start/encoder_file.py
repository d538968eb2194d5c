"""encoder.npz: what a pre-training ends with, a network without its head."""

from collections.abc import Mapping, Sequence
import dataclasses
import json

import numpy as np

from hpa_records.format import spec as spec_lib
from hpa_records.runtime import json_text
from hpa_records.storage import filesystem
from trainer.run import arrays
from trainer.run import fold_form
from trainer.run import npz_file

_WEIGHTS, _IDS, _ABOUT = 'weights', 'ids', 'about'
NETWORK = ('model', 'activation', 'variant')  # settings of a network
_FORM = {
    'epoch': int,
    'network': dict.fromkeys(NETWORK, str),
    'channels': [str]
}
_MOST_LETTERS = 2**14  # of the text about it


@dataclasses.dataclass(frozen=True)
class Encoder:
  """The layers of a network that were pre-trained.

  Attributes:
    values: weights by the name of their layer, in the order of layer.weights.
    trained: [N] str, ids of the images that they were trained on.
    network: its settings, those of NETWORK by name.
    channels: names of the channels of the images.
    epoch: after which they are.
  """
  values: Mapping[str, Sequence[np.ndarray]]
  trained: np.ndarray
  network: Mapping[str, str]
  channels: tuple[str, ...]
  epoch: int


def write(path: str, encoder: Encoder) -> None:
  """Writes the file, under its name once it is complete.

  Raises:
    OSError: it cannot be written.
  """
  about = json.dumps({
      'epoch': encoder.epoch,
      'network': dict(encoder.network),
      'channels': encoder.channels
  })
  named = {
      f'{_WEIGHTS}/{layer}/{number:03d}': value
      for layer, values in encoder.values.items()
      for number, value in enumerate(values)
  }
  with filesystem.atomic_writer(path) as file:
    np.savez(file, **named, **{_IDS: encoder.trained, _ABOUT: about})


def read(path: str) -> Encoder:
  """Returns the content of the file.

  Raises:
    errors.DataError: it is damaged, or of another kind.
  """
  try:
    found = npz_file.read(path)
    text = str(found.pop(_ABOUT))
    if len(text) > _MOST_LETTERS:
      raise ValueError(f'a text of {len(text):,} letters')
    about = json_text.parse(text)
    json_text.check_form(about, _FORM, _ABOUT)
    if not 1 <= about['epoch'] <= fold_form.MOST_EPOCHS:
      raise ValueError(f'epoch: received {about["epoch"]!r:.40}')
    for each in NETWORK:
      text = about['network'][each]
      if len(text) > spec_lib.MAX_NAME or not text.isprintable():
        raise ValueError(f'{each}: received {text!r:.40}')
    spec_lib.check_names('channels', about['channels'], spec_lib.MAX_CHANNELS)
    trained = found.pop(_IDS)
    if trained.dtype.kind != 'U' or trained.ndim != 1:
      raise ValueError(f'{_IDS}: expected texts')
    values: dict[str, list[np.ndarray]] = {}
    for name in sorted(found):
      kind, layer, _ = name.split('/')
      if kind != _WEIGHTS:
        raise ValueError(f'{name!r:.40} is no weight')
      values.setdefault(layer, []).append(found[name])
    network = {name: about['network'][name] for name in NETWORK}
    return Encoder(values, trained, network, tuple(about['channels']),
                   about['epoch'])
  except Exception as error:  # zipfile and NumPy each raise their own
    raise arrays.damaged(path, error) from error
