"""Synthetic samples of any description: what the converter reads of them."""

import pathlib

import cv2
import numpy as np
import pytest

from hpa_records.datasets import description
from hpa_records.datasets import toml_form
from hpa_records.ingest import input_tables
from hpa_records.ingest import sample_table
from hpa_records.images import load
from hpa_records.runtime import errors
from hpa_records.synthetic import generator
from hpa_records.synthetic import sample_layout

_CHANNELS = [{
    'name': 'DNA',
    'color': '#0000ff'
}, {
    'name': 'rest',
    'color': '#ffffff'
}]


def _describe(table, images, intensity=None, classes=('a', 'b c'), channels=2):
  return toml_form.parse(
      {
          'name':
              'mine',
          'classes':
              list(classes),
          'table':
              table,
          'images':
              images,
          'intensity':
              intensity or {},
          'channels': (_CHANNELS * 8)[:channels] if channels < 3 else [{
              'name': f'c{i}'
          } for i in range(channels)],
      }, 'mine.toml')


def _make(folder, found, count=24):
  made = generator.make(str(folder), count, size_px=64, workers=1, found=found)
  csv = folder / 'train.csv'
  loaded = sample_table.load(
      str(csv) if csv.exists() else '', str(folder / 'train'),
      input_tables.How(found, num_folds=5))
  assert len(loaded.table) == made
  return loaded


def _load(folder, loaded, found, row=0):
  files = [str(folder / 'train' / name) for name in loaded.table['files'][row]]
  return load.load(files, found.how(64))


@pytest.mark.parametrize('table,images,intensity', [
    ({
        'id': '{plate}_{well}',
        'labels': 'moa',
        'form': 'names',
        'single': True
    }, {
        'pattern': 'P{plate}/{well}_*_{channel}.tif'
    }, {
        'rule': 'percentiles',
        'of': 'image'
    }),
    ({
        'form': 'folders'
    }, {
        'pattern': '{class}/{id}-{channel}.png'
    }, {
        'rule': 'full_scale'
    }),
    ({
        'id': 'Id',
        'labels': ['one', 'two'],
        'form': 'names',
        'separator': ';',
        'fold': 'fold'
    }, {
        'pattern': '{id}.tif.gz',
        'stacked': 'pages',
        'axes': 'ZC',
        'project': 'middle'
    }, {
        'rule': 'white_level',
        'white_level': 4095
    }),
    ({
        'id': 'Id',
        'labels': 'labels',
        'form': 'numbers',
        'separator': '|',
        'group': ['donor'],
        'each': {
            'site': ['1', '2']
        },
        'join': [{
            'csv': 'donors.csv',
            'on': {
                'donor': 'name'
            }
        }]
    }, {
        'pattern': '{id}_{site}.png',
        'stacked': 'planes',
        'pixel_um': 'um'
    }, None),
    ({
        'id': '{file:stem}',
        'form': 'columns'
    }, {
        'pattern': '{file:parent}/{file:name}',
        'stacked': 'planes'
    }, None),
])
def test_the_converter_reads_any_layout(tmp_path, table, images, intensity):
  if 'each' in table:
    table = {**table, 'id': '{code}_{site}'}
  found = _describe(table, images, intensity)
  if found.images.stacked == 'planes':
    found = _describe(table, images, intensity, channels=3)
  loaded = _make(tmp_path, found)
  image = _load(tmp_path, loaded, found)
  assert image.shape == (64, 64, len(found.channels))
  assert image.std(axis=(0, 1)).min() > 1
  assert {each for labels in loaded.table['labels'] for each in labels
         } == {0, 1}


@pytest.mark.parametrize('channels', [1, 16])
def test_one_to_sixteen_channels_differ(tmp_path, channels):
  found = _describe({
      'labels': 'Target',
      'form': 'numbers'
  }, {'pattern': '{id}_{channel}.tif'}, {'rule': 'percentiles'},
                    channels=channels)
  loaded = _make(tmp_path, found, 2)
  image = _load(tmp_path, loaded, found)
  assert image.shape == (64, 64, channels)
  assert len({image[..., i].tobytes() for i in range(channels)}) == channels


def test_files_have_the_depth_that_the_rule_needs(tmp_path):
  pages = _describe({
      'labels': 'Target',
      'form': 'numbers'
  }, {'pattern': '{id}_{channel}.tif'}, {
      'rule': 'white_level',
      'white_level': 1000
  })
  _make(tmp_path, pages, 2)
  names = list((tmp_path / 'train').iterdir())
  images = [cv2.imread(str(each), cv2.IMREAD_UNCHANGED) for each in names]
  assert {each.dtype for each in images} == {np.dtype(np.uint16)}
  assert 255 < max(each.max() for each in images) <= 1000


