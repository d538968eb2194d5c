"""hpa-train as a module, python -m trainer.main; see commands/train.py."""

from trainer import __main__ as commands

if __name__ == '__main__':
  commands.train()
