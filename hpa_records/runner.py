"""Maps convert_shard over the shards of a plan: processes here, or Beam.

Nothing goes on writing behind a second run: a worker ends with its parent.
"""

import concurrent.futures
import functools
from typing import Iterator, Sequence

from hpa_records import process
from hpa_records import processor
from hpa_records import schema
from hpa_records import shard_conversion
from hpa_records import shard_plan
from hpa_records import worker

RUNNERS = ('local', 'beam')


def run_local(plan: shard_plan.Plan, shards: Sequence[shard_plan.Shard],
              workers: int) -> Iterator[shard_plan.Shard]:
  """Makes the shards in processes of this machine; yields each as it is done.

  Args:
    plan: of the conversion.
    shards: to make.
    workers: processes; 0 takes one a core that this process may use. A single
      one is this process itself.

  Raises:
    schema.DataError: the output cannot be written, or a worker was killed.
  """
  workers = min(workers or processor.num_cores(), len(shards))
  if workers <= 1:
    process.decode_alone()
    for shard in shards:
      shard_conversion.convert_shard(plan, shard)
      yield shard
    return
  pool = worker.start(workers)
  try:
    work = functools.partial(shard_conversion.convert_shard, plan)
    made = {pool.submit(work, shard): shard for shard in shards}
    for future in concurrent.futures.as_completed(made):
      future.result()
      yield made[future]
  except concurrent.futures.BrokenExecutor as error:
    raise schema.DataError(
        'Expected the workers to live, found one killed, often for lack of '
        'memory; run the same command with fewer --workers: whole shards are '
        'kept.') from error
  finally:
    worker.stop(pool)


def run_beam(plan: shard_plan.Plan, shards: Sequence[shard_plan.Shard],
             options: Sequence[str]) -> None:
  """Makes the shards in an Apache Beam pipeline and waits for its end.

  Args:
    plan: of the conversion; its folders must be the workers' too.
    shards: to make.
    options: Beam's own flags, such as --runner=DataflowRunner. By default the
      pipeline runs here.

  Raises:
    schema.DataError: Beam is not installed, or the pipeline failed.
  """
  try:
    import apache_beam as beam  # pylint: disable=import-outside-toplevel
  except ImportError as error:
    raise schema.DataError('Expected Apache Beam for --runner=beam, found none;'
                           ' pip install "hpa-records[beam]".') from error
  try:
    chosen = beam.options.pipeline_options.PipelineOptions(list(options))
    with beam.Pipeline(options=chosen) as pipeline:
      # Reshuffle, or a runner fuses all shards into one worker's work.
      _ = (pipeline | beam.Create(shards) | beam.Reshuffle() | 'convert' >>
           beam.Map(functools.partial(shard_conversion.convert_shard, plan)))
  except Exception as error:  # what a runner raises, no two agree on
    reason = str(error).strip().partition(' [while running')[0].splitlines()
    raise schema.DataError(
        f'Expected Beam to make the shards, received {type(error).__name__}: '
        f'{reason[-1] if reason else "no reason"} (--beam_options='
        f'{" ".join(options)}); whole shards are kept.') from error
