"""Options for reading records, and their defaults."""

import dataclasses

from hpa_records.runtime import errors

READERS = ('auto', 'indexed', 'streaming')
CACHES = ('none', 'host', 'device', 'disk', 'auto')
CHECKS = ('none', 'crc')


@dataclasses.dataclass(frozen=True)
class How:
  """How records are read.

  Attributes:
    reader: one of READERS; 'auto' is indexed.
    cache: one of CACHES; 'host' reads all pixels once and keeps them in memory;
      with 'device' the caller keeps them; 'disk' keeps the records that came
      from an address in cache_dir. 'auto' must be replaced by one of the others
      first: trainer/memory.py.
    check: one of CHECKS; 'crc' verifies the checksums of each record that is
      read. The streaming reader always does, and so is what comes from an
      address.
    shuffle_mb: shuffle buffer of the streaming reader, MiB of stored images.
    data_service: address of a tf.data service, grpc://host:port, that reads for
      the streaming reader; '' reads locally.
    cache_dir: local folder of the cache 'disk'.
    cache_gb: largest size of all caches in cache_dir.
    by_tensorflow: whether TensorFlow alone reads, as the host of a remote TPU
      does, which does not have this process's Python; the reader streams.

  Raises:
    errors.DataError: cache_dir is missing, or without its cache.
  """
  reader: str = 'auto'
  cache: str = 'none'
  check: str = 'none'
  shuffle_mb: int = 512
  data_service: str = ''
  cache_dir: str = ''
  cache_gb: float = 100.0
  by_tensorflow: bool = False

  def __post_init__(self):
    if (self.cache == 'disk') != bool(self.cache_dir):
      raise errors.DataError(
          'Expected --cache=disk and --cache_dir together, received '
          f'--cache={self.cache} and --cache_dir={self.cache_dir}.')
