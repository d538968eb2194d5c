"""Formats the numbers of a benchmark as Markdown, for BUILD_NOTES.md."""

from typing import Any, Callable, Sequence

import numpy as np
import pandas as pd

_WHOLE = '{:,.0f}'.format
_TWO_DIGITS = '{:.2f}'.format
_PERCENT = '{:.1%}'.format
# Head of the column, and how a number is shown.
_FIGURES = {
    'images_drawn': ('images drawn', _WHOLE),
    'largest_over_smallest':
        ('largest ÷ smallest class (largest IRLbl)', _TWO_DIGITS),
    'mean_ir': ('MeanIR', _TWO_DIGITS),
    'scumble': ('SCUMBLE', '{:.3f}'.format),
    'variation': ('variation', '{:.3f}'.format),
    'never_seen': ('images never seen', _PERCENT),
    'least_repeat': ('least repeat', '{:.3g}'.format),
    'largest_repeat': ('largest repeat', '{:.1f}'.format),
    'effective_sample_size': ('effective sample size', _WHOLE),
    'off_target': ('class farthest from target', _PERCENT),
}
_POLICY_FIGURES = tuple(_FIGURES)
_FRONTIER_FIGURES = ('effective_sample_size', 'largest_repeat', 'images_drawn',
                     'variation', 'off_target')
_MLSMOTE_FIGURES = ('images_drawn', 'largest_over_smallest', 'mean_ir',
                    'scumble')
INPUT_COLUMNS = ('way', 'median', 'least', 'most', 'part_of_memcpy', 'how')
_ROUNDINGS = {
    'coins': 'independent coins',
    'systematic': 'draw_counts without ranks',
    'ranked': 'draw_counts by label sets',
}


def format_convert(report: dict[str, Any]) -> str:
  """Returns the two tables of convert.measure, and what they mean."""
  peers = report['peers']
  steps = [(step['title'], step['unit'], f'{step["ms"]:.3f}',
            f'{step["median_ms"]:.3f}', _number(step['mean_difference'], 2))
           for step in report['steps']]
  lines = [
      f'{report["num_samples"]} samples to {report["image_size"]} px; best of '
      f'{report["repeats"]} (median). Ratios are those of best rates, divided '
      'by cores. Peak: parent + largest worker.', '',
      _peer_table(peers, 'pillow'), '',
      _two_workers(peers['ours'], peers['ours_2']), '',
      _table(('decoders and filters', 'a', 'CPU ms, best', 'median',
              'mean difference from AREA'), steps)
  ]
  if 'tiff' in report:
    lines += [
        '', f'{report["tiff"]["num_samples"]} samples of five uncompressed '
        '16-bit TIFFs:', '',
        _peer_table(report['tiff']['peers'], 'tifffile')
    ]
  return '\n'.join(lines)


def _peer_table(peers: dict[str, dict[str, Any]], plain: str) -> str:
  """Returns the table of peers, with ratios to the one of the key plain."""
  ratio = f'× {peers[plain]["title"].partition(",")[0]}'
  head = ('', 'cold, samples/s', ratio, 'warm, samples/s', ratio,
          'CPU ms a sample, cold / warm', 'peak MiB', 'records',
          'mean difference')
  return _table(head,
                [_peer_row(peer, peers[plain]) for peer in peers.values()])


def closing_line(report: dict[str, Any]) -> str:
  """Returns the main result: one core against plain Pillow."""
  ours, plain = report['peers']['ours'], report['peers']['pillow']
  cold, warm = (
      ours[kind]['best'] / plain[kind]['best'] for kind in ('cold', 'warm'))
  return (f'One core converts {cold:.2f} times as many samples a second as '
          f'plain Pillow with its start ({ours["cold"]["best"]:.1f} against '
          f'{plain["cold"]["best"]:.1f}), {warm:.2f} times without '
          f'({ours["warm"]["best"]:.1f} against {plain["warm"]["best"]:.1f}).')


