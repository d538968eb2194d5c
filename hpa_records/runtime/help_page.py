"""The page of --help: a sentence, examples, and flags in groups.

absl's page (--helpfull) lists all flags, also its own, by module.
"""

import dataclasses
import re
import textwrap
from typing import Mapping, Sequence

from absl import flags as absl_flags

_WIDTH = 80
_INDENT = 25  # column where a flag's help starts

_OTHER = '\nOther\n' + '\n'.join(
    f'  {name:{_INDENT - 2}}{text}'
    for name, text in (('--flagfile=FILE', 'File of flags, one a line.'),
                       ('--version', 'Print the version.'),
                       ('--helpfull', 'List the flags of absl, too.')))


@dataclasses.dataclass(frozen=True)
class Page:
  """The content of a command's page.

  Attributes:
    text: the docstring of its module: a sentence first, then examples.
    groups: names of flags by heading; None lists all flags under one.
  """
  text: str = ''
  groups: Mapping[str, Sequence[str]] | None = None

  def render(self) -> str:
    """Returns the page; the flags must be defined."""
    groups = self.groups
    if groups is None:
      groups = {'Flags': list_flags()}
    parts = [self.text.strip()] if self.text else []
    for heading, names in groups.items():
      lines = [_describe(absl_flags.FLAGS[name]) for name in names]
      parts.append('\n'.join([f'{heading}', *lines]))
    return '\n\n'.join(parts) + '\n' + _OTHER


def list_flags() -> list[str]:
  """Returns the names of all flags but absl's, in the order of definition."""
  return [
      flag.name
      for module, defined in absl_flags.FLAGS.flags_by_module_dict().items()
      if module.partition('.')[0] != 'absl' for flag in defined
  ]


def _describe(flag: absl_flags.Flag) -> str:
  """Returns a flag's name, default and help, in lines of _WIDTH."""
  name = f'  --{flag.name}'
  if flag.boolean:
    name += '=true' if flag.default else ''
  elif flag.default not in (None, '', []):
    name += f'={flag.default}'
  text = _explain(flag)
  if _INDENT <= len(name) + 2 <= _WIDTH - len(text):
    return f'{name}  {text}'
  lines = textwrap.wrap(text, _WIDTH - _INDENT, break_on_hyphens=False)
  if len(name) + 2 > _INDENT:
    lines.insert(0, '')
  first, *rest = lines or ['']
  return '\n'.join([
      f'{name:{_INDENT}}{first}'.rstrip(),
      *(' ' * _INDENT + line for line in rest)
  ])


def _explain(flag: absl_flags.Flag) -> str:
  """Returns a flag's help, followed by values that it does not name."""
  values = [each for each in getattr(flag.parser, 'enum_values', []) if each]
  # absl prepends the values, and appends that a flag may be repeated.
  text = re.sub(r'^<[^>]*>: |;\s+repeat this option .*$',
                '',
                flag.help or '',
                flags=re.DOTALL)
  if all(re.search(rf'\b{re.escape(each)}\b', text) for each in values):
    return text
  joined = '|'.join(values)
  if len(joined) > _WIDTH - _INDENT - 2:
    joined = '| '.join(values)  # lines end between values
  return f'{text} [{joined}]'
