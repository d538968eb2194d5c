"""hpa-pretrain, from a checkout."""

from trainer import __main__ as commands

if __name__ == '__main__':
  commands.pretrain()
