"""How records are read: what a user chooses, and its defaults."""

import dataclasses

READERS = ('auto', 'indexed', 'streaming')
CACHES = ('none', 'host', 'device')
CHECKS = ('none', 'crc')


@dataclasses.dataclass(frozen=True)
class How:
  """How records are read.

  Attributes:
    reader: one of READERS; 'auto' is indexed where that is possible.
    cache: one of CACHES; 'host' reads all pixels once and keeps them in memory,
      'device' leaves them to the caller, who gets rows.
    check: one of CHECKS; 'crc' recomputes the checksum of each record that is
      read. The streaming reader always does.
    shuffle_mb: shuffle buffer of the streaming reader, MiB of stored images.
    data_service: address of a tf.data service, grpc://host:port, that reads for
      the streaming reader; '' reads here.
  """
  reader: str = 'auto'
  cache: str = 'none'
  check: str = 'none'
  shuffle_mb: int = 512
  data_service: str = ''
