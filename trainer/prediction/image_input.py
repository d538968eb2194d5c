"""The images that a command of this wing reads: its flags, checked and opened.

They are records or image files. Files become what the network was trained on by
the description that the run stored: the same channels in the same order, size,
resize filter and intensity. What that changes is said in a line.
"""

# What takes long to import is imported after --help and flags are answered.
# pylint: disable=import-outside-toplevel

import contextlib
import dataclasses
import sys
from typing import Any, ContextManager

from absl import flags

from hpa_records.ingest import doubt
from hpa_records.runtime import errors
from hpa_records.storage import path_check
from trainer import remote_tpu

FLAGS = ('records', 'stage_dir', 'images', 'csv', 'pattern', 'white_level',
         'on_error', 'on_doubt')
_OF_IMAGES = ('pattern', 'white_level', 'on_error', 'on_doubt')
_MOST_SIZES = 3  # in the line about them


def define_flags() -> None:
  """Defines FLAGS; a command calls it when it is imported."""
  flags.DEFINE_string(
      'records', '', 'Folder that hpa-make-records wrote, with --unlabelled or '
      'without, or its address.')
  flags.DEFINE_string('stage_dir', '',
                      'Local folder to copy --records to first.')
  flags.DEFINE_string(
      'images', '', 'In place of --records: folder of the image files, as of '
      'hpa-make-records.')
  flags.DEFINE_string(
      'csv', '', 'Table with the column Id: samples to use, in this order; '
      'by default all, unlabelled records in the order of their CSV.')
  flags.DEFINE_string(
      'pattern', '', 'Names of the files in --images, with {id} and {channel}; '
      'by default those of the images that were trained on.')
  flags.DEFINE_integer(
      'white_level',
      None, 'Intensity in 16-bit files that becomes 255; by default that of '
      'the images that were trained on.',
      lower_bound=0,
      upper_bound=65535)
  flags.DEFINE_enum(
      'on_error', 'stop', ('stop', 'skip'),
      'stop refuses --images with an issue; skip leaves invalid samples out.')
  flags.DEFINE_enum(
      'on_doubt', 'count', doubt.ON_DOUBT,
      'Samples of --images that are not square, or with two channels of the '
      'same bytes: count prints how many, refuse treats them as invalid.')


@dataclasses.dataclass(frozen=True)
class Input:
  """The values of FLAGS; paths are complete, '' where not given.

  Attributes:
    is_elsewhere: whether a TPU of another host reads the records.
  """
  records: str
  stage_dir: str
  images: str
  csv: str
  pattern: str
  white_level: int
  on_error: str
  on_doubt: str
  is_elsewhere: bool

  def list_paths(self) -> tuple[path_check.Paths, path_check.Paths]:
    """Returns the paths that are written and those that are read, by flag."""
    return ([('stage_dir', self.stage_dir)], [
        (name, getattr(self, name)) for name in ('records', 'images', 'csv')
    ])

  def load_samples(self, ensemble: Any) -> Any:
    """Returns the samples of --images, checked but for pixels; else None.

    Prints what the stored description makes of their files.

    Args:
      ensemble: ensemble.Ensemble that gets them.

    Raises:
      errors.DataError: as of sample_table.load.
    """
    if not self.images:
      return None
    from hpa_records.ingest import input_tables
    from hpa_records.ingest import sample_table
    described = self._describe(ensemble)
    found = sample_table.load(
        self.csv, self.images,
        input_tables.How(described,
                         unlabelled=True,
                         on_error=self.on_error,
                         on_doubt=self.on_doubt))
    line = describe_conversion(found, ensemble.load_how(described))
    if line:
      print(line, file=sys.stderr)
    return found

  def open(self, ensemble: Any, samples: Any) -> ContextManager[Any]:
    """Returns a source of inference_source, a context manager.

    Records are copied to --stage_dir first if that is given.

    Args:
      ensemble: ensemble.Ensemble that gets the images.
      samples: of load_samples.

    Raises:
      errors.DataError: the records are invalid, or have other images or classes
        than those of the ensemble.
    """
    from hpa_records.reading import download
    from hpa_records.reading import inference_source
    if samples is not None:
      return inference_source.Files(samples,
                                    self.images,
                                    ensemble.load_how(self._describe(ensemble)),
                                    on_error=self.on_error)
    where = self.records
    if self.stage_dir:
      where = download.stage(where, self.stage_dir)
    found = inference_source.Records(where, self.csv, self.is_elsewhere)
    ensemble.check_records(found.spec, found.settings, self.records,
                           found.levels)
    return contextlib.nullcontext(found)

  def _describe(self, ensemble: Any) -> Any:
    """Returns the description of the new images."""
    from hpa_records.datasets import description
    return description.change(
        description.of_settings(ensemble.settings, ensemble.classes),
        self.pattern, self.white_level)


