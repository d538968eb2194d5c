"""Parsers of what a dataset is made of, and made from."""

import dataclasses
import functools
import hashlib
import json
import pathlib
import struct
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import parquet

from hpa_records.conversion import convert
from hpa_records.conversion import shard_plan
from hpa_records.datasets import description
from hpa_records.datasets import template
from hpa_records.datasets import toml_form
from hpa_records.format import example
from hpa_records.format import manifest
from hpa_records.format import spec
from hpa_records.format import tfrecord
from hpa_records.images import pixel_codec
from hpa_records.ingest import group_table
from hpa_records.ingest import image_folder
from hpa_records.ingest import joined_table
from hpa_records.ingest import row_reader
from hpa_records.ingest import samples as samples_lib
from hpa_records.inspection import index_check
from hpa_records.inspection import manifest_check
from hpa_records.inspection import summary
from hpa_records.runtime import errors
from hpa_records.runtime import json_text
from hpa_records.runtime import printable
from tests.fuzz import mutation
from tests.fuzz import target
from tests.support import fakes
from tests.support import image_bytes

_SIZE_PX = 4
_SETTINGS = shard_plan.Settings(image_size=_SIZE_PX, num_folds=2)
_SPEC = _SETTINGS.spec
_DIGEST = '0' * 64
_PLAIN = 'settings.json'  # the one file of .unfinished without a hash


def _records() -> list[bytes]:
  """A labelled record, one of PNG, one without labels."""
  pixels = fakes.image(1, _SIZE_PX)
  labels = np.zeros(_SPEC.num_classes, np.uint8)
  labels[[1, 5]] = 1
  samples = [
      example.Sample('a', pixel_codec.encode(pixels, encoding), 1, labels,
                     np.array([0.5, 0], np.float32))
      for encoding in spec.ENCODINGS
  ]
  samples.append(example.Sample('b', samples[0].image))
  return [
      example.encode_head(each) + bytes(memoryview(each.image))
      for each in samples
  ]


def _parse_record(data: bytes, _) -> None:
  sample = example.decode(data, _SPEC.num_classes)
  for encoding in spec.ENCODINGS:
    try:
      pixel_codec.decode(sample.image, encoding, _SIZE_PX, 4)
    except errors.DataError:
      pass


def _images(_) -> list[bytes]:
  png = bytes(memoryview(pixel_codec.encode(fakes.image(1, _SIZE_PX), 'png')))
  huge = image_bytes.png_header(30_000, 30_000, color=6)
  return [png, huge + png[33:], image_bytes.png(fakes.plane(1, 1, _SIZE_PX))]


def _parse_image(data: bytes, _) -> None:
  pixel_codec.decode(data, 'png', _SIZE_PX, 4)


def _frame(data: bytes) -> bytes:
  head = struct.pack('<Q', len(data))
  return head + tfrecord.checksum([head]) + data + tfrecord.checksum([data])


def _shards(_) -> list[bytes]:
  """Behind a byte 0 a shard, behind a byte 1 records that get frames."""
  found = _records()
  return [
      b'\0' + b''.join(map(_frame, found)),
      b'\0' + struct.pack('<Q', 2**62) +
      tfrecord.checksum([struct.pack('<Q', 2**62)]) + found[0],
      b'\1' + found[0],
      b'\1' + found[2],
  ]


def _parse_shard(data: bytes, folder: pathlib.Path) -> None:
  path = folder / 'a.tfrecord'
  path.write_bytes(_frame(data[1:]) if data[:1] == b'\1' else data[1:])
  for _, content in tfrecord.read(str(path)):
    example.decode(content, _SPEC.num_classes)


