"""hpa-pretrain as a module, python -m trainer.pretrain."""

from trainer import __main__ as commands

if __name__ == '__main__':
  commands.pretrain()
