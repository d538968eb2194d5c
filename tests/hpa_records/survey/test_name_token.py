"""name_token: names in tokens of one form."""

from hpa_records.survey import name_token

_GUID = '315A1F00-CC94-4110-A357-C17EDED6C036'


def test_names_are_split_at_separators():
  found = name_token.split(['p1/A01_s1_w1.ome.tif', 'p2/B01_s2_w2.ome.tif'], ())
  assert found.rows == [('p1', 'A01', 's1', 'w1'), ('p2', 'B01', 's2', 'w2')]
  assert found.between == ('', '/', '_', '_', '.ome.tif')


def test_values_of_a_table_and_guids_are_one_token():
  found = name_token.split([f'HEPG2-01/w1{_GUID}.png'], {'HEPG2-01'})
  assert found.rows == [('HEPG2-01', 'w1', _GUID)]
  assert name_token.is_random([_GUID, '0a22d4574'])
  assert not name_token.is_random(['deadbeef', '12'])


def test_folders_of_different_forms_are_one_token():
  found = name_token.split(['DMSO/a_1.png', 'Protein synthesis/b_2.png'], ())
  assert found.column(0) == ['DMSO', 'Protein synthesis']
  assert not found.num_others


def test_names_of_other_forms_are_counted():
  found = name_token.split(['a_1.png', 'b_2.png', 'c.png', 'd_3.tif'], ())
  assert len(found.rows) == 2
  assert (found.num_others, found.example) == (2, 'c.png')