@functools.cache
def _dataset() -> dict[str, Any]:
  """A manifest without its sha256, and columns of an index, in JSON types."""
  size = 200
  index = {
      'id': ('string', ['a', 'b', 'c']),
      'fold': ('int32', [0, 0, 1]),
      'shard': ('string', [
          tfrecord.file_name('fold0', 0, 1),
          tfrecord.file_name('fold0', 0, 1),
          tfrecord.file_name('fold1', 0, 1)
      ]),
      'record_offset': ('int64', [0, size, 0]),
      'record_bytes': ('int64', [size] * 3),
      'image_offset': ('int64', [100, size + 100, 100]),
      'image_bytes': ('int64', [64] * 3),
      'labels': ('list<int32>', [[0], [1, 2], [27]]),
      'repeats': ('list<float>', [[0, 1], [0, 1], [2, 0]]),
  }
  counts = np.zeros((2, _SPEC.num_classes), int)
  counts[[0, 0, 0, 1], [0, 1, 2, 27]] = 1
  shards = (manifest.Shard(tfrecord.file_name('fold0', 0, 1), 2, 2 * size,
                           _DIGEST),
            manifest.Shard(tfrecord.file_name('fold1', 0, 1), 1, size, _DIGEST))
  sums = np.broadcast_to([[[6], [66]], [[3], [33]]], (2, 2, 4))
  pixels = pixel_codec.describe_folds([32, 16], sums)
  names = (manifest.INDEX_NAME, 'features.json', 'dataset_info.json')
  made = manifest.Manifest(_SETTINGS.encode(),
                           _DIGEST,
                           3,
                           0,
                           shards,
                           counts.tolist(),
                           pixels,
                           dict.fromkeys(names, _DIGEST), {'numpy': '2'},
                           _SPEC.classes,
                           _SPEC.channel_names,
                           inputs={
                               'num_files': 12,
                               'num_bytes': 99,
                               'names_and_sizes_sha256': _DIGEST,
                               'content_sha256': _DIGEST
                           })
  content = {
      name: value
      for name, value in dataclasses.asdict(made).items()
      if value is not None
  }
  return {'manifest': content, 'index': index}


def _sign(content: Any) -> bytes:
  """The text of a manifest whose hash is right."""
  plain = json.dumps(content, sort_keys=True, separators=(',', ':')).encode()
  if isinstance(content, dict):
    content = {**content, 'sha256': hashlib.sha256(plain).hexdigest()}
  return json.dumps(content, indent=1, sort_keys=True).encode() + b'\n'


def _manifests(_) -> list[bytes]:
  made = _dataset()['manifest']
  settings = {**made['settings'], 'unlabelled': True}
  names = [tfrecord.file_name('test', i, 2) for i in range(2)]
  unlabelled = {
      **made, 'settings':
          settings,
      'class_counts': [],
      'pixels':
          pixel_codec.statistics(48, np.full(4, 9), np.full(4, 99)),
      'shards': [{
          **each, 'name': name
      } for each, name in zip(made['shards'], names)]
  }
  described = toml_form.encode(description.load('rxrx1'))
  described = {
      **unlabelled, 'settings': {
          **settings, 'description': described
      },
      'channels': [each['name'] for each in described['channels']],
      'pixels': pixel_codec.statistics(48, np.full(6, 9), np.full(6, 99))
  }
  return [json.dumps(each).encode() for each in (made, unlabelled, described)]


def _parse_manifest(data: bytes, _) -> None:
  try:
    data = _sign(json.loads(data))
  except (ValueError, RecursionError):
    pass
  _check(manifest.parse(data, 'manifest.json'))


def _check(made: manifest.Manifest) -> None:
  """Raises DataError where the manifest makes no sense; else reads of it."""
  issues = manifest_check.check(made)
  if issues:
    raise errors.DataError(issues[0])
  _ = made.fingerprint, made.image_size, made.is_labelled, made.num_folds
  summary.tabulate_shards(made)


def _indexes(_) -> list[bytes]:
  return [json.dumps(_dataset()).encode()]


def _write_table(columns: Any) -> bytes | None:
  """An index of such columns; None where no parquet file can hold them."""
  arrays = {}
  try:
    for name, (kind, values) in columns.items():
      try:
        arrays[name] = pa.array(values, _TYPES[kind])
      except (pa.ArrowException, KeyError, TypeError, ValueError,
              OverflowError):
        arrays[name] = pa.array(values)
    content = pa.BufferOutputStream()
    parquet.write_table(pa.table(arrays), content)
  except (pa.ArrowException, AttributeError, TypeError, ValueError,
          OverflowError):
    return None
  return content.getvalue().to_pybytes()


_TYPES = {
    'string': pa.string(),
    'int32': pa.int32(),
    'int64': pa.int64(),
    'list<int32>': pa.list_(pa.int32()),
    'list<float>': pa.list_(pa.float32()),
    'x': pa.binary(),
    '': pa.float64(),
    'NaN': pa.timestamp('ns'),
    '1': pa.dictionary(pa.int32(), pa.string()),
}


def _parse_index(data: bytes, folder: pathlib.Path) -> None:
  """Reads a manifest and an index that are both signed."""
  try:
    content = json.loads(data)
    table = _write_table(content['index'])
    made = content['manifest']
  except (ValueError, RecursionError, KeyError, TypeError):
    return
  if table is not None:
    _read_index(made, table, folder)


