"""Splits file names into tokens, such that most names have the same form.

Tokens are separated by slashes, underscores, dots, hyphens and spaces. A value
of a table is one token even if it contains them, and so is a GUID. The
separators, the number of tokens and the ending are the form of a name.
"""

import collections
import re
from typing import Collection, NamedTuple, Sequence

from hpa_records.images import file_pattern

_GUID = '[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}'
_OTHERS = r'/_.\- \[\]()+,'
_PARTS = re.compile(
    f'({_GUID}|[^{_OTHERS}]+?(?={_GUID})|[^{_OTHERS}]+)|([{_OTHERS}]+)')
_RANDOM = re.compile(f'(?:{_GUID}|[0-9a-fA-F]{{8,}})')
_MAX_SPAN = 9  # tokens of one value


class Tokens(NamedTuple):
  """The names of one form.

  Attributes:
    rows: the tokens of each name, all of the same number P.
    between: [P + 1] texts before, between and after the tokens.
    num_others: names of other forms.
    example: one of them; '' if there are none.
  """
  rows: list[tuple[str, ...]]
  between: tuple[str, ...]
  num_others: int
  example: str

  def column(self, place: int) -> list[str]:
    """Returns the token at a place of each name."""
    return [row[place] for row in self.rows]


def split(names: Sequence[str], known: Collection[str]) -> Tokens:
  """Returns the tokens of the names that have the most frequent form.

  Args:
    names: of files, with '/' between folders; at least one.
    known: texts that are one token.
  """
  depths = collections.Counter(name.count('/') for name in names)
  depth = depths.most_common(1)[0][0]
  whole = _find_whole_folders(
      [name for name in names if name.count('/') == depth], depth, known)
  by_form: dict[tuple[str, ...], list[tuple[str, ...]]] = {}
  first: dict[tuple[str, ...], str] = {}
  for name in names:
    tokens, between = _split_name(name, known,
                                  whole if name.count('/') == depth else ())
    by_form.setdefault(between, []).append(tokens)
    first.setdefault(between, name)
  form = max(by_form, key=lambda each: len(by_form[each]))
  others = [each for each in by_form if each != form]
  return Tokens(by_form[form], form, sum(len(by_form[each]) for each in others),
                first[others[0]] if others else '')


def is_random(texts: Collection[str]) -> bool:
  """Returns whether all texts look like random numbers."""
  return all(
      _RANDOM.fullmatch(each) and re.search('[0-9]', each) for each in texts)


def _find_whole_folders(names: Sequence[str], depth: int,
                        known: Collection[str]) -> list[int]:
  """Returns the levels whose folders have different forms, as class names."""
  found = []
  for level in range(depth):
    folders = {name.split('/')[level] for name in names}
    if len({_split_part(each, known)[1] for each in folders}) > 1:
      found.append(level)
  return found


def _split_name(
    name: str, known: Collection[str],
    whole: Sequence[int]) -> tuple[tuple[str, ...], tuple[str, ...]]:
  """Returns the tokens of a name, and the texts between them."""
  stem = file_pattern.strip_extension(name)
  tokens: list[str] = []
  between = ['']
  for level, part in enumerate(stem.split('/')):
    more, texts = ((part,),
                   ('', '')) if level in whole else _split_part(part, known)
    between[-1] += ('/' if level else '') + texts[0]
    tokens += more
    between += texts[1:]
  between[-1] += name[len(stem):]
  return tuple(tokens), tuple(between)


def _split_part(
    text: str,
    known: Collection[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
  matches = list(_PARTS.finditer(text))
  tokens: list[str] = []
  between = ['']
  i = 0
  while i < len(matches):
    start = matches[i].start()
    end = next(
        (j for j in range(min(len(matches), i + 2 * _MAX_SPAN), i + 1, -1)
         if text[start:matches[j - 1].end()] in known), i + 1)
    if matches[i][1] or end > i + 1:
      tokens.append(text[start:matches[end - 1].end()])
      between.append('')
    else:
      between[-1] += matches[i][0]
    i = end
  return (tuple(tokens), tuple(between)) if tokens else ((text,), ('', ''))
