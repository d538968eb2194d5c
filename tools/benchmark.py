"""Measures what the project does; see benchmarks/command.py."""

import os
import sys

from hpa_records.runtime import cli

if __name__ == '__main__':
  # With PYTHONSAFEPATH, as commands of this project set it for what they start,
  # the folder of a script is not searched.
  sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
  cli.start('benchmarks.command')