def format_balance(report: dict[str, Any]) -> str:
  """Returns the tables of balance.measure, and what they mean."""
  chosen = report['balance']
  policies = [(name, *_figures(figures, _POLICY_FIGURES))
              for name, figures in report['policies'].items()]
  frontier = [(f'{row["tolerance"]:g}', f'{row["max_repeat"]:g}',
               *_figures(row, _FRONTIER_FIGURES)) for row in report['frontier']]
  rounding = [(title, f'{way["mean_std"]:.2f}', f'{way["largest_std"]:.2f}',
               f'{way["largest_distance"]:.2f}', f'{way["never_drawn"]:,}')
              for title, way in ((title, report['rounding'][name])
                                 for name, title in _ROUNDINGS.items())]
  differences = ', '.join(f'{each:.2f}' for each in report['folds'])
  return '\n'.join([
      f'{report["num_images"]:,} images, {report["num_folds"]} folds, '
      f'{report["num_seeds"]} cuts into folds; target {chosen["target"]}, '
      f'tolerance {chosen["tolerance"]:g}, max_repeat '
      f'{chosen["max_repeat"]:g}, factors {chosen["factors"]}, percent '
      f'{chosen["percent"]}. Training images of each held-out fold: '
      'least–largest over folds and cuts.', '',
      _table(('policy', *_heads(_POLICY_FIGURES)), policies), '',
      'Images by which a class in a fold differs most from n / F, by cut: '
      f'{differences}.', '', 'exact, first cut, 0 being no max_repeat:', '',
      _table(('tolerance', 'max_repeat', *_heads(_FRONTIER_FIGURES)),
             frontier), '', 'Class totals of exact, fold 0 held out, over '
      f'{report["rounding"]["epochs"]} epochs:', '',
      _table(('rounding', 'mean standard deviation', 'largest',
              'largest distance from the expected total', 'images never drawn'),
             rounding), '',
      _format_seconds(report['seconds'], report['num_folds']),
      *(['', _format_mlsmote(report['mlsmote'])] if 'mlsmote' in report else [])
  ])


def _format_mlsmote(models: dict[str, Any]) -> str:
  """Returns the table of mlsmote.measure."""
  rows = []
  for model, ways in models.items():
    for name, figures in ways.items():
      shown = {key: [value, value] for key, value in figures.items()}
      seconds = f'{figures["seconds"]:.3f}' if 'seconds' in figures else ''
      rows.append((model, name, *_figures(shown, _MLSMOTE_FIGURES), seconds))
  return _table(('features', 'images', *_heads(_MLSMOTE_FIGURES), 'seconds'),
                rows)


def closing_line_balance(report: dict[str, Any]) -> str:
  """Returns the main result: exact against the paper's hybrid."""
  exact, hybrid = (report['policies'][name] for name in ('exact', 'hybrid'))

  def say(name, show):
    return (f'{_range(exact[name], show)} against '
            f'{_range(hybrid[name], show)}')

  return ('exact against hybrid: largest ÷ smallest class '
          f'{say("largest_over_smallest", _TWO_DIGITS)}, images never seen '
          f'{say("never_seen", _PERCENT)}, effective sample size '
          f'{say("effective_sample_size", _WHOLE)}.')


def tabulate_input(report: dict[str, Any]) -> pd.DataFrame:
  """Returns input_pipeline.measure's rates, images a second, a row a way.

  Columns: median, least, most, part_of_memcpy (NaN without memcpy), how. Ways
  that are absent have no row.
  """
  rows, memcpy = [], report['ways'].get('memcpy', {}).get('median')
  for each in report['ways'].values():
    if each.get('rates'):
      part = each['median'] / memcpy if memcpy else float('nan')
      rows.append((each['title'], each['median'], min(each['rates']),
                   max(each['rates']), part, each['how']))
  return pd.DataFrame(rows, columns=INPUT_COLUMNS).set_index('way')


def format_input(report: dict[str, Any]) -> str:
  """Returns the table of input_pipeline.measure, and what it means."""
  rows = [
      (row.Index, _WHOLE(row.median), f'{row.least:,.0f}–{row.most:,.0f}',
       '' if np.isnan(row.part_of_memcpy) else _TWO_DIGITS(row.part_of_memcpy),
       row.how) for row in tabulate_input(report).itertuples()
  ]
  absent = [
      f'{each["title"]} was not measured: {each["absent"]}.'
      for each in report['ways'].values()
      if 'absent' in each
  ]
  return '\n'.join([
      f'{report["num_images"]:,} images, batches of {report["batch"]}, '
      f'{report["seconds"]:g} s a measurement, {report["repeats"]} of each in '
      'turn.', '',
      _table(('', 'images/s, median', 'least–most', '÷ memcpy', 'how'), rows),
      '', *absent
  ])


