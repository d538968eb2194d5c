"""draft: descriptions found from tables and image files of known layouts."""

import csv as csv_module
import dataclasses
import pathlib
import struct
import tempfile

import cv2
import hypothesis
from hypothesis import strategies
import numpy as np
import pytest
import tifffile

from hpa_records.conversion import conversion_input
from hpa_records.conversion import convert
from hpa_records.conversion import shard_plan
from hpa_records.datasets import description
from hpa_records.datasets import layout
from hpa_records.inspection import verify
from hpa_records.runtime import errors
from hpa_records.survey import draft
from hpa_records.synthetic import generator


def _make(folder, found, count=24):
  generator.make(str(folder), count, size_px=64, workers=1, found=found)


def _draft(folder, csv='train.csv', images='train'):
  """The text of a draft, which is loaded, and its comments as one line."""
  text = draft.draft(csv and str(folder / csv), images and str(folder / images),
                     'mine')
  path = folder / 'mine.toml'
  path.write_text(text, 'utf-8')
  notes = ' '.join(
      line.removeprefix('# ').strip()
      for line in text.splitlines()
      if line.startswith('#'))
  return description.load(str(path)), notes


def _convert(folder, found, csv='train.csv'):
  """Converts with a description, and checks the records."""
  output = str(folder / 'records')
  source = conversion_input.Source(csv and str(folder / csv),
                                   str(folder / 'train'))
  settings = shard_plan.Settings(description=found, image_size=32, num_folds=2)
  made = convert.make(source, output, settings, convert.How(workers=1))
  verify.verify(output, deep=True, workers=1)
  return made.manifest


@pytest.mark.parametrize('name,identifier,pattern', [
    ('hpa2018', 'Id', '{Id}_{channel}.png'),
    ('hpa2021', 'ID', '{ID}_{channel}.png'),
    ('hpa_public', '{if_plate_id}_{position}_{sample}',
     '{if_plate_id}_{position}_{sample}_{channel}.jpg'),
    ('hpa_fov', '{file:stem}', '{file:name}'),
    ('rxrx1', '{id_code}_{site}',
     '{experiment}/Plate{plate}/{well}_s{site}_{channel}.png'),
    ('opencell', 'target_name', '*_{target_name}__*.ome.tif'),
])
def test_a_draft_converts_as_it_is(tmp_path, name, identifier, pattern):
  built_in = description.load(name)
  _make(tmp_path, built_in)
  found, notes = _draft(tmp_path)
  assert (found.table.id, found.images.pattern) == (identifier, pattern)
  assert found.images.stacked == built_in.images.stacked
  assert found.table.form == built_in.table.form
  assert found.table.single == built_in.table.single
  assert f'the built-in description {name}: try' in notes
  made = _convert(tmp_path, found)
  assert made.num_records == 24


def test_a_stack_is_read_after_the_edit_that_its_comment_asks_for(tmp_path):
  _make(tmp_path, description.load('opencell'))
  found, notes = _draft(tmp_path)
  assert len(found.channels) == 6
  assert (
      'If they are focal planes, too, keep the channels that there are, and '
      'add axes = "CZ"') in notes
  images = dataclasses.replace(found.images, axes='CZ', project='max')
  edited = dataclasses.replace(found,
                               images=images,
                               channels=found.channels[:2])
  assert _convert(tmp_path, edited).channels == ('channel_1', 'channel_2')


@pytest.mark.parametrize('name,label,on', [
    ('bbbc021', 'moa', {
        'Image_Metadata_Compound': 'compound',
        'Image_Metadata_Concentration': 'concentration'
    }),
    ('cell_painting', 'Metadata_pert_id_index', {
        'Metadata_Well': 'Metadata_Well'
    }),
])
def test_labels_of_a_second_table_are_missed(tmp_path, name, label, on):
  built_in = description.load(name)
  _make(tmp_path, built_in)
  found, notes = _draft(tmp_path)
  assert found.patterns() == built_in.patterns()
  assert [each.name for each in found.channels
         ] == [each.name for each in built_in.channels]
  assert 'no column has labels for certain' in notes
  assert 'add a [[table.join]] if it is in a second table' in notes
  join = layout.Join(built_in.table.join[0].csv, tuple(on.items()))
  table = dataclasses.replace(found.table,
                              labels=(label,),
                              single=True,
                              join=(join,))
  _convert(tmp_path, dataclasses.replace(found, table=table))


