"""features.json and dataset_info.json, with which TFDS opens a dataset.

With these files tfds.builder_from_directory(DIR) reads a dataset, each fold a
split. An unlabelled set is the one split `test`. The files are written as plain
JSON, since importing tensorflow_datasets would import TensorFlow into the
converter. Raw pixels are a Tensor with the encoding 'bytes', which TFDS stores
as H*W*C bytes, as spec.py does.

Source: tensorflow_datasets 4.9.10, core/folder_dataset/writing.py and the
feature.proto and dataset_info.proto that it writes as JSON.
"""

import json
import os
from typing import Any, Sequence

from hpa_records.format import manifest
from hpa_records.format import spec as spec_lib
from hpa_records.format import tfrecord
from hpa_records.runtime import json_text
from hpa_records.runtime import printable
from hpa_records.storage import filesystem

FEATURES_NAME = 'features.json'
INFO_NAME = 'dataset_info.json'
NAMES = (FEATURES_NAME, INFO_NAME)

_MOST_TEXT = 2**14  # bytes of a longer description
_TEXTS = {'description', 'name', 'version'}  # may differ
_CLASS = 'tensorflow_datasets.core.features.'


def write(directory: str, spec: spec_lib.Spec, num_folds: int,
          shards: Sequence[manifest.Shard], title: str) -> dict[str, str]:
  """Writes the two files.

  Args:
    directory: of the dataset.
    spec: of the dataset.
    num_folds: F; without effect for an unlabelled set.
    shards: all shards in file order: of folds, or of an unlabelled set.
    title: what the images are, in a few words.

  Returns:
    The sha256 of each file by its name.

  Raises:
    ValueError: shards of folds and of an unlabelled set are mixed.
  """
  for name, content in _describe(spec, num_folds, shards, title).items():
    filesystem.write_atomically(os.path.join(directory, name), _encode(content))
  return {
      name: filesystem.sha256(os.path.join(directory, name)) for name in NAMES
  }


def _encode(content: dict[str, Any]) -> bytes:
  return json.dumps(content, indent=1, sort_keys=True).encode() + b'\n'


def check(name: str, data: bytes, spec: spec_lib.Spec, num_folds: int,
          shards: Sequence[manifest.Shard]) -> None:
  """Checks the values that TFDS uses: features, format and splits.

  Args:
    name: one of NAMES.
    data: content of that file.
    spec: as in write.
    num_folds: as in write.
    shards: as in write.

  Raises:
    ValueError: the file is not JSON, or does not describe these shards.
  """
  wanted = _describe(spec, num_folds, shards, '')[name]
  if len(data) > 2 * len(_encode(wanted)) + _MOST_TEXT:
    raise ValueError(f'too large for these records: {len(data):,} bytes')
  content = json_text.parse(data)
  json_text.check_form(content, {key: str for key in _TEXTS & set(wanted)},
                       name)
  for key, value in wanted.items():
    if key not in _TEXTS and content.get(key) != value:
      raise ValueError(f'{key} does not match the records')
  # TFDS also accepts other spellings of these keys, and imports the module
  # that `type` names.
  for key in sorted(set(content) - set(wanted)):
    raise ValueError(f'unknown key {printable.quote(key)}')


def _describe(spec: spec_lib.Spec, num_folds: int,
              shards: Sequence[manifest.Shard],
              title: str) -> dict[str, dict[str, Any]]:
  """Returns the content of both files by name."""
  splits = _splits(shards)
  names = [split['name'] for split in splits]
  labelled = spec_lib.UNLABELLED_GROUP not in names
  if not labelled and len(names) > 1:
    raise ValueError(
        'Expected only shards of folds or only of '
        f'{spec_lib.UNLABELLED_GROUP!r}, received {names}; '
        'features.json has one list of features for all splits, so write two '
        'folders.')
  return {
      FEATURES_NAME: {
          'pythonClassName': f'{_CLASS}features_dict.FeaturesDict',
          'featuresDict': {
              'features': _features(spec, num_folds, labelled)
          },
      },
      INFO_NAME: {
          'description': _description(spec, labelled, title),
          'fileFormat': 'tfrecord',
          'name': 'hpa_records',
          'splits': splits,
          'version': f'{spec_lib.FORMAT_VERSION}.0.0',
      },
  }


def _features(spec: spec_lib.Spec, num_folds: int,
              labelled: bool) -> dict[str, Any]:
  if spec.encoding == 'png':
    image = {
        'pythonClassName': f'{_CLASS}image_feature.Image',
        'image': {
            'dtype': 'uint8',
            'encodingFormat': 'png',
            'shape': _dimensions(spec.image_shape)
        },
    }
  else:
    image = _tensor('tensor_feature.Tensor', 'uint8', spec.image_shape, 'bytes')
  features = {
      spec_lib.ID: {
          'pythonClassName': f'{_CLASS}text_feature.Text',
          'text': {}
      },
      spec_lib.IMAGE: image,
  }
  if labelled:
    features |= {
        spec_lib.FOLD:
            _tensor('scalar.Scalar', 'int64', ()),
        spec_lib.LABELS:
            _tensor('tensor_feature.Tensor', 'int64', (spec.num_classes,)),
        spec_lib.REPEATS:
            _tensor('tensor_feature.Tensor', 'float32', (num_folds,)),
    }
  return features


def _tensor(kind: str,
            dtype: str,
            shape: tuple[int, ...],
            encoding: str = 'none') -> dict[str, Any]:
  return {
      'pythonClassName': f'{_CLASS}{kind}',
      'tensor': {
          'dtype': dtype,
          'encoding': encoding,
          'shape': _dimensions(shape)
      },
  }


def _dimensions(shape: tuple[int, ...]) -> dict[str, list[str]]:
  return {'dimensions': [str(size) for size in shape]} if shape else {}


def _splits(shards: Sequence[manifest.Shard]) -> list[dict[str, Any]]:
  groups: dict[str, list[manifest.Shard]] = {}
  for shard in shards:
    groups.setdefault(tfrecord.group_of(shard.name), []).append(shard)
  return [{
      'name': group,
      'filepathTemplate': '{SPLIT}-{SHARD_X_OF_Y}.{FILEFORMAT}',
      'shardLengths': [str(shard.records) for shard in members],
      'numBytes': str(sum(shard.bytes for shard in members)),
  } for group, members in groups.items()]


def _description(spec: spec_lib.Spec, labelled: bool, title: str) -> str:
  start = f'{title}, channels {", ".join(spec.channel_names)}; '
  if not labelled:
    return start + 'without labels.'
  classes = ', '.join(f'{i} {name}' for i, name in enumerate(spec.classes))
  return start + f'one split a fold; labels are multi-hot over {classes}.'
