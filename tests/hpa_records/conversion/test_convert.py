"""convert and tools/make_records.py, on real PNG files."""

import collections
import itertools
import pathlib

import numpy as np
import pandas as pd
from PIL import Image
import pytest

from hpa_records.conversion import convert
from hpa_records.conversion import shard_plan
from hpa_records.format import manifest
from hpa_records.format import spec
from hpa_records.images import pixel_codec
from hpa_records.images import resize
from hpa_records.runtime import errors
from hpa_records.storage import filesystem
from tests import conftest
from tests.hpa_records.images import test_load
from tests.support import fakes
from tests.support import prestarted
from tests.support import specs

_SMALL = shard_plan.Settings(image_size=16)


@pytest.fixture(name='source')
def _source(tmp_path):
  return fakes.write_source(tmp_path)


def _convert(source, output, settings=_SMALL, **kwargs):
  return convert.convert(str(source[0]), str(source[1]), str(output), settings,
                         convert.How(**{
                             'workers': 1,
                             **kwargs
                         }))


def _content(folder):
  return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_records_have_the_content_of_the_source(source, tmp_path):
  made = _convert(source, tmp_path / 'records')
  samples = fakes.read_samples(tmp_path / 'records')
  assert set(samples) == {f's{i}' for i in range(20)}
  for i in range(20):
    sample = samples[f's{i}']
    pixels = pixel_codec.decode(sample.image, 'raw', 16, 4)
    np.testing.assert_array_equal(pixels, resize.resize(fakes.image(i), 16))
    want = {i % 5} | ({5 + i % 7} if i % 3 == 0 else set())
    assert set(np.flatnonzero(sample.labels)) == want
    others = np.arange(5) != sample.fold
    np.testing.assert_array_equal(sample.repeats, others.astype(np.float32))
  assert made.num_records == 20 and made.num_skipped == 0


@pytest.mark.parametrize('encoding', spec.ENCODINGS)
def test_index_points_at_every_image(source, tmp_path, encoding):
  output = tmp_path / 'records'
  made = _convert(source, output,
                  shard_plan.Settings(image_size=16, encoding=encoding))
  index = manifest.load_index(str(output), made)
  samples = fakes.read_samples(output)
  for row in index.itertuples():
    data = (output / row.shard).read_bytes()
    stored = data[row.image_offset:row.image_offset + row.image_bytes]
    assert stored == bytes(samples[row.id].image)
    frame = data[row.record_offset:row.record_offset + row.record_bytes]
    assert stored in frame and len(frame) == row.record_bytes
    assert row.labels.tolist() == np.flatnonzero(
        samples[row.id].labels).tolist()


def test_manifest_counts_records_and_classes(source, tmp_path):
  made = _convert(source, tmp_path / 'records')
  index = pd.read_parquet(tmp_path / 'records' / 'index.parquet')
  counted = collections.Counter(
      (row.fold, label) for row in index.itertuples() for label in row.labels)
  for fold, counts in enumerate(made.class_counts):
    assert counts == [counted[fold, c] for c in range(28)]
  for entry in made.shards:
    path = tmp_path / 'records' / entry.name
    assert entry.sha256 == filesystem.sha256(str(path))
    assert (index['shard'] == entry.name).sum() == entry.records
  pixels = np.stack([resize.resize(fakes.image(i), 16) for i in range(20)])
  np.testing.assert_allclose(made.pixels['mean'], pixels.mean(axis=(0, 1, 2)))
  np.testing.assert_allclose(made.pixels['std'], pixels.std(axis=(0, 1, 2)))


def test_manifest_has_the_pixel_sums_of_each_fold(source, tmp_path):
  settings = shard_plan.Settings(image_size=300, num_folds=2, shard_mb=1)
  made = _convert(source, tmp_path / 'records', settings)
  assert len(made.shards) > 4
  samples = fakes.read_samples(tmp_path / 'records').values()
  for fold, said in enumerate(made.pixels['folds']):
    pixels = np.concatenate([
        pixel_codec.decode(each.image, 'raw', 300, 4).reshape(-1, 4)
        for each in samples
        if each.fold == fold
    ]).astype(np.int64)
    assert said == {
        'count': len(pixels),
        'sum': pixels.sum(axis=0).tolist(),
        'sum_of_squares': (pixels**2).sum(axis=0).tolist()
    }


def test_bytes_depend_on_data_and_settings_alone(source, tmp_path):
  settings = shard_plan.Settings(image_size=300,
                                 shard_mb=1)  # 2 records a shard
  _convert(source, tmp_path / 'one', settings)
  _convert(source, tmp_path / 'two', settings, workers=2)
  lines = pathlib.Path(source[0]).read_text('utf-8').splitlines()
  assert len(_content(tmp_path / 'one')) > 10
  assert _content(tmp_path / 'one') == _content(tmp_path / 'two')
  pathlib.Path(source[0]).write_text('\n'.join([lines[0]] + lines[:0:-1]),
                                     'utf-8')
  _convert(source, tmp_path / 'back', settings)
  for name, data in _content(tmp_path / 'one').items():
    if name != 'manifest.json':  # it holds the CSV's own hash
      assert data == _content(tmp_path / 'back')[name]