def test_class_folders_are_found_without_a_table(tmp_path):
  found = description.load('hpa2018')
  table = layout.Table(form='folders')
  images = layout.Images(pattern='{class}/{id}_{channel}.png')
  classes = tuple(map(layout.Class, ('DMSO', 'Protein synthesis', 'Eg5')))
  _make(tmp_path,
        dataclasses.replace(found, table=table, images=images, classes=classes))
  found, notes = _draft(tmp_path, csv='')
  assert found.images.pattern == '{class}/{id}_{channel}.png'
  assert found.table.form == 'folders'
  assert {each.name for each in found.classes
         } == {'DMSO', 'Eg5', 'Protein synthesis'}
  assert 'were taken for classes' in notes
  assert _convert(tmp_path, found, csv='').num_records == 24


def test_class_folders_of_color_images_with_the_same_names(tmp_path):
  rng = np.random.default_rng(0)
  for name in ('normal tissue', 'tumor'):
    (tmp_path / 'train' / name).mkdir(parents=True)
    for number in range(6):
      assert cv2.imwrite(str(tmp_path / 'train' / name / f'{number}.png'),
                         rng.integers(0, 256, (64, 64, 3)).astype(np.uint8))
  found, notes = _draft(tmp_path, csv='')
  assert found.images.pattern == '{class}/{id}.png'
  assert found.images.stacked == 'planes' and len(found.channels) == 3
  assert [each.name for each in found.classes] == ['normal tissue', 'tumor']
  assert 'were taken for classes' in notes
  assert _convert(tmp_path, found, csv='').num_records == 12


def test_files_without_a_table_need_a_label(tmp_path):
  _make(tmp_path, description.load('hpa2018'), 4)
  found, notes = _draft(tmp_path, csv='')
  assert found.images.pattern == '{id}_{channel}.png'
  assert found.table.labels == ('label',)
  assert 'no --csv was passed' in notes and '--unlabelled' in notes


def test_a_table_without_images_has_the_channels_of_its_paths(tmp_path):
  _make(tmp_path, description.load('bbbc021'), 6)
  found, notes = _draft(tmp_path, images='')
  assert [each.name for each in found.channels] == ['DAPI', 'Tubulin', 'Actin']
  assert 'no --images was passed' in notes


def test_what_does_not_fit_is_a_comment(tmp_path):
  _make(tmp_path, description.load('hpa2021'), 12)
  images = tmp_path / 'train'
  for name in ('notes.txt', 'overview.png', 'mean.png'):
    (images / name).write_bytes(b'?')
  csv = tmp_path / 'train.csv'
  head, *rows = csv.read_text().splitlines()
  lines = [f'{head},camera,donor,um'] + [
      f'{row},one,d{i % 3},0.{i % 2 + 1}' for i, row in enumerate(rows)
  ]
  csv.write_text('\n'.join([*lines, 'too,few']) + '\n')
  found, notes = _draft(tmp_path)
  assert found.images.pattern == '{ID}_{channel}.png'
  assert not found.table.group
  for note in (
      '1 rows are not valid CSV; the first: row 14: expected 5 fields',
      '1 files are no images by their endings, such as notes.txt',
      "2 files do not match the pattern, such as 'mean.png'",
      'mean.png cannot be opened',
      "column 'donor': 3 distinct values ('d0', 'd1', 'd2'): too few for groups"
      ' in 5 folds', 'columns with one value, not used: camera',
      "column 'um': 2 distinct values ('0.1', '0.2'), not used"):
    assert note in notes, note


def _write(path, pixels, **options):
  path.parent.mkdir(parents=True, exist_ok=True)
  tifffile.imwrite(path, pixels, **options)


def test_columns_of_the_index_are_not_copied(tmp_path):
  _make(tmp_path, description.default())
  rows = (tmp_path / 'train.csv').read_text().splitlines()
  names = ('group', 'labels', 'Plate')
  (tmp_path / 'train.csv').write_text('\n'.join(
      [f'{rows[0]},{",".join(names)}'] +
      [f'{row},{i % 2},{i % 3},{i % 4}' for i, row in enumerate(rows[1:])]))
  found, notes = _draft(tmp_path)
  assert found.table.metadata == ('Plate',)
  assert "column 'group'" in notes


def test_the_directories_of_a_tiff_are_counted_to_a_limit(tmp_path):
  tags = [(256, 8), (257, 8), (258, 8), (259, 1), (262, 1), (273, 8), (278, 8),
          (279, 64)]
  first, step = 72, 2 + 12 * len(tags) + 4
  entries = b''.join(
      struct.pack('<HHII', tag, 4, 1, each) for tag, each in tags)
  count = 5000
  content = b'II*\0' + struct.pack('<I', first) + bytes(64)
  for i in range(1, count + 1):
    following = first + i * step if i < count else 0
    content += (struct.pack('<H', len(tags)) + entries +
                struct.pack('<I', following))
  (tmp_path / 'train').mkdir()
  (tmp_path / 'train' / 'a_ch1.tif').write_bytes(content)
  _, notes = _draft(tmp_path, csv='')
  assert 'expected at most 4,096 images in a TIFF, received more' in notes