def read_flags(distribute: str, tpu: str) -> Input:
  """Returns the values of FLAGS.

  Args:
    distribute: the flag.
    tpu: the flag.

  Raises:
    errors.DataError: not one of --records and --images is given, or a flag that
      belongs to the other.
  """
  values = {name: flags.FLAGS[name].value for name in FLAGS}
  if bool(values['records']) == bool(values['images']):
    received = 'both' if values['records'] else 'none'
    raise errors.DataError('Expected --records=PATH or --images=PATH, received '
                           f'{received}; pass one.')
  given, others = (('records', _OF_IMAGES) if values['records'] else
                   ('images', ('stage_dir',)))
  for name in others:
    if flags.FLAGS[name].present:
      other = 'images' if given == 'records' else 'records'
      raise errors.DataError(f'Expected --{name} with --{other} alone, '
                             f'received it with --{given}; leave it out.')
  remote_tpu.check_input(
      distribute, tpu,
      **{name: values[name] for name in ('records', 'images', 'stage_dir')})
  for name in ('records', 'images', 'csv'):
    values[name] = values[name] and path_check.require_path(values[name], name)
  if values['stage_dir']:
    values['stage_dir'] = path_check.require_local(values['stage_dir'],
                                                   'stage_dir')
  values['white_level'] = values['white_level'] or 0
  return Input(**values, is_elsewhere=remote_tpu.is_elsewhere(distribute, tpu))


def describe_conversion(samples: Any, how: Any) -> str:
  """Returns what becomes of image files, in a line; '' if they are kept.

  Args:
    samples: sample_table.SampleTable of them.
    how: hpa_records.images.how.How they become what the network takes.
  """
  sizes = sorted(samples.sizes.items(), key=lambda each: (-each[1], each[0]))
  depths = sorted(samples.depths)
  changes = []
  if {size for size, _ in sizes} != {(how.size_px, how.size_px)}:
    shown = ', '.join(f'{count:,} of {height} x {width}'
                      for (height, width), count in sizes[:_MOST_SIZES])
    more = len(sizes) - _MOST_SIZES
    cut = (f', cut to pixels of {how.stored_um:g} micrometers'
           if how.stored_um else '')
    changes.append(f'{shown}{f" and {more:,} other sizes" if more > 0 else ""} '
                   f'pixels become {how.size_px} x {how.size_px} '
                   f'({how.resize}{cut})')
  if depths != ['uint8'] or how.intensity.name == 'percentiles':
    changes.append(f'{" and ".join(depths)} become 8 bits '
                   f'({_describe_intensity(how)})')
  if not changes:
    return ''
  return f'Images as those of the training: {"; ".join(changes)}.'


def _describe_intensity(how: Any) -> str:
  rule = how.intensity
  if rule.name == 'percentiles':
    low, high = rule.percentiles
    return f'percentiles {low:g} to {high:g} of each {rule.of}'
  if rule.name == 'white_level' and rule.white_levels:
    levels = ', '.join(f'{each:g}' for each in dict.fromkeys(rule.white_levels))
    return f'white level {levels}'
  return 'full scale'
