"""Measures what the project does; see benchmarks/command.py."""

from hpa_records.runtime import cli

if __name__ == '__main__':
  cli.start('benchmarks.command')
