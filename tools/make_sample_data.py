"""hpa-make-sample-data, from a checkout."""

from hpa_records import __main__ as commands

if __name__ == '__main__':
  commands.make_sample_data()
