"""Lists the commands on runs; each console script starts here."""

import functools

from hpa_records.runtime import cli

train = functools.partial(cli.start, 'trainer.commands.train')
pretrain = functools.partial(cli.start, 'trainer.commands.pretrain')
report = functools.partial(cli.start, 'trainer.commands.report')
embed = functools.partial(cli.start, 'trainer.commands.embed')
export = functools.partial(cli.start, 'trainer.commands.export')
predict = functools.partial(cli.start, 'trainer.commands.predict')
run_features = functools.partial(cli.start, 'trainer.commands.run_features')
run_paper = functools.partial(cli.start, 'trainer.commands.run_paper')
run_table5 = functools.partial(cli.start, 'trainer.commands.run_table5')
inspect_records = functools.partial(cli.start,
                                    'trainer.commands.inspect_records')
serve_input = functools.partial(cli.start, 'trainer.commands.serve_input')

if __name__ == '__main__':
  cli.list_commands('trainer.commands')
