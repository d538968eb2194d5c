"""hpa-run-features, from a checkout."""

from trainer import __main__ as commands

if __name__ == '__main__':
  commands.run_features()