def test_links_to_folders_are_followed(tmp_path):
  (tmp_path / 'train').mkdir()
  for name in ('normal', 'tumor'):
    (tmp_path / name).mkdir()
    (tmp_path / 'train' / name).symlink_to(tmp_path / name)
    for number in range(6):
      cv2.imwrite(str(tmp_path / name / f'{number}.png'),
                  np.full((64, 64, 3), number, np.uint8))
  found, _ = _draft(tmp_path, csv='')
  assert [each.name for each in found.classes] == ['normal', 'tumor']
  assert _convert(tmp_path, found, csv='').num_records == 12


def test_axes_and_pixel_size_of_a_file_are_taken(tmp_path):
  pixels = np.arange(3 * 2 * 8 * 8, dtype=np.uint16).reshape(3, 2, 8, 8)
  for name in ('one', 'two'):
    _write(tmp_path / 'train' / f'{name}.tif',
           pixels,
           imagej=True,
           metadata={'axes': 'ZCYX'},
           resolution=(20_000, 20_000),
           resolutionunit='CENTIMETER')
  found, notes = _draft(tmp_path, csv='')
  assert (len(found.channels), found.images.project) == (2, 'max')
  assert 'files declare the axes Z = 3, C = 2' in notes
  # ImageJ writes its own unit in place of the centimeter.
  assert found.images.pixel_um in (0.0, 0.5)


def test_many_pages_are_a_guess_that_says_so(tmp_path):
  _write(tmp_path / 'train' / 'one.tif',
         np.zeros((34, 8, 8), np.uint16),
         metadata=None)
  found, notes = _draft(tmp_path, csv='')
  assert (len(found.channels), found.images.axes) == (2, 'CZ')
  assert '2 channels of 17 focal planes are a guess' in notes


def test_the_pixel_size_is_that_of_the_resolution(tmp_path):
  for name in ('one', 'two'):
    _write(tmp_path / 'train' / f'{name}.tif',
           np.zeros((8, 8), np.uint8),
           resolution=(20_000, 20_000),
           resolutionunit='CENTIMETER')
  found, notes = _draft(tmp_path, csv='')
  assert found.images.pixel_um == 0.5
  assert 'pixel_um is by the resolution in the TIFFs' in notes


def test_depths_and_lacking_files_are_comments(tmp_path):
  images = tmp_path / 'train'
  images.mkdir()
  for name in ('A01_s1_w1', 'A01_s1_w2', 'A01_s2_w1', 'A01_s2_w2', 'B01_s1_w1'):
    depth = np.uint16 if name == 'A01_s1_w1' else np.uint8
    cv2.imwrite(str(images / f'{name}.png'), np.zeros((8, 8), depth))
  found, notes = _draft(tmp_path, csv='')
  assert [each.name for each in found.channels] == ['w1', 'w2']
  assert found.intensity.rule == 'percentiles'
  assert 'lack some of the files w1, w2' in notes
  assert 'several depths' in notes


_TEXTS = strategies.sampled_from([
    'a', 'b c', 'A01', 'w1', 'w2', 'red', 'green', '{x}', '*', '"', "'", '}',
    's1', 's2', '0', '1', '513.0', '\x7f', 'a|b', '1 2', 'True', '', ' ', '-',
    '\t', '\u2028', 'nan', '[GUID]', '\udc80', '\\', '%s', 'plate', 'Id',
    '315A1F00-CC94-4110-A357-C17EDED6C036'
])


@hypothesis.given(names=strategies.lists(strategies.lists(_TEXTS,
                                                          min_size=1,
                                                          max_size=3),
                                         min_size=1,
                                         max_size=6),
                  head=strategies.lists(_TEXTS,
                                        min_size=3,
                                        max_size=3,
                                        unique=True),
                  rows=strategies.lists(strategies.lists(_TEXTS,
                                                         min_size=3,
                                                         max_size=3),
                                        min_size=1,
                                        max_size=5))
@hypothesis.example(names=[['red'], ['green']],
                    head=['a', 'b', 'c'],
                    rows=[['1', '2', '3']])
@hypothesis.settings(max_examples=15)
def test_any_names_give_a_draft_that_loads_or_an_error(names, head, rows):
  with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    (folder / 'train').mkdir()
    image = cv2.imencode('.png', np.zeros((8, 8), np.uint8))[1].tobytes()
    for each in names:
      (folder / 'train' / f'{"_".join(each)}.png').write_bytes(image)
    with open(folder / 'train.csv',
              'w',
              encoding='utf-8',
              errors='backslashreplace',
              newline='') as file:
      csv_module.writer(file).writerows([head, *rows])
    try:
      found, _ = _draft(folder)
    except errors.DataError as error:
      assert 'not the description' not in str(error)
    else:
      assert found.channels