def test_limit_takes_the_first_rows(source, tmp_path):
  _convert(source, tmp_path / 'records',
           shard_plan.Settings(image_size=16, limit=7))
  assert set(fakes.read_samples(tmp_path /
                                'records')) == {f's{i}' for i in range(7)}


def test_hybrid_repeats_are_in_the_records(source, tmp_path):
  settings = shard_plan.Settings(image_size=16,
                                 balance='hybrid',
                                 balance_target=9)
  made = _convert(source, tmp_path / 'records', settings)
  index = manifest.load_index(str(tmp_path / 'records'), made)
  samples = fakes.read_samples(tmp_path / 'records')
  for row in index.itertuples():
    np.testing.assert_array_equal(row.repeats, samples[row.id].repeats)
    assert row.repeats[row.fold] == 0
  assert np.stack(index['repeats']).max() > 1


def test_finished_dataset_is_kept(source, tmp_path):
  first = _convert(source, tmp_path / 'records')
  before = {p: p.stat().st_mtime_ns for p in (tmp_path / 'records').iterdir()}
  assert _convert(source, tmp_path / 'records') == first
  after = {p: p.stat().st_mtime_ns for p in (tmp_path / 'records').iterdir()}
  assert before == after


def test_other_settings_are_refused_then_overwritten(source, tmp_path):
  output = tmp_path / 'records'
  _convert(source, output)
  before = _content(output)
  other = shard_plan.Settings(image_size=16, encoding='png')
  with pytest.raises(errors.DataError, match="encoding 'raw', requested 'png'"):
    _convert(source, output, other)
  assert _content(output) == before
  _convert(source, output, other, overwrite=True)
  assert manifest.load(str(output)).settings['encoding'] == 'png'


def test_files_without_a_manifest_are_overwritten_on_request(source, tmp_path):
  output = tmp_path / 'records'
  _convert(source, output)
  whole = _content(output)
  (output / 'manifest.json').unlink()
  (output / 'fold0-00000-of-00002.tfrecord').write_bytes(b'of other settings')
  (output / 'fold1-00000-of-00001.tfrecord.tmp').write_bytes(b'half')
  before = _content(output)
  with pytest.raises(errors.DataError, match='but no manifest; choose'):
    _convert(source, output)
  assert _content(output) == before
  _convert(source, output, overwrite=True)
  assert _content(output) == whole


def test_a_folder_with_other_files_is_refused(source, tmp_path):
  output = tmp_path / 'records'
  output.mkdir()
  (output / 'thesis.tex').write_text('mine')
  with pytest.raises(errors.DataError, match="contains 'thesis.tex'"):
    _convert(source, output, overwrite=True)
  assert _content(output) == {'thesis.tex': b'mine'}


def _damage(source, *names):
  for name in names:
    path = pathlib.Path(source[1]) / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x40  # the header is sound, the pixels are not
    path.write_bytes(data)


def test_damaged_pixels_stop_with_every_issue_and_no_manifest(source, tmp_path):
  _damage(source, 's3_green.png', 's11_red.png')
  with pytest.raises(errors.DataError) as error:
    _convert(source, tmp_path / 'records')
  assert 's3_green.png' in str(error.value)
  assert 's11_red.png' in str(error.value)
  assert not (tmp_path / 'records' / 'manifest.json').exists()


def test_skip_leaves_invalid_samples_out_and_lists_them(source, tmp_path):
  _damage(source, 's3_green.png', 's11_red.png')
  (pathlib.Path(source[1]) / 's5_blue.png').unlink()
  made = _convert(source, tmp_path / 'records', on_error='skip')
  listed = pd.read_csv(tmp_path / 'records' / 'skipped.csv')
  assert set(listed['id']) == {'s3', 's5', 's11'}
  assert made.num_skipped == 3 and made.num_records == 17
  assert set(fakes.read_samples(
      tmp_path / 'records')) == {f's{i}' for i in range(20)} - set(listed['id'])