def closing_line_input(report: dict[str, Any]) -> str:
  """Returns the main result: the ratios of our readers."""
  ratios = report['ratios']
  parts = [
      f'{ratios[key]:.2f} {title}'
      for key, title in (('best_plain', 'times the best plain TFRecordDataset '
                          'pipeline'), ('memcpy', 'of memcpy'),
                         ('page_cache', 'of reading the page cache'),
                         ('best_other', 'times the best of the others'))
      if key in ratios
  ]
  if 'crc' in ratios:
    parts.append(f'with --check=crc {ratios["crc"]:.2f} of that')
  found = f'The indexed reader gives {", ".join(parts)}. ' if parts else ''
  if 'streaming' in ratios:
    found += (f'The streaming reader gives {ratios["streaming"]:.2f} times the '
              'best plain TFRecordDataset pipeline. ')
  if 'open' in ratios:
    found += (
        f'hpa_records.open under PyTorch gives {ratios["open"]:.2f} times '
        'the best of the others.')
  return found.strip() or 'Nothing to compare.'


def format_train(report: dict[str, Any]) -> str:
  """Returns the table of train.measure."""
  return '\n'.join([
      f'GapNet-PL, PReLU, {report["size"]} px, batches of {report["batch"]}, '
      f'{report["precision"]}, xla {report["xla"]}.', '',
      _format_ways(report, 'images/s, median', 'rates')
  ])


def format_overhead(report: dict[str, Any]) -> str:
  """Returns the table of train.measure_overhead."""
  return '\n'.join([
      f'One dense layer, {report["size"]} px, batches of {report["batch"]}, '
      f'{report["steps"]} steps a call.', '',
      _format_ways(report, 'us a step, median', 'step_us')
  ])


def _format_ways(report: dict[str, Any], head: str, name: str) -> str:
  """Returns a row a way: median and range of its figures, and our ratio."""
  ratios = report['ratios']
  rows = [(each['title'], _WHOLE(each['median']),
           f'{min(each[name]):,.1f}–{max(each[name]):,.1f}',
           _TWO_DIGITS(ratios[key]) if key in ratios else '')
          for key, each in report['ways'].items()]
  return _table(('', head, 'least–most', 'ours ÷ this'), rows)


def _format_seconds(tables: Sequence[dict[str, Any]], num_folds: int) -> str:
  names = [name for name in tables[0] if name != 'num_rows']
  head = [f'seconds, all {num_folds} folds']
  for table in tables:
    head += [f'{table["num_rows"]:,} rows', '× none']
  rows = []
  for name in names:
    rows.append([name])
    for table in tables:
      rows[-1] += [f'{table[name]:.3f}', f'{table[name] / table["none"]:.1f}']
  return _table(head, rows)


def _figures(figures: dict[str, Any], names: Sequence[str]) -> list[str]:
  return [_range(figures[name], _FIGURES[name][1]) for name in names]


def _heads(names: Sequence[str]) -> list[str]:
  return [_FIGURES[name][0] for name in names]


def _range(values: Sequence[float], show: Callable[[float], str]) -> str:
  least, largest = map(show, values)
  return least if least == largest else f'{least}–{largest}'


def _peer_row(peer: dict[str, Any], plain: dict[str, Any]) -> Sequence[str]:
  row = [peer['title']]
  for kind in ('cold', 'warm'):
    ratio = peer[kind]['best'] / peer['cores'] / plain[kind]['best']
    row += [
        f'{peer[kind]["best"]:.1f} ({peer[kind]["median"]:.1f})', f'{ratio:.2f}'
    ]
  memory = f'{peer["parent_mib"]:.0f}'
  if peer['worker_mib']:
    memory += f' + {peer["worker_mib"]:.0f}'
  return row + [
      f'{peer["cold"]["cpu_ms"]:.2f} / {peer["warm"]["cpu_ms"]:.2f}', memory,
      str(peer['num_records']),
      _number(peer.get('mean_difference'), 2)
  ]


def _two_workers(one: dict[str, Any], two: dict[str, Any]) -> str:
  """Describes the gain of a second worker, with and without start-up."""
  parts = [
      f'{kind} {two[kind]["best"] / one[kind]["best"]:.2f}' for kind in ('cold',
                                                                         'warm')
  ]
  if one['steady'] and two['steady']:
    parts.append(f'{two["steady"] / one["steady"]:.2f} without what a call '
                 f'takes before its first sample ({two["steady"]:.1f} against '
                 f'{one["steady"]:.1f} samples/s)')
  else:
    parts.append('the rate without the start of a call not measured: too few '
                 'samples')
  return f'Two workers ÷ one: {", ".join(parts)}.'


def _number(value: float | None, digits: int) -> str:
  return '' if value is None else f'{value:.{digits}f}'


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
  lines = [head, ['---'] * len(head), *rows]
  return '\n'.join(f'| {" | ".join(line)} |' for line in lines)
