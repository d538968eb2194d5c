"""The rows of a measurement: a line each as it comes, and a file of all."""

import time
from typing import Any, Sequence

from benchmarks import report_file

_LONG = 'kernels'  # a figure with a line for each of its entries


class Report:
  """Rows in the order in which they were measured.

  Attributes:
    rows: figures by name of the row; {'failed': why} or {'left_out': why} of
      those without.
  """

  def __init__(self, path: str, settings: dict[str, Any]):
    """Writes the file without rows.

    Args:
      path: of the file, which is written again after each row.
      settings: of the measurement.
    """
    self.rows: dict[str, dict[str, Any]] = {}
    self._path, self._begun_s = path, time.perf_counter()
    self._head = {'machine': report_file.describe_machine(), **settings}
    print(self._head['machine'], flush=True)
    self._write()

  @property
  def elapsed_s(self) -> float:
    """Seconds since the report was begun."""
    return time.perf_counter() - self._begun_s

  @property
  def failed(self) -> list[str]:
    """The names of the rows that failed."""
    return [name for name, row in self.rows.items() if 'failed' in row]

  def add(self, name: str, figures: dict[str, Any]) -> None:
    """Prints a row and writes the file.

    Args:
      name: of the row.
      figures: numbers, texts, or lists of numbers, by name and unit.
    """
    self.rows[name] = figures
    shown = ', '.join(f'{key} {_show(value)}' for key, value in figures.items()
                      if key != _LONG)
    print(f'[{self.elapsed_s:5.0f} s] {name}: {shown}', flush=True)
    for kernel, ms, number in figures.get(_LONG, []):
      print(f'{ms:14.3f} ms  {number:6d}  {kernel}', flush=True)
    self._write()

  def fail(self, names: Sequence[str], why: str) -> None:
    """Adds rows that failed, with the reason."""
    for name in names:
      self.add(name, {'failed': why})

  def leave_out(self, names: Sequence[str], why: str) -> None:
    """Adds rows that were not measured, with the reason."""
    for name in names:
      self.add(name, {'left_out': why})

  def _write(self) -> None:
    report_file.write(self._path, 'output', {
        **self._head, 'elapsed_s': self.elapsed_s,
        'rows': self.rows
    })


def _show(value: Any) -> str:
  """Returns a figure as text, numbers to four digits or as integers."""
  if isinstance(value, float):
    return f'{value:,.0f}' if abs(value) >= 1000 else f'{value:.4g}'
  if isinstance(value, (list, tuple)):
    return ' '.join(map(_show, value))
  return str(value)
