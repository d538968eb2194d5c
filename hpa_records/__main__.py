"""Lists the commands on datasets; each console script starts here."""

import functools

from hpa_records.runtime import cli

describe_dataset = functools.partial(cli.start,
                                     'hpa_records.commands.describe_dataset')
make_sample_data = functools.partial(cli.start,
                                     'hpa_records.commands.make_sample_data')
make_records = functools.partial(cli.start, 'hpa_records.commands.make_records')
verify_records = functools.partial(cli.start,
                                   'hpa_records.commands.verify_records')

if __name__ == '__main__':
  cli.list_commands('hpa_records.commands')
