"""hpa-describe-dataset, from a checkout."""

from hpa_records import __main__ as commands

if __name__ == '__main__':
  commands.describe_dataset()
