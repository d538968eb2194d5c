"""Built-in descriptions on real tables and real images.

Where only a table or only the images are real, the rest is made in the same
layout. What is checked by eye (hpa-inspect-records --figures) is not here.
"""

import csv as csv_lib
import os

import cv2
import numpy as np

from hpa_records.conversion import conversion_input
from hpa_records.conversion import convert
from hpa_records.conversion import shard_plan
from hpa_records.datasets import description
from hpa_records.inspection import verify
from hpa_records.reading import dataset


def _convert(name, csv, images, output, how=convert.How(workers=1), **settings):
  """The records of a conversion, verified, and what was left out."""
  values = {'image_size': 24, 'num_folds': 2} | settings
  chosen = description.load(name, values.pop('changes', ()))
  made = convert.make(conversion_input.Source(str(csv), str(images)),
                      str(output),
                      shard_plan.Settings(description=chosen, **values), how)
  verify.verify(str(output))  # raises for an issue
  records = dataset.load(str(output), allow_unlabelled=True)
  assert records.spec.channel_names == tuple(
      each.name for each in chosen.channels)
  assert made.manifest.num_records == len(records.index)
  return records


def _rows(path, **options):
  with open(path, encoding='utf-8', newline='') as file:
    return list(csv_lib.DictReader(file, **options))


def _write_table(path, rows):
  with open(path, 'w', encoding='utf-8', newline='') as file:
    writer = csv_lib.DictWriter(file, rows[0])
    writer.writeheader()
    writer.writerows(rows)
  return path


def _write_image(path, seed, dtype=np.uint8, channels=1):
  """A small image of its own, in the format of the path."""
  path.parent.mkdir(parents=True, exist_ok=True)
  rng = np.random.default_rng(seed)
  pixels = rng.integers(0, np.iinfo(dtype).max, (8, 8, channels)).astype(dtype)
  assert cv2.imwrite(str(path), pixels)


_SKIP = convert.How(workers=1, on_error='skip')


def test_hpa2021(real_datasets, tmp_path, capfd):
  folder = real_datasets / 'hpa_sc2021'
  records = _convert('hpa2021', folder / 'train.csv', folder / 'train',
                     tmp_path / 'out', _SKIP)
  assert 'Merged repeated labels of 146 samples' in capfd.readouterr().err
  labels = dict(zip(records.index['id'], records.index['labels']))
  assert {
      key: sorted(value) for key, value in labels.items()
  } == {
      row['ID']: sorted(set(map(int, row['Label'].split('|'))))
      for row in _rows(folder / 'train.csv')
      if row['ID'] in labels
  }
  assert len(labels) == 2


def test_hpa_public_images(real_datasets, tmp_path):
  rows = [{
      'if_plate_id': plate,
      'position': position,
      'sample': '1',
      'locations': locations,
      'antibody': antibody,
      'ensembl_ids': '',
      'gene_names': ''
  } for plate, position, locations, antibody in ((
      '800', 'A6', 'Cytosol,Nuclear speckles',
      'HPA1'), ('89', 'B5', 'Vesicles,Peroxisomes,Mitotic chromosome', 'HPA2'))]
  csv = _write_table(tmp_path / 'images.csv', rows)
  records = _convert('hpa_public', csv, real_datasets / 'hpa_public' / 'jpg',
                     tmp_path / 'out')
  assert {
      key: list(value)
      for key, value in zip(records.index['id'], records.index['labels'])
  } == {
      '800_A6_1': [4, 16],
      '89_B5_1': [17]
  }


def test_hpa_public_table(real_datasets, tmp_path):
  csv = real_datasets / 'hpa_public' / 'tables' / 'samples.csv'
  rows = _rows(csv)[:60]
  for number, row in enumerate(rows):
    name = f'{row["if_plate_id"]}_{row["position"]}_{row["sample"]}'
    for c, color in enumerate(('red', 'green', 'blue', 'yellow')):
      _write_image(tmp_path / 'images' / f'{name}_{color}.jpg', [number, c])
  records = _convert('hpa_public',
                     csv,
                     tmp_path / 'images',
                     tmp_path / 'out',
                     limit=60,
                     changes=['table.empty = "Negative"'])
  assert len(records.index) == 60
  assert set(records.index['group']) == {row['antibody'] for row in rows}
  assert records.index['gene_names'].isin([row['gene_names'] for row in rows
                                          ]).all()


