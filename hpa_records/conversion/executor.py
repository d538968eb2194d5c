"""Maps convert_shard over the shards of a plan, in processes or with Beam.

Local workers exit with their parent, so none writes while a second run does.
"""

import contextlib
import functools
import io
import logging
from typing import Any, Iterator, Sequence

from hpa_records.conversion import shard_plan
from hpa_records.conversion import shard_writer
from hpa_records.runtime import errors
from hpa_records.runtime import printable
from hpa_records.runtime import process
from hpa_records.runtime import process_pool

# Beam's in-process runner. DirectRunner, Beam's default, may download an
# executable (Prism) that listens on all interfaces.
_IN_PROCESS = 'FnApiRunner'
_DIRECT = ('', 'direct', 'switchingdirect')  # without Runner, which Beam adds
_LOCAL = ('direct', 'fnapi')


def run_local(plan: shard_plan.Plan, shards: Sequence[shard_plan.Shard],
              workers: int) -> Iterator[shard_plan.Shard]:
  """Makes the shards in local processes; yields each shard when it is done.

  Args:
    plan: of the conversion.
    shards: the shards to make.
    workers: number of processes; 0 is one per core available to this process.
      1 uses this process itself.

  Raises:
    errors.DataError: the output cannot be written, a worker was killed, or
      memory ran out.
  """
  for shard, _ in process_pool.run(
      functools.partial(shard_writer.convert_shard, plan), shards, workers):
    yield shard


def run_beam(plan: shard_plan.Plan, shards: Sequence[shard_plan.Shard],
             options: Sequence[str]) -> None:
  """Makes the shards in an Apache Beam pipeline and waits for its end.

  Args:
    plan: of the conversion; workers must see its folders under the same paths.
    shards: the shards to make.
    options: Beam's own flags, such as --runner=DataflowRunner. By default, and
      for DirectRunner, the pipeline runs in this process (FnApiRunner).

  Raises:
    errors.DataError: Beam is not installed, an option is invalid, or the
      pipeline failed.
  """
  if process.is_ours():  # Beam also raises what it logs
    logging.getLogger().setLevel(logging.ERROR)
  try:
    import apache_beam as beam  # pylint: disable=import-outside-toplevel
  except ImportError as error:
    raise errors.DataError(
        '--runner=beam needs Apache Beam, which is not '
        'installed; pip install "hpa-records[beam]".') from error
  chosen, is_local = _parse_options(beam, options)
  if process.is_ours() and is_local:  # also logs at ERROR what it raises
    logging.getLogger().setLevel(logging.CRITICAL)
  try:
    with beam.Pipeline(options=chosen) as pipeline:
      # Without Reshuffle a runner fuses all shards into one worker.
      _ = (pipeline | beam.Create(shards) | beam.Reshuffle() | 'convert' >>
           beam.Map(functools.partial(shard_writer.convert_shard, plan)))
  except Exception as error:  # each runner raises its own types
    reason = str(error).strip().partition(' [while running')[0].splitlines()
    raise errors.DataError(
        f'Beam did not make all shards: {type(error).__name__}: '
        f'{reason[-1] if reason else "no reason"} (--beam_options='
        f'{" ".join(options)}); run the same command to make the rest: '
        'finished shards are kept.') from error


def _parse_options(beam, options: Sequence[str]) -> tuple[Any, bool]:
  """Returns Beam's options, and whether its workers are local processes.

  Beam exits for invalid options and ignores unknown ones. Unknown options are
  refused for local runners only: a remote server may know them.
  """
  parsers, said = [], io.StringIO()
  try:
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
      chosen = beam.options.pipeline_options.PipelineOptions(list(options))
      values = chosen.get_all_options(add_extra_args_fn=parsers.append)
      _, unknown = parsers[0].parse_known_args(list(options))
  except SystemExit as error:
    reason = said.getvalue().strip().rpartition('\n')[2]
    raise errors.DataError(f'Invalid --beam_options={" ".join(options)}: '
                           f'{reason}; correct or remove it.') from error
  runner = (values['runner'] or '').rpartition('.')[2].lower()
  runner = runner.removesuffix('runner')
  if runner in _DIRECT:
    standard = beam.options.pipeline_options.StandardOptions
    chosen.view_as(standard).runner = _IN_PROCESS
  is_local = not runner or runner.endswith(_LOCAL)
  if unknown and is_local:
    raise errors.DataError(
        f'Unknown option {printable.quote(unknown[0])} in --beam_options; '
        'correct or remove it.')
  return chosen, is_local