def _read_index(made: Any, table: bytes, folder: pathlib.Path) -> None:
  files = made.get('files') if isinstance(made, dict) else None
  if isinstance(files, dict) and manifest.INDEX_NAME in files:
    digest = hashlib.sha256(table).hexdigest()
    made = {**made, 'files': {**files, manifest.INDEX_NAME: digest}}
  (folder / manifest.INDEX_NAME).write_bytes(table)
  (folder / manifest.MANIFEST_NAME).write_bytes(_sign(made))
  found = manifest.load(str(folder))
  _check(found)
  index = manifest.load_index(str(folder), found)
  issues = index_check.check(found, index)
  if issues:
    raise errors.DataError(issues[0])
  _use(found, index)


def _use(made: manifest.Manifest, index: pd.DataFrame) -> None:
  """What was found right has to hold for those who read it."""
  if made.is_labelled:
    repeats = np.stack(list(index['repeats']))
    if repeats.shape != (made.num_records, made.num_folds):
      raise AssertionError(f'repeats of {repeats.shape}')
  for name in index['id']:
    if printable.find_name_issue(name):
      raise AssertionError(f'the id {name!r} was taken')
  if not (index['image_bytes'] > 0).all():
    raise AssertionError('an image of no bytes was taken')


def _parquets(_) -> list[bytes]:
  return [_write_table(_dataset()['index'])]


def _parse_parquet(data: bytes, folder: pathlib.Path) -> None:
  _read_index(_dataset()['manifest'], data, folder)


def _csvs(_) -> list[bytes]:
  """The first byte chooses what is asked for."""
  return [
      b'\0Id,Target\na,0 1\nb,27\n',
      b'\1Id\na\nb\n',
      b'\2Id,Target,fold\na,0,1\n"b",3 4,0\n',
      b'\3Id,group\na,x\nb, x \n',
      b'\0\xef\xbb\xbfId,Target\r\n\r\n"a ""b""",5\r\n',
      '\0Id,Target\ne\u0301,0\n\u202e,1\n'.encode(),
      b'\4plate;site;path;moa;um\n1;2;a\\b.tif;x|y;0.5\n1;3;c/d.tif;x|x;1\n',
      b'\4plate\tsite\tpath\tmoa\tum\n01\t2\tb.tif\tz\t1e-3\n',
  ]


# A table with most of what a description can say.
_DESCRIBED = toml_form.parse(
    {
        'name': 'fuzz',
        'table': {
            'id': '{plate}_{path:stem}',
            'labels': 'moa',
            'form': 'names',
            'separator': '|',
            'empty': 'allow',
            'ignored': ['y'],
            'group': ['plate', 'site'],
            'metadata': ['site'],
            'plate': 'plate',
        },
        'images': {
            'pattern': '{plate}/{path:name}',
            'stacked': 'planes',
            'pixel_um': 'um'
        },
        'channels': [{
            'name': 'a'
        }, {
            'name': 'b'
        }]
    }, 'the description')


def _parse_csv(data: bytes, folder: pathlib.Path) -> None:
  asked, content = data[:1], data[1:]
  if asked == b'\3':
    ids, issues = group_table.parse(content, 'a.csv')
    names = [each for name in ids.items() for each in name]
  else:
    (folder / 'a.csv').write_bytes(content)
    found = _DESCRIBED if asked == b'\4' else description.change(
        description.default(), fold_column='fold' if asked == b'\2' else '')
    read = samples_lib.parse(joined_table.Table(str(folder / 'a.csv'), ()),
                             found,
                             unlabelled=asked == b'\1',
                             num_folds=2)
    issues, names = read.issues, [each.id for each in read.samples]
    for each in read.samples:
      _check_sample(each, read)
  taken = {each.id for each in issues}
  for name in names:
    if printable.find_name_issue(name) and not issues:
      raise AssertionError(f'{name!r} was taken, of {taken}')


def _check_sample(sample: row_reader.Sample, found: samples_lib.Found) -> None:
  """Names of files have to be below the folder, labels those of classes."""
  for name in sample.files:
    if not name.isprintable() or set(name.split('/')) & {'', '.', '..'}:
      raise AssertionError(f'the file {name!r} was taken')
  if not all(0 <= each < len(found.classes) for each in sample.labels):
    raise AssertionError(f'labels {sample.labels} of {len(found.classes)}')


def _patterns(_) -> list[bytes]:
  """A pattern, and behind a NUL names of files."""
  return [
      b'{id}_{channel}.png\0a_red.png\0a_green.png',
      b'x/{channel}/{id}.TIFF\0x/red/a.TIFF',
      b'{id}{channel}.jpg\0aaaaaaaaaaaaaaaared.jpg',
      '{id}_{channel}.png\0e\u0301_red.png'.encode(),
      b'{a}/{a}_*_{b}{channel}.png\0x/x_1_2red.png',
  ]