def test_jpegs_have_the_color_of_their_channel(tmp_path):
  generator.make(str(tmp_path),
                 1,
                 size_px=64,
                 workers=1,
                 found=description.load('hpa_public'))
  blue, green, red = cv2.split(
      cv2.imread(str(next((tmp_path / 'train').glob('*_yellow.jpg')))))
  assert blue.mean() < red.mean() / 4 and abs(red.mean() - green.mean()) < 5


def test_classes_show_in_all_channels_where_none_is_of_a_protein():
  found = description.load('rxrx1')
  samples = sample_layout.lay_out(found, [(3,), (31,)], 0).samples
  assert [each.labels for each in samples] == [(3,), (3,), (31,), (31,)]
  names = {name for each in samples for name in each.files}
  assert len(names) == 4 * 6


def test_a_joined_table_has_the_labels(tmp_path):
  _make(tmp_path, description.load('bbbc021'), 20)
  head = (tmp_path / 'BBBC021_v1_moa.csv').read_text().splitlines()[0]
  assert head == 'compound,concentration,moa'
  assert 'moa' not in (tmp_path / 'train.csv').read_text()


@pytest.mark.parametrize('table,images,message', [
    ({
        'labels': 'Target'
    }, {
        'pattern': '{id}_{channel}.jp2'
    }, 'other types cannot be made'),
    ({
        'labels': 'moa',
        'form': 'names',
        'separator': ' '
    }, {}, "class 'b c' contains the separator"),
    ({
        'labels': 'Target',
        'each': {
            'site': ['1', '2']
        }
    }, {}, 'Two samples would have the id'),
    ({
        'id': 'Id',
        'labels': 'Id',
        'form': 'names',
        'separator': ';'
    }, {}, 'Two samples would have the id'),
    ({
        'labels': 'Target'
    }, {
        'pattern': '{id}.tif',
        'stacked': 'planes'
    }, 'more than 4 planes'),
])
def test_what_cannot_be_made_is_refused(tmp_path, table, images, message):
  with pytest.raises(errors.DataError, match=message):
    generator.make(str(tmp_path),
                   4,
                   found=_describe(table,
                                   images,
                                   channels=5 if 'stacked' in images else 2))
  assert not list(pathlib.Path(tmp_path).iterdir())


@pytest.mark.parametrize('identifier', ['id', '{plate}_{id}'])
def test_a_column_named_id_is_written(tmp_path, identifier):
  found = _describe(
      {
          'id': identifier,
          'labels': 'kind',
          'form': 'names',
          'separator': '|'
      }, {'pattern': '{id}_{channel}.png'})
  _make(tmp_path, found)
  header = (tmp_path / 'train.csv').read_text().partition('\n')[0]
  assert 'id' in header.split(',')


@pytest.mark.parametrize('table', [{
    'labels': 'kind',
    'form': 'names',
    'single': True
}, {
    'form': 'columns'
}])
def test_labels_may_be_in_the_id_and_in_the_names_of_files(tmp_path, table):
  column = table.get('labels', 'a')
  found = _describe({
      'id': f'{{{column}}}_{{well}}',
      **table
  }, {'pattern': f'{{{column}}}/{{well}}_{{channel}}.png'})
  loaded = _make(tmp_path, found)
  texts = {(0,): 'a', (1,): 'b c'}
  if table['form'] == 'columns':
    texts = {(0,): 'True', (1,): 'False'}
  for labels, files, name in zip(loaded.table['labels'], loaded.table['files'],
                                 loaded.table['id']):
    text = texts.get(labels, 'True')
    assert name.startswith(f'{text}_') and files[0].startswith(f'{text}/')


def test_ids_of_a_folder_and_a_name(tmp_path):
  found = _describe({
      'id': '{class}_{id}',
      'form': 'folders'
  }, {'pattern': '{class}/{id}_{channel}.png'})
  loaded = _make(tmp_path, found)
  assert loaded.table['id'][0].startswith('a_')


def test_a_table_may_be_joined_on_the_labels_and_no_other_is_replaced(tmp_path):
  found = _describe(
      {
          'labels': 'moa',
          'form': 'names',
          'separator': ';',
          'single': True,
          'join': [{
              'csv': 'more/second.csv',
              'on': {
                  'moa': 'name'
              }
          }]
      }, {'pattern': '{id}_{channel}.png'})
  second = tmp_path / 'more' / 'second.csv'
  second.parent.mkdir()
  second.write_text('of the user')
  with pytest.raises(errors.DataError, match='second.csv exists'):
    _make(tmp_path, found)
  assert second.read_text() == 'of the user'
  second.unlink()
  second.parent.rmdir()
  assert set(_make(tmp_path, found).table['labels']) == {(0,), (1,)}
  (tmp_path / 'train.csv').unlink()  # as an interrupted call leaves it
  assert len(_make(tmp_path, found).table) == 24
