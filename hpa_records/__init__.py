"""Human Protein Atlas images and labels to TFRecords, and back to batches."""

__version__ = '0.1.0'


def open(address, check: str = 'none'):  # pylint: disable=redefined-builtin
  """Returns the records of a dataset for random access; see reading.source.

    source = hpa_records.open('records')
    source[0]['image']  # [H, W, C] uint8
    source[[4, 0, 9]]['labels']  # [3, K] uint8, multi-hot
    training, held_out = source.split(fold=0)

  Needs no TensorFlow. Only the shards whose records are asked for are opened.

  Args:
    address: folder of a dataset, str or os.PathLike; or its address, such as
      s3://bucket/records.
    check: 'crc' verifies both checksums of each record that is read; 'none'
      does not.

  Returns:
    A source.Source.

  Raises:
    errors.DataError: it is no complete dataset of this format.
  """
  from hpa_records.reading import source  # pylint: disable=import-outside-toplevel
  return source.open_source(address, check)