def _parse_pattern(data: bytes, _) -> None:
  pattern, *names = data.decode('utf-8', 'surrogateescape').split('\0')
  patterns = description.change(description.default(), pattern).patterns()
  if any(map(template.has_modifier, patterns)):
    return
  for values in image_folder.Listing(frozenset(names)).find_values(patterns):
    found = [
        template.compile_filled(template.fill_pattern(each, values).casefold())
        for each in patterns
    ]
    if not any(
        each.fullmatch(name.casefold()) for each in found for name in names):
      raise AssertionError(f'{values!r} of {names} is in none of {patterns}')


def _descriptions(_) -> list[bytes]:
  """The built-in descriptions."""
  folder = pathlib.Path(description.__file__).parent
  return [
      (folder / f'{name}.toml').read_bytes() for name in description.names()
  ]


def _parse_description(data: bytes, folder: pathlib.Path) -> None:
  (folder / 'a.toml').write_bytes(data)
  found = description.load(str(folder / 'a.toml'))
  classes = [each.name for each in found.classes]
  stored = json.loads(json.dumps(toml_form.encode(found)))
  if classes:
    again = description.of_settings({'description': stored}, classes)
    if toml_form.encode(again) != toml_form.encode(found):
      raise AssertionError(f'{again} is not {found}')


def _unfinished(folder: pathlib.Path) -> list[bytes]:
  """What a conversion that was cut off keeps, without its shards."""
  source = _write_source(folder)
  told = {}
  output = folder / 'records'
  original = convert.commit.complete

  def stop(plan, *_):
    for path in (pathlib.Path(plan.output) / '.unfinished').glob('*.json'):
      data = path.read_bytes()
      told[path.name] = (json.loads(data)
                         if path.name == _PLAIN else json_text.unseal(data))
    raise KeyboardInterrupt

  convert.commit.complete = stop
  try:
    convert.convert(*source, str(output), _SETTINGS, convert.How(workers=1))
  except KeyboardInterrupt:
    pass
  finally:
    convert.commit.complete = original
  stamps = [[1, 1]] * 4
  issue = {'row': 2, 'id': 's0', 'file': 's0_red.png', 'message': 'x'}
  told['issues.json'] = [{'issue': issue, 'stamps': stamps}]
  return [json.dumps(told).encode()]


def _write_source(folder: pathlib.Path) -> tuple[str, str]:
  return fakes.write_source(folder / 'source', 4, _SIZE_PX)


def _parse_unfinished(data: bytes, folder: pathlib.Path) -> None:
  """Goes on with a conversion from such files."""
  source = folder / 'source' / 'train.csv', folder / 'source' / 'train'
  if not source[0].exists():
    _write_source(folder)
  output = folder / 'records'
  unfinished = output / '.unfinished'
  unfinished.mkdir(parents=True, exist_ok=True)
  for path in [*output.iterdir(), *unfinished.iterdir()]:
    if path.is_file():
      path.unlink()
  for name, content in _split(data).items():
    if name != printable.find_name_issue(name) and '/' not in name:
      (unfinished / name).write_bytes(content)
  convert.convert(*map(str, source), str(output), _SETTINGS,
                  convert.How(workers=1, on_error='skip'))


def _split(data: bytes) -> dict[str, bytes]:
  """The files that an input stands for: {name: content}."""
  try:
    content = json.loads(data)
  except (ValueError, RecursionError):
    return {_PLAIN: data}
  if not isinstance(content, dict):
    return {_PLAIN: data}
  return {
      name:
          json.dumps(each).encode() if name == _PLAIN else json_text.seal(each)
      for name, each in content.items()
      if name.endswith('.json') and name.isascii() and len(name) < 99
  }


TARGETS = {
    'record':
        target.Target(lambda _: _records(), _parse_record),
    'stored_image':
        target.Target(_images, _parse_image, mutation.change_png),
    'shard':
        target.Target(_shards, _parse_shard),
    'manifest':
        target.Target(_manifests, _parse_manifest, mutation.change_json),
    'index':
        target.Target(_indexes, _parse_index, mutation.change_json),
    'parquet':
        target.Target(_parquets, _parse_parquet),
    'csv':
        target.Target(_csvs, _parse_csv),
    'pattern':
        target.Target(_patterns, _parse_pattern),
    'description':
        target.Target(_descriptions, _parse_description),
    'unfinished':
        target.Target(_unfinished, _parse_unfinished, mutation.change_json),
}
