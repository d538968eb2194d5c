"""features.json and dataset_info.json: TensorFlow Datasets opens the folder.

With these two files beside the shards, tfds.builder_from_directory(DIR) reads
a dataset as it is, each fold a split. They are written as plain JSON, since
importing tensorflow_datasets would bring TensorFlow into the converter; the
test opens them with the real library. Raw pixels are a Tensor in the encoding
'bytes', which TFDS stores and reads as H*W*C bytes, just as schema.py says.

Source: tensorflow_datasets 4.9.10, core/folder_dataset/writing.py and the
feature.proto and dataset_info.proto that it writes as JSON.
"""

import json
import os
from typing import Any, Sequence

from hpa_records import filesystem
from hpa_records import manifest
from hpa_records import schema

FEATURES_NAME = 'features.json'
INFO_NAME = 'dataset_info.json'

_CLASS = 'tensorflow_datasets.core.features.'


def write(directory: str, settings: dict[str, Any],
          shards: Sequence[manifest.Shard]) -> dict[str, str]:
  """Writes the two files.

  Args:
    directory: of the dataset.
    settings: as in the manifest: image_size, encoding and num_folds.
    shards: every shard, in file order.

  Returns:
    The sha256 of each file by its name.
  """
  contents = {
      FEATURES_NAME: {
          'pythonClassName': f'{_CLASS}features_dict.FeaturesDict',
          'featuresDict': {
              'features': _features(settings)
          },
      },
      INFO_NAME: {
          'description': _description(),
          'fileFormat': 'tfrecord',
          'name': 'hpa_records',
          'splits': _splits(shards),
          'version': f'{schema.FORMAT_VERSION}.0.0',
      },
  }
  for name, content in contents.items():
    text = json.dumps(content, indent=1, sort_keys=True) + '\n'
    filesystem.write_atomically(os.path.join(directory, name), text.encode())
  return {
      name: manifest.file_sha256(os.path.join(directory, name))
      for name in contents
  }


def _features(settings: dict[str, Any]) -> dict[str, Any]:
  shape = (settings['image_size'], settings['image_size'], schema.NUM_CHANNELS)
  if settings['encoding'] == 'png':
    image = {
        'pythonClassName': f'{_CLASS}image_feature.Image',
        'image': {
            'dtype': 'uint8',
            'encodingFormat': 'png',
            'shape': _dimensions(shape)
        },
    }
  else:
    image = _tensor('tensor_feature.Tensor', 'uint8', shape, 'bytes')
  return {
      schema.ID: {
          'pythonClassName': f'{_CLASS}text_feature.Text',
          'text': {}
      },
      schema.FOLD:
          _tensor('scalar.Scalar', 'int64', ()),
      schema.LABELS:
          _tensor('tensor_feature.Tensor', 'int64', (schema.NUM_CLASSES,)),
      schema.REPEATS:
          _tensor('tensor_feature.Tensor', 'float32', (settings['num_folds'],)),
      schema.IMAGE:
          image,
  }


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
    groups.setdefault(shard.name.partition('-')[0], []).append(shard)
  return [{
      'name': group,
      'filepathTemplate': '{SPLIT}-{SHARD_X_OF_Y}.{FILEFORMAT}',
      'shardLengths': [str(shard.records) for shard in members],
      'numBytes': str(sum(shard.bytes for shard in members)),
  } for group, members in groups.items()]


def _description() -> str:
  classes = ', '.join(
      f'{i} {name}' for i, name in enumerate(schema.CLASS_NAMES))
  return (f'Human Protein Atlas images, channels {", ".join(schema.CHANNELS)}; '
          f'one split a fold; labels are multi-hot over {classes}.')
