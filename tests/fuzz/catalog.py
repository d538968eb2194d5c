"""All targets by name, imported when they are asked for: some take TensorFlow.
"""

import importlib

from tests.fuzz import target

MODULES = {
    'image_target': ('png', 'tiff', 'jpeg', 'jpeg2000', 'gzip', 'tiff_pages',
                     'tiff_planes', 'png_planes'),
    'dataset_target':
        ('record', 'stored_image', 'shard', 'manifest', 'index', 'parquet',
         'csv', 'pattern', 'description', 'unfinished'),
    'run_target': ('config', 'npz', 'run', 'flags', 'tf_config'),
    'model_target': ('model', 'samples'),
    'network_target': ('checkpoint',),
}
NAMES = tuple(name for names in MODULES.values() for name in names)


def find(name: str) -> target.Target:
  """Returns the target of a name of NAMES."""
  module = next(each for each, names in MODULES.items() if name in names)
  found = importlib.import_module(f'tests.fuzz.{module}')
  return found.TARGETS[name]
