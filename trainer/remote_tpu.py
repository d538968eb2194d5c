"""What a TPU elsewhere can read."""

from hpa_records.runtime import errors

OF_INPUT = ('records', 'stage_dir', 'data_service', 'reader', 'cache')
# Of flags with listed values, those that need this machine.
_LOCAL = {'reader': ('indexed',), 'cache': ('host', 'device', 'disk')}


def is_elsewhere(distribute: str, tpu: str) -> bool:
  """Returns whether the flags name a TPU of another host."""
  return distribute == 'tpu' and tpu != 'local'


def check_input(distribute: str, tpu: str, **flags: str) -> None:
  """Checks that the host of a remote TPU can read the input.

  That host runs tf.data, without this process's Python and this machine's
  disks. Other devices are given batches by this machine.

  Args:
    distribute: one of config.DISTRIBUTIONS.
    tpu: the flag; all but 'local' are remote.
    **flags: values of flags by name: records, and those that may need this
      machine.

  Raises:
    errors.DataError: records are not at gs://, or another flag is given.
  """
  if not is_elsewhere(distribute, tpu):
    return
  for name, value in flags.items():
    is_given = value in _LOCAL[name] if name in _LOCAL else value
    if is_given and not (name == 'records' and value.startswith('gs://')):
      raise errors.DataError(
          f'The host of the remote TPU --tpu={tpu} cannot use '
          f'--{name}={value}: it reads records at gs:// itself, by the '
          'streaming reader, without a cache. Copy the records to gs:// and '
          'pass no other flags of the input, or run on that host with '
          '--tpu=local.')