def test_hpa_fov_table(real_datasets, tmp_path):
  csv = real_datasets / 'dino4cells' / 'example.csv'
  rows = _rows(csv)
  for number, row in enumerate(rows):
    _write_image(tmp_path / 'images' / os.path.basename(row['file']),
                 number,
                 channels=4)
  records = _convert('hpa_fov', csv, tmp_path / 'images', tmp_path / 'out')
  assert len(records.index) == len(rows) == 99
  labels = dict(zip(records.index['id'], records.index['labels']))
  names = list(rows[0])[4:23]
  known = [
      set((each.name, *each.aliases))
      for each in description.load('hpa_fov').classes
  ]
  for row in rows:
    wanted = [
        number for number, each in enumerate(known) for name in names
        if name in each and row[name] == 'True'
    ]
    key = os.path.basename(row['file']).removesuffix('.png')
    assert sorted(labels[key]) == sorted(wanted)


def test_rxrx1(real_datasets, tmp_path):
  folder = real_datasets / 'rxrx1'
  rows = [
      row for part in ('train', 'test')
      for row in _rows(folder / f'{part}_controls.csv')
  ]
  csv = _write_table(tmp_path / 'controls.csv', rows)
  for part in ('train', 'test'):
    for plate in (folder / part).iterdir():
      (tmp_path / 'images').mkdir(exist_ok=True)
      (tmp_path / 'images' / plate.name).symlink_to(plate)
  records = _convert('rxrx1', csv, tmp_path / 'images', tmp_path / 'out', _SKIP)
  # Site 2 has four of six channels.
  assert set(records.index['id']) == {'HEPG2-01_1_B02_s1', 'HEPG2-08_1_B02_s1'}
  assert not records.labels.any()  # untreated wells
  assert records.spec.num_classes == 1138
  assert set(records.index['experiment']) == {'HEPG2-01', 'HEPG2-08'}


def test_rxrx1_labels(real_datasets, tmp_path):
  rows = _rows(real_datasets / 'rxrx1' / 'train.csv')[:12]
  for number, row in enumerate(rows):
    for site in (1, 2):
      for channel in range(1, 7):
        _write_image(
            tmp_path / 'images' / row['experiment'] / f'Plate{row["plate"]}' /
            f'{row["well"]}_s{site}_w{channel}.png', [number, site, channel])
  records = _convert('rxrx1',
                     real_datasets / 'rxrx1' / 'train.csv',
                     tmp_path / 'images',
                     tmp_path / 'out',
                     limit=12,
                     changes=['table.group = "well"'])
  assert {
      key: list(value)
      for key, value in zip(records.index['id'], records.index['labels'])
  } == {
      f'{row["id_code"]}_s{site}': [int(row['sirna'].split('_')[1])]
      for row in rows for site in (1, 2)
  }


def test_cell_painting_images(real_datasets, tmp_path):
  folder = real_datasets / 'cellpainting_5ch_phenix' / 'BR00143976'
  (tmp_path / 'images' / 'BR00143976').mkdir(parents=True)
  (tmp_path / 'images' / 'BR00143976' / 'Images').symlink_to(folder)
  numbers = {'DNA': 5, 'ER': 2, 'RNA': 6, 'AGP': 3, 'Mito': 4}
  rows = []
  for well in ('C03', 'C04'):
    row = {
        'Metadata_Plate': 'BR00143976',
        'Metadata_Well': well,
        'Metadata_Site': '3'
    }
    for name, number in numbers.items():
      row[f'FileName_Orig{name}'] = f'r03c03f03p01-ch{number}sk1fk1fl1.tiff'
      row[f'PathName_Orig{name}'] = '/home/user/BR00143976/Images'
    rows.append(row)
  csv = _write_table(tmp_path / 'load_data.csv', rows)
  _write_table(tmp_path / 'platemap.csv', [{
      'Metadata_Well': 'C03',
      'Metadata_pert_id_index': 'DAOY'
  }, {
      'Metadata_Well': 'C04',
      'Metadata_pert_id_index': '01'
  }])
  records = _convert('cell_painting', csv, tmp_path / 'images',
                     tmp_path / 'out')
  assert records.spec.classes == ('01', 'DAOY')
  expected = []
  for number in numbers.values():
    pixels = np.sort(cv2.imread(
        str(folder / f'r03c03f03p01-ch{number}sk1fk1fl1.tiff'),
        cv2.IMREAD_UNCHANGED),
                     axis=None)
    expected.append([
        float(np.percentile(pixels, each, method='inverted_cdf'))
        for each in (.1, 99.9)
    ])
  assert records.manifest.levels == {'BR00143976': expected}


