"""manifest.json and index.parquet: writing, loading and integrity checks.

The manifest is written last, so a folder without one is not a dataset. It has
its own hash and that of every other file, counts, settings and integer pixel
sums. It has no time, path, host name or worker count: two conversions of the
same data with the same settings give the same bytes.
"""

import dataclasses
import hashlib
import json
import os
from typing import Any, Sequence

import pandas as pd

from hpa_records.format import index_table
from hpa_records.format import manifest_form
from hpa_records.format import spec
from hpa_records.runtime import errors
from hpa_records.runtime import json_text
from hpa_records.storage import filesystem

MANIFEST_NAME = 'manifest.json'
INDEX_NAME = manifest_form.INDEX_NAME


@dataclasses.dataclass(frozen=True)
class Shard:
  """One shard file: name, number of records, size, sha256 hex digest."""
  name: str
  records: int
  bytes: int
  sha256: str


@dataclasses.dataclass(frozen=True)
class Manifest:
  """The content of manifest.json.

  Attributes:
    settings: each flag that affects the records' bytes, by name.
    csv_sha256: of the CSV that was converted.
    num_records: over all shards.
    num_skipped: invalid samples that --on_error=skip left out.
    shards: in file order, grouped by fold.
    class_counts: [F][K] images of each class in each fold; [] of an
      unlabelled set.
    pixels: per channel count, sum and sum_of_squares (integers), mean and std,
      0..255, over all records; folds, a list: the first three of each fold,
      missing in unlabelled sets and datasets of an earlier version.
    files: sha256 of each other file by name, including the index.
    versions: of the packages that decoded and resized the images.
    classes: the K names, in order.
    channels: the C names, in order.
    format_version: spec.FORMAT_VERSION.
    inputs: digests of the image files, see input_digest.make; None in datasets
      of an earlier version.
    levels: by plate, or '' for the dataset, the intensities that became 0 and
      255 in each channel, [C][2]; None where they are not those of percentiles
      of plates or of the dataset.
  """
  settings: dict[str, Any]
  csv_sha256: str
  num_records: int
  num_skipped: int
  shards: tuple[Shard, ...]
  class_counts: list[list[int]]
  pixels: dict[str, Any]
  files: dict[str, str]
  versions: dict[str, str]
  classes: Sequence[str]
  channels: Sequence[str]
  format_version: int = spec.FORMAT_VERSION
  inputs: dict[str, Any] | None = None
  levels: dict[str, list[list[float]]] | None = None

  @property
  def fingerprint(self) -> str:
    """The manifest's own sha256; equal for equal datasets."""
    return hashlib.sha256(_canonical(_content(self))).hexdigest()

  @property
  def image_size(self) -> int:
    """Height and width of every image, in pixels."""
    return self.settings['image_size']

  @property
  def is_labelled(self) -> bool:
    """Whether the records have fold, labels and repeats."""
    return not self.settings.get('unlabelled')

  @property
  def num_folds(self) -> int:
    """F, the number of folds."""
    return self.settings['num_folds']

  @property
  def num_classes(self) -> int:
    """K, the number of classes."""
    return len(self.classes)

  @property
  def num_channels(self) -> int:
    """C, the number of channels."""
    return len(self.channels)

  @property
  def has_group_columns(self) -> bool:
    """Whether the groups of samples are columns of the table."""
    return bool(self._table.get('group'))

  @property
  def has_several_samples_a_row(self) -> bool:
    """Whether a row of the table is several samples."""
    return bool(self._table.get('each'))

  @property
  def metadata(self) -> list[str]:
    """Names of the index's columns that were copied from the table."""
    return self._table.get('metadata', [])

  @property
  def _table(self) -> dict[str, Any]:
    return self.settings.get('description', {}).get('table', {})

  @property
  def shard_bytes(self) -> dict[str, int]:
    """Size of each shard, by name."""
    return {each.name: each.bytes for each in self.shards}

  def most_bytes(self, name: str) -> int:
    """Returns the largest allowed size of one of `files` in bytes."""
    if name != INDEX_NAME:
      return manifest_form.MAX_BYTES
    return index_table.max_bytes(self.num_records, self.num_folds,
                                 self.num_classes)


def write_index(directory: str, index: pd.DataFrame) -> str:
  """Writes index.parquet and returns its sha256.

  Args:
    directory: of the dataset.
    index: one row a record in file order; see load_index for the columns.
  """
  path = os.path.join(directory, INDEX_NAME)
  filesystem.write_atomically(path, index_table.encode(index))
  return filesystem.sha256(path)


def write(directory: str, manifest: Manifest) -> None:
  """Writes manifest.json; call it last."""
  filesystem.write_atomically(os.path.join(directory, MANIFEST_NAME),
                              encode(manifest))


def encode(manifest: Manifest) -> bytes:
  """Returns the bytes of a manifest.json."""
  return _text({**_content(manifest), 'sha256': manifest.fingerprint})


def exists(directory: str) -> bool:
  """Returns whether the folder holds a finished dataset."""
  return filesystem.size(os.path.join(directory, MANIFEST_NAME)) is not None