@pytest.mark.parametrize('values,message', [
    ({
        'image_size': 0
    }, '--image_size of at least 1, received 0'),
    ({
        'num_folds': 1
    }, '--num_folds of at least 2, received 1'),
    ({
        'encoding': 'gif'
    }, "received 'gif'"),
    ({
        'seed': 2**63
    }, '--seed of at most 9223372036854775807'),
    ({
        'limit': 2**63
    }, '--limit of at most 9223372036854775807'),
    ({
        'image_size': 8193
    }, '--image_size of at most 8192'),
    ({
        'num_folds': 2**16 + 1,
        'unlabelled': True
    }, '--num_folds of at most 65536'),
    ({
        'pattern': 'a/' * 2048 + '{id}_{channel}.png'
    }, '4,096 characters in --pattern'),
    ({
        'balance': 'magic'
    }, "received 'magic'"),
])
def test_settings_out_of_range_are_refused(values, message):
  with pytest.raises(errors.DataError, match=message):
    shard_plan.Settings(**values)


def _run_tool(*flags):
  return prestarted.run(['tools/make_records.py', *flags])


def test_tool_converts_and_prints_the_folder(source, tmp_path):
  done = _run_tool(f'--csv={source[0]}', f'--images={source[1]}',
                   f'--output={tmp_path / "records"}', '--image_size=16')
  assert done.returncode == 0, done.stderr
  assert done.stdout.startswith('20 records in 5 shards, 0 samples skipped')
  assert manifest.load(str(tmp_path / 'records')).image_size == 16


@pytest.mark.parametrize('flags,message', [
    (['--csv=none.csv', '--images=.', '--output=x'], 'none.csv'),
    (['--cvs=none.csv'], "Unknown command line flag 'cvs'"),
    (['--csv=a', '--images=b'], 'pass --output=PATH'),
    (['--csv=a', '--images=b', '--output=x', '--only_shard=x'], 'only_shard'),
    (['--csv=a', '--images=b', '--output=x', '--only_shard=-2'], 'only_shard'),
    (['--csv=a', '--images=b', '--output=x', '--beam_options="a'], 'quotation'),
    (['--csv=a', '--images=b', '--output=x', '--shard_mb=0'], '--shard_mb'),
    (['extra'], "received 'extra'"),
])
def test_wrong_flags_end_with_one_line_and_exit_code_2(flags, message):
  done = _run_tool(*flags)
  assert done.returncode == 2
  assert message in done.stderr and 'Traceback' not in done.stderr
  assert len(done.stderr.splitlines()) == 1 and not done.stdout


@pytest.fixture(name='fields', scope='module')
def _fields(tmp_path_factory):
  """(folder of the real data, folder of their records at 299 px)."""
  shared = conftest.find_shared_data()
  output = tmp_path_factory.mktemp('fields')
  _convert((str(shared / 'hpa' / 'fields.csv'), str(shared / 'hpa' / 'fields')),
           output / 'one', shard_plan.Settings())
  return shared / 'hpa', output / 'one'


def test_real_fields_give_their_labels(fields):
  samples = fakes.read_samples(fields[1])
  labels = pd.read_csv(fields[0] / 'fields.csv', index_col='Id')['Target']
  assert len(samples) == 345
  for sample_id, sample in samples.items():
    want = sorted(map(int, str(labels[sample_id]).split()))
    assert np.flatnonzero(sample.labels).tolist() == want


def _differences(folder, fields, exact):
  """Largest difference of each plane of 60 samples to an exact reduction."""
  samples = fakes.read_samples(folder)
  for sample_id, sample in itertools.islice(samples.items(), 60):
    stored = pixel_codec.decode(sample.image, 'raw', 299, 4)
    for c, channel in enumerate(specs.CHANNELS):
      path = fields[0] / 'fields' / f'{sample_id}_{channel}.png'
      pixels = np.asarray(Image.open(path))
      yield np.abs(stored[..., c] - exact(pixels, 299)).max()


def test_real_fields_equal_an_independent_decode_and_resize(fields):
  found = list(_differences(fields[1], fields, test_load.triangle_means))
  assert len(found) == 4 * 60 and max(found) <= 1.001


def test_real_fields_by_area_equal_exact_means(fields, tmp_path):
  _convert((fields[0] / 'fields.csv', fields[0] / 'fields'), tmp_path / 'area',
           shard_plan.Settings(resize='area', limit=60))
  found = list(_differences(tmp_path / 'area', fields, test_load.area_means))
  assert len(found) == 4 * 60 and max(found) <= 0.5 + 1e-3


def test_real_fields_by_two_workers_are_the_same_bytes(fields, tmp_path):
  _convert((str(fields[0] / 'fields.csv'), str(fields[0] / 'fields')),
           tmp_path / 'two',
           shard_plan.Settings(),
           workers=2)
  assert _content(tmp_path / 'two') == _content(fields[1])


def test_real_table_without_its_images_is_one_short_error(fields, tmp_path):
  done = _run_tool(f'--csv={fields[0] / "train.csv"}',
                   f'--images={fields[0] / "single_channel"}',
                   f'--output={tmp_path / "records"}')
  assert done.returncode == 2 and not (tmp_path / 'records').exists()
  assert '124,264 issues:' in done.stderr
  assert len(done.stderr.splitlines()) == 22
