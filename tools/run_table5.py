"""hpa-run-table5, from a checkout."""

from trainer import __main__ as commands

if __name__ == '__main__':
  commands.run_table5()
