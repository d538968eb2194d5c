"""Sources of inference: each sample once, in order.

Samples are records, with or without labels, or image files. Image files are
checked, decoded and resized as the converter does, a few batches ahead, without
a copy on disk.
"""

import contextlib
from typing import Any

import numpy as np

from hpa_records.datasets import description
from hpa_records.format import spec as spec_lib
from hpa_records.images import how as image_how
from hpa_records.ingest import samples as samples_lib
from hpa_records.ingest import issue
from hpa_records.ingest import sample_table
from hpa_records.reading import dataset
from hpa_records.reading import how as how_lib
from hpa_records.reading import indexed
from hpa_records.reading import reader as reader_lib
from hpa_records.reading.payload import image_files
from hpa_records.runtime import errors
from hpa_records.runtime.tensorflow import tf
from hpa_records.sampling import epoch_plan


class Records:
  """All records of a dataset, in file order.

  Attributes:
    ids: [N] str.
    order: [M] int64, the ids' indices to list, in the order of the CSV if there
      is one, else all in file order.
    is_ordered: whether there is a CSV.
    records: the dataset.
    issues: of skipped samples; always ().
    is_refused: whether finish() will raise; always False.
  """
  issues: tuple[issue.Issue, ...] = ()
  is_refused = False

  def __init__(self,
               directory: str,
               csv: str = '',
               by_tensorflow: bool = False):
    """Reads the manifest and the index.

    Args:
      directory: of the records, or its address.
      csv: table whose column Id has the samples to list, in order; '' uses the
        order of the CSV that an unlabelled set was made from.
      by_tensorflow: as of how.How.

    Raises:
      errors.DataError: as dataset.load; the CSV is invalid, or has an Id that
        is not among the records.
    """
    self.records = dataset.load(directory, allow_unlabelled=True)
    # Checksums are cheap compared with a network's scores.
    self._reader = reader_lib.Reader(
        self.records, None, how_lib.How(check='crc',
                                        by_tensorflow=by_tensorflow))
    index = self.records.index
    self.ids = index['id'].to_numpy(str)
    self.is_ordered = bool(csv) or 'row' in index
    self.order = np.arange(len(self.ids))
    if csv:
      self.order = _find_order(self.records, csv)
    elif 'row' in index:
      self.order = np.argsort(index['row'].to_numpy(), kind='stable')

  @property
  def settings(self) -> dict[str, Any]:
    """The settings of the conversion."""
    return self.records.manifest.settings

  @property
  def levels(self) -> dict[str, list[list[float]]] | None:
    """As of manifest.Manifest."""
    return self.records.manifest.levels

  @property
  def spec(self) -> spec_lib.Spec:
    """The classes and channels of the records."""
    return self.records.spec

  def batches(self,
              share: epoch_plan.Share,
              rows: np.ndarray | None = None) -> tf.data.Dataset:
    """Returns batches as indexed.batches gives them.

    Args:
      share: the part of each batch to make.
      rows: [n] int64, indices of the ids in the order to read; None: all.
    """
    if rows is None:
      rows = self.records.rows(None)
    return self._reader.evaluation(rows, share)

  def translate_errors(self) -> contextlib.AbstractContextManager:
    """Returns Reader.translate_errors, for a block that reads batches."""
    return self._reader.translate_errors()

  def finish(self) -> np.ndarray:
    """Returns which samples are valid, [N] bool: all; to be called last.

    Raises:
      errors.DataError: a shard was changed while the records were read.
    """
    self._reader.check_unchanged()
    return np.ones(len(self.ids), bool)


class Files:
  """All samples of a folder of images; a context manager.

  Attributes:
    ids: [N] str, in the order of the CSV, or sorted.
    order: [N] int64, 0..N-1.
    is_ordered: whether the ids have an order to list; always True.
    records: None.
  """
  is_ordered = True
  records = None

  def __init__(self, loaded: sample_table.SampleTable, images: str,
               how: image_how.How, on_error: str):
    """Starts decoding processes; call it in the main thread.

    Args:
      loaded: the samples; their pixels are checked when they are decoded.
      images: folder of the files.
      how: how the files of a sample become one image, as in the training
        records.
      on_error: 'stop' refuses input with any issue, 'skip' leaves the invalid
        samples out.
    """
    self.ids = loaded.table['id'].to_numpy(str)
    self.order = np.arange(len(self.ids))
    self._shape = (how.size_px, how.size_px, len(how.channels))
    self._on_error = on_error
    self._num_classes = len(loaded.classes)
    self._images, self._issues = images, loaded.issues
    self._payload = image_files.Files(images, loaded.table, how)

  def __enter__(self) -> 'Files':
    return self

  def __exit__(self, *_) -> None:
    self._payload.close()

  @property
  def issues(self) -> tuple[issue.Issue, ...]:
    """The issues found so far, sorted by row."""
    found = (*self._issues, *self._payload.issues)
    return tuple(sorted(found, key=lambda each: each.row))

  @property
  def is_refused(self) -> bool:
    """Whether finish() will raise; batches can still be read."""
    return bool(self._payload.unread or
                (self._payload.issues and self._on_error == 'stop'))

  def batches(self,
              share: epoch_plan.Share,
              rows: np.ndarray | None = None) -> tf.data.Dataset:
    """As Records.batches."""
    rows = np.arange(len(self.ids)) if rows is None else rows
    labels = np.zeros([len(self.ids), self._num_classes])
    return indexed.batches(labels, self._shape, self._payload,
                           epoch_plan.once(rows), share)

  def translate_errors(self) -> contextlib.AbstractContextManager:
    """Returns indexed.translate_errors, for a block that reads batches."""
    return indexed.translate_errors(self._payload)

  def finish(self) -> np.ndarray:
    """Returns which samples are valid, [N] bool; call it after all batches.

    Raises:
      errors.DataError: files could not be read; some are invalid and on_error
        is 'stop'; or all are invalid. Lists the issues.
    """
    if self._payload.unread:
      unread = sorted(self._payload.unread, key=lambda each: each.row)
      issue.refuse_unread(unread, self._images)
    bad_ids = {each.id for each in self._payload.issues}
    valid = np.array([each not in bad_ids for each in self.ids.tolist()])
    if self.is_refused or not valid.any():
      issue.refuse(self.issues, self._images)
    return valid


def _find_order(records: dataset.Records, csv: str) -> np.ndarray:
  """Returns the index row of each row of a CSV, [M] int64."""
  made, directory = records.manifest, records.directory
  samples = samples_lib.read_ids(
      csv, description.of_settings(made.settings, made.classes))
  places = {name: i for i, name in enumerate(records.index['id'].tolist())}
  missing = [each for each in samples if each.id not in places]
  if missing:
    raise errors.DataError(
        f'{len(missing):,} of {len(samples):,} rows of {csv} have no record at '
        f'{directory}, such as {missing[0].id} in row {missing[0].row}; '
        'convert this CSV, or pass --images.')
  return np.array([places[each.id] for each in samples], np.int64)
