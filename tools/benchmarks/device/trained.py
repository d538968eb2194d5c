"""Runs the trainer with its evaluations timed; a child of the measurement.

  python -m benchmarks.device.trained FLAGS OF THE TRAINER

After each evaluation of the held-out fold it prints a line of JSON: evaluated
(images), seconds, and peak memory so far as of memory.measure.
"""

import importlib
import json
import time

from benchmarks.device import memory
from benchmarks.device import turn
from hpa_records.runtime import cli
from hpa_records.runtime import process

# TensorFlow is imported inside the functions: the package starts without it.
# pylint: disable=import-outside-toplevel


def main() -> None:
  """Trains with the flags of this process."""
  process.take()
  from trainer.training import evaluate
  importlib.import_module('trainer.training.loop')  # all before the turn
  turn.wait(turn.START)
  evaluate.Evaluator = _make_timed(evaluate.Evaluator)
  cli.start('trainer.commands.train')


def _make_timed(evaluator: type) -> type:
  """Returns a class that prints how long each prediction of a fold took."""

  class Timed(evaluator):
    """An evaluator with a clock."""

    def predict(self, *args):
      begun = time.perf_counter()
      found = super().predict(*args)
      seconds = time.perf_counter() - begun
      print(json.dumps({
          'evaluated': len(self.ids),
          'seconds': seconds,
          **memory.measure()
      }),
            flush=True)
      turn.wait(turn.WARM)
      return found

  return Timed


if __name__ == '__main__':
  main()