def load(directory: str) -> Manifest:
  """Returns the manifest of a dataset.

  Raises:
    errors.DataError: it is missing, damaged, or of another version.
  """
  path = os.path.join(directory, MANIFEST_NAME)
  if not exists(directory):
    if os.path.lexists(path):
      raise errors.DataError(
          f'{path} is not a regular file; remove it, or restore the manifest.')
    raise errors.DataError(
        f'No finished dataset in {directory}: {MANIFEST_NAME} is missing; make '
        f'one with hpa-make-records --output={directory}.')
  return parse(_read(path, manifest_form.MAX_BYTES), path)


def parse(data: bytes, path: str) -> Manifest:
  """Returns the manifest of a file's content.

  All values are checked (type, range, names without path parts), since the
  file is untrusted; see manifest_form.

  Args:
    data: the content.
    path: of the file, for messages.

  Raises:
    errors.DataError: it is damaged, of another version, or not a manifest.
  """
  try:
    manifest_form.check_size(data)
    content = json_text.parse(data)
    # A change of spaces or of a number's spelling does not change content.
    is_as_written = data == _text(content)
    version, digest = content['format_version'], content.pop('sha256')
  except (ValueError, KeyError, TypeError, AttributeError) as error:
    if data.lstrip().startswith(b'<'):  # what servers send in place of a file
      raise errors.DataError(
          f'{path} is a web page, not a manifest; check the address, which may '
          'need a login.') from error
    raise errors.DataError(f'The manifest {path} is damaged; convert the data '
                           'again.') from error
  if version != spec.FORMAT_VERSION:
    raise errors.DataError(
        f'Expected record format {spec.FORMAT_VERSION}, received '
        f'{version!r:.40} at {path}; convert the data again with this version.')
  if not is_as_written or digest != hashlib.sha256(
      _canonical(content)).hexdigest():
    raise errors.DataError(
        f'The manifest {path} was changed: its sha256 is not {digest!r:.80}; '
        'convert the data again.')
  try:
    manifest_form.check(content)
  except ValueError as error:
    raise errors.DataError(
        f'{path} is not a valid manifest: {error}. Copy the dataset again from '
        'its source.') from error
  content['shards'] = tuple(Shard(**shard) for shard in content['shards'])
  for names in ('classes', 'channels'):
    content[names] = tuple(content[names])
  return Manifest(**content)


def _read(path: str, most_bytes: int) -> bytes:
  """Returns a file's content after a check of its size.

  Raises:
    errors.DataError: it is larger than most_bytes, or cannot be read.
  """
  try:
    size = filesystem.size(path)
    if size is not None and size > most_bytes:
      raise errors.DataError(f'{path} is too large: {size:,} bytes, at most '
                             f'{most_bytes:,} are allowed. Copy the dataset '
                             'again from its source.')
    return filesystem.read_bytes(path, most_bytes)
  except OSError as error:
    raise errors.describe_read(path, error) from error


def load_index(directory: str, manifest: Manifest) -> pd.DataFrame:
  """Returns the index: one row a record, in file order.

  Returns:
    Columns id (str), fold (int), shard (file name), record_offset and
    record_bytes (the TFRecord frame in the shard), image_offset and
    image_bytes (the image in the shard), labels ([n] int), repeats
    ([F] float32), and the metadata columns (str). An unlabelled set has row
    (int, line of the CSV; missing in datasets of an earlier version) in place
    of fold, labels and repeats. A set made with groups also has group (str).

  Raises:
    errors.DataError: the index is missing, invalid, or does not match the
      manifest's sha256.
  """
  path = os.path.join(directory, INDEX_NAME)
  if filesystem.size(path) is None:
    raise errors.DataError(f'{INDEX_NAME} is missing in {directory}; convert '
                           'the data again.')
  num_folds = manifest.num_folds if manifest.is_labelled else 0
  data = _read(path, manifest.most_bytes(INDEX_NAME))
  if hashlib.sha256(data).hexdigest() != manifest.files[INDEX_NAME]:
    raise errors.DataError(
        f'The index {path} was changed: its sha256 is not '
        f'{manifest.files[INDEX_NAME]}; convert the data again.')
  try:
    return index_table.decode(data, manifest.num_records, num_folds,
                              manifest.num_classes, manifest.metadata)
  except ValueError as error:
    raise errors.DataError(f'{path} is not a valid index: {error}. Copy the '
                           'dataset again from its source.') from error


def _content(manifest: Manifest) -> dict[str, Any]:
  """Returns the file's content, without optional values that are None."""
  content = dataclasses.asdict(manifest)
  for key in manifest_form.OPTIONAL:
    if content[key] is None:
      del content[key]
  return content


def _canonical(content: dict[str, Any]) -> bytes:
  return json.dumps(content, sort_keys=True, separators=(',', ':')).encode()


def _text(content: dict[str, Any]) -> bytes:
  """Returns the content's only valid spelling."""
  return json.dumps(content, indent=1, sort_keys=True).encode() + b'\n'
