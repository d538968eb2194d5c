"""label_column: which columns have labels, and in which form."""

import pytest

from hpa_records.survey import label_column
from hpa_records.survey import table


def _columns(**texts):
  return [table.Column(name, tuple(each)) for name, each in texts.items()]


@pytest.mark.parametrize('texts,form,separator,single,classes', [
    (['0 2', '1'], 'numbers', ' ', False, ['class_0', 'class_1', 'class_2']),
    (['0|1', '1'], 'numbers', '|', False, ['class_0', 'class_1']),
    (['0', '2'], 'numbers', ' ', True, ['class_0', 'class_1', 'class_2']),
    (['b;a', 'a'], 'names', ';', False, ['a', 'b']),
    (['Golgi, Cytosol', 'Cytosol'], 'names', ',', False, ['Cytosol', 'Golgi']),
    (['Protein synthesis', 'DMSO'
     ], 'names', ' ', True, ['DMSO', 'Protein synthesis']),
    (['513.0', '7.0'], 'names', ' ', True, ['513.0', '7.0']),
])
def test_a_column_of_labels_by_its_name(texts, form, separator, single,
                                        classes):
  found = label_column.find(_columns(camera=['x', 'y'], Target=texts))
  assert found.columns == ('Target',)
  assert (found.form, found.separator, found.single) == (form, separator,
                                                         single)
  assert list(found.classes) == classes


def test_columns_of_true_and_false_are_classes():
  found = label_column.find(
      _columns(a=['True', 'False'], b=['1', '0'], c=['0', '0'], d=['x', 'y']))
  assert (found.form, found.classes) == ('columns', ('a', 'b'))
  assert (found.single, found.num_empty) == (False, 1)


def test_columns_with_the_same_labels_go_together():
  found = label_column.find(
      _columns(grade_labels_3=['a;b', 'c'],
               grade_labels_2=['c', 'a'],
               other_labels_1=['x', 'y']))
  assert found.columns == ('grade_labels_3', 'grade_labels_2')
  assert found.maybe == ('other_labels_1',)
  assert (found.separator, found.single) == (';', False)


def test_two_likely_columns_are_no_labels():
  found = label_column.find(_columns(x=['a', 'b', 'a'], y=['1', '2', '1']))
  assert not found.form and found.maybe == ('x', 'y')


def test_the_only_column_that_repeats_is_said_to_be_a_guess():
  found = label_column.find(_columns(dye=['a', 'b', 'a'], well=['1', '2', '1']))
  assert found.columns == (
      'dye',) and 'was taken for the labels' in found.notes[0]


def test_too_many_labels_are_no_classes():
  found = label_column.find(
      _columns(Target=[str(i) + 'x' for i in range(3000)]))
  assert not found.form and 'more than 2,000 classes' in found.notes[0]