def test_cell_painting_tables(real_datasets, tmp_path):
  folder = real_datasets / 'cellpainting_tables'
  rows = _rows(folder / 'load_data.csv')[:10]
  for row in rows:
    for c, name in enumerate(('DNA', 'ER', 'RNA', 'AGP', 'Mito')):
      parts = row[f'PathName_Orig{name}'].split('/')[-2:]
      _write_image(
          tmp_path.joinpath('images', *parts, row[f'FileName_Orig{name}']), c,
          np.uint16)
  records = _convert('cell_painting',
                     folder / 'load_data.csv',
                     tmp_path / 'images',
                     tmp_path / 'out',
                     limit=10,
                     changes=['table.group = "Metadata_Site"'])
  treatment = {
      row['Metadata_Well']: row['Metadata_pert_id_index']
      for row in _rows(folder / 'platemap.csv')
  }
  for _, row in records.index.iterrows():
    number, = row['labels']
    assert records.spec.classes[number] == treatment[row['Metadata_Well']]


def test_bbbc021_tables(real_datasets, tmp_path, capfd):
  folder = real_datasets / 'bbbc021'
  rows = _rows(folder / 'BBBC021_v1_image.csv')
  moa = {
      (row['compound'], float(row['concentration'])): row['moa']
      for row in _rows(folder / 'BBBC021_v1_moa.csv')
  }
  wanted = {}
  for number, row in enumerate(rows):
    key = (row['Image_Metadata_Compound'],
           float(row['Image_Metadata_Concentration']))
    if key in moa:
      wanted[row['Image_FileName_DAPI'].removesuffix('.tif')] = moa[key]
      for c, name in enumerate(('DAPI', 'Tubulin', 'Actin')):
        _write_image(
            tmp_path / 'images' / row[f'Image_PathName_{name}'] /
            row[f'Image_FileName_{name}'], [number, c], np.uint16)
  records = _convert('bbbc021', folder / 'BBBC021_v1_image.csv',
                     tmp_path / 'images', tmp_path / 'out')
  found = {
      key: records.spec.classes[number]
      for key, (number,) in zip(records.index['id'], records.index['labels'])
  }
  assert found == wanted and 10 < len(found) < len(rows)
  assert f'Left out {len(rows) - len(wanted)} rows' in capfd.readouterr().err


def test_opencell_stack(real_datasets, tmp_path):
  (tmp_path / 'images').mkdir()
  name = 'A1_1_ATL2__mock.ome.tif'
  (tmp_path / 'images' / name).symlink_to(real_datasets / 'opencell' / name)
  records = _convert('opencell',
                     '',
                     tmp_path / 'images',
                     tmp_path / 'out',
                     unlabelled=True,
                     image_size=103)
  assert list(records.index['id']) == ['ATL2']
  _, pages = cv2.imreadmulti(str(real_datasets / 'opencell' / name),
                             flags=cv2.IMREAD_UNCHANGED)
  projected = np.stack([np.max(pages[:51], axis=0),
                        np.max(pages[51:], axis=0)],
                       axis=-1)
  with open(tmp_path / 'out' / records.index['shard'][0], 'rb') as file:
    file.seek(records.index['image_offset'][0])
    stored = np.frombuffer(file.read(103 * 103 * 2), np.uint8)
  stored = stored.reshape(103, 103, 2).astype(float)
  for c in range(2):
    low, high = map(
        float,
        np.percentile(projected[..., c], [.1, 99.9], method='inverted_cdf'))
    exact = np.clip((projected[..., c] - low) / (high - low), 0, 1) * 255
    assert np.abs(stored[..., c] - exact).max() <= .5 + 1e-6


def test_opencell_table(real_datasets, tmp_path):
  csv = real_datasets / 'opencell' / 'opencell-localization-annotations.csv'
  rows = _rows(csv)[:30]
  for number, row in enumerate(rows):
    pages = np.random.default_rng(number).integers(0, 999, (6, 8, 8))
    path = tmp_path / 'images' / f'A1_{number}_{row["target_name"]}__x.ome.tif'
    path.parent.mkdir(exist_ok=True)
    assert cv2.imwritemulti(str(path), list(pages.astype(np.uint16)))
  records = _convert('opencell',
                     csv,
                     tmp_path / 'images',
                     tmp_path / 'out',
                     _SKIP,
                     limit=30)
  names = records.spec.classes
  for key, labels in zip(records.index['id'], records.index['labels']):
    row, = (each for each in rows if each['target_name'] == key)
    text = f'{row["annotations_grade_3"]};{row["annotations_grade_2"]}'
    assert {names[each] for each in labels} == set(text.split(';')) - {''}
