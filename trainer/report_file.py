"""Where a report's tables and figures go, besides the page."""

import base64
import dataclasses

import pandas as pd

from hpa_records import figure
from hpa_records import filesystem


@dataclasses.dataclass(frozen=True)
class Files:
  """Where tables and figures go, besides the page.

  Attributes:
    prefix: of their paths.
  """
  prefix: str

  def save(self, title: str, table: pd.DataFrame) -> pd.DataFrame:
    """Writes a table as CSV, and returns it."""
    label = table.index.name or 'name'
    data = table.to_csv(index_label=label).encode()
    filesystem.write_atomically(f'{self.prefix}_{title}.csv', data)
    return table

  def embed(self, title: str, drawn) -> str:
    """Writes a figure as PNG and SVG; returns it as the address of an image."""
    filesystem.write_atomically(f'{self.prefix}_{title}.png',
                                figure.to_png(drawn))
    data = figure.to_svg(drawn)
    filesystem.write_atomically(f'{self.prefix}_{title}.svg', data)
    return to_address('svg+xml', data)


def to_address(kind: str, data: bytes) -> str:
  """Returns an image's bytes as an address that holds them."""
  return f'data:image/{kind};base64,{base64.b64encode(data).decode()}'
