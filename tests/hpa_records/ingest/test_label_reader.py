"""label_reader: labels of all forms, and what is wrong with them."""

import pytest

from hpa_records.datasets import description
from hpa_records.datasets import layout
from hpa_records.ingest import label_reader
from hpa_records.runtime import errors

_CLASSES = (layout.Class('Nuclear membrane'), layout.Class('Nucleoli', ('n',)),
            layout.Class('Negative', ('none', '513')))


def _make(classes=_CLASSES, columns=(), **table):
  if table.get('form') not in ('columns', 'folders'):
    table = {'labels': ('L',), **table}
  return label_reader.LabelReader(
      layout.Description('x', (layout.Channel('a'),),
                         table=layout.Table(**table),
                         classes=classes), columns)


def _read(text, **table):
  return _make(**table).read({'L': text}, 's')


@pytest.mark.parametrize('text,labels', [
    ('0', (0,)),
    ('2 0', (0, 2)),
    (' 01\t2 ', (1, 2)),
    ('1 1 0', (0, 1)),
])
def test_numbers(text, labels):
  assert _read(text) == (labels, '')


@pytest.mark.parametrize(
    'text', ['3', '-1', '1.0', '1_0', '٣', 'x', '', ' ', '0,1', '+1', '1' * 30])
def test_other_numbers(text):
  assert _read(text) == ((),
                         'expected whole numbers 0..2, separated by spaces, '
                         f'in L, received {text!r}')


@pytest.mark.parametrize('text,labels', [('0|2', (0, 2)), (' 1 | 0 ', (0, 1)),
                                         ('1|1', (1,))])
def test_numbers_with_a_separator(text, labels):
  assert _read(text, separator='|') == (labels, '')
  assert "separated by '|', in L" in _read('0||1', separator='|')[1]
  assert "separated by '|', in L" in _read('|', separator='|')[1]


@pytest.mark.parametrize('text,labels', [
    ('Nucleoli', (1,)),
    ('n,Nuclear membrane', (0, 1)),
    (' none , n ,', (1, 2)),
    ('513.0', (2,)),
    ('other, n', (1,)),
])
def test_names(text, labels):
  options = {'form': 'names', 'separator': ',', 'ignored': ('other',)}
  assert _read(text, **options) == (labels, '')


def test_an_unknown_name_comes_with_the_one_that_may_be_meant():
  wrong = _read('nucleoli', form='names', separator=',')[1]
  assert wrong == ("unknown class 'nucleoli' in L; 'Nucleoli' is one; add it to"
                   ' the aliases of its class, or to ignored, in the '
                   'description')
  wrong = _read('\x1b[0m', form='names', separator=',')[1]
  assert wrong.startswith("unknown class '\\x1b[0m' in L; add it to the alias")


def test_a_single_name_is_not_separated():
  options = {'form': 'names', 'single': True}
  assert _read(' Nuclear membrane ', **options) == ((0,), '')
  assert "unknown class 'Nuclear membrane n' in L" in _read(
      'Nuclear membrane n', **options)[1]
  assert _read('0 1',
               single=True) == ((), "expected one label in L, received '0 1'")
  assert _read('1 1', single=True) == ((1,), '')


def test_repeated_labels_are_merged_or_refused():
  reader = _make()
  assert reader.read({'L': '1 1 2'}, 'a') == ((1, 2), '')
  assert reader.read({'L': '1 2'}, 'b') == ((1, 2), '')
  assert reader.merged == ['a']
  assert _read('1 1 2',
               repeated='refuse') == ((), "duplicate label in L: '1 1 2'")


@pytest.mark.parametrize('form', ['numbers', 'names'])
def test_a_sample_without_labels(form):
  assert _read(' ', form=form, empty='allow') == ((), '')
  assert _read('', form=form, empty='Negative') == ((2,), '')
  assert _read('', form=form)[1]


def test_several_columns_are_one_list():
  reader = _make(form='names', labels=('A', 'B'), separator=';')
  assert reader.read({'A': 'Nucleoli', 'B': 'none;n'}, 's') == ((1, 2), '')
  assert reader.columns == ['A', 'B'] and reader.merged == ['s']
  assert _make(form='names', labels=('A', 'B')).read({
      'A': '',
      'B': ''
  }, 's') == ((), 'no label in A, B')


def test_boolean_columns():
  reader = _make(form='columns',
                 columns=['id', 'Nuclear membrane', 'n', 'Negative'])
  assert reader.columns == ['Nuclear membrane', 'n', 'Negative']
  for true, false in (('True', 'False'), ('1', '0'), ('1.0', '0.0'), (' yes ',
                                                                      '')):
    values = {'Nuclear membrane': true, 'n': false, 'Negative': true}
    assert reader.read(values, 's') == ((0, 2), '')
  values['n'] = '2'
  assert reader.read(
      values,
      's') == ((), "expected True or False, or 1 or 0, in n, received '2'")


@pytest.mark.parametrize('columns',
                         [('Nuclear membrane', 'Negative'),
                          ('Nuclear membrane', 'Nucleoli', 'n', 'Negative')])
def test_a_class_has_one_boolean_column(columns):
  with pytest.raises(errors.DataError,
                     match="one column of the class 'Nucleoli', received "):
    _make(form='columns', columns=columns)


def test_names_of_folders():
  reader = _make(form='folders')
  assert reader.read_name('n', 's') == ((1,), '')
  assert reader.read_name('x', 's')[1].startswith("unknown class 'x' in the fo")


def test_labels_of_the_table_are_sorted_classes():
  reader = _make((), form='names', separator=',')
  found = [reader.read({'L': text}, 's')[0] for text in ('b,a', 'c', 'b')]
  assert reader.classes == ('a', 'b', 'c') and reader.has_classes
  assert reader.renumber(found) == [(0, 1), (2,), (1,)]
  with pytest.raises(errors.DataError,
                     match='1 to 2,000 different labels in '
                     'L, received 0'):
    _ = _make((), form='names').classes


@pytest.mark.parametrize('first,second', [('Golgi', 'golgi'),
                                          ('\u00e9', 'e\u0301'),
                                          ('drug A', 'drug  A')])
def test_two_spellings_of_a_label_are_not_two_classes(first, second):
  reader = _make((), form='names', single=True)
  for name in (first, second):
    assert not reader.read({'L': name}, 's')[1]
  with pytest.raises(errors.DataError, match='in two spellings') as caught:
    _ = reader.classes
  assert ascii(second) in str(caught.value)


@pytest.mark.parametrize('name', ['x\x1b[31m', 'x' * 201])
def test_a_label_that_cannot_name_a_class_is_an_issue(name):
  reader = _make((), form='names')
  labels, message = reader.read({'L': name}, 's')
  assert not labels and message.startswith('expected the name of a class')
  assert message.isprintable() and not reader.has_classes


def test_all_labels_of_kaggle_are_read():
  reader = label_reader.LabelReader(description.default(), ())
  text = ' '.join(map(str, range(28)))
  assert reader.read({'Target': text}, 's') == (tuple(range(28)), '')


@pytest.mark.parametrize('empty,message', [
    ('refuse', 'only ignored labels in L'),
    ('Negative', 'only ignored labels in L'),
    ('allow', ''),
])
def test_a_sample_with_only_ignored_labels_is_not_a_negative(empty, message):
  options = {'form': 'names', 'separator': ',', 'ignored': ('x', 'y')}
  assert _read('x,y', empty=empty, **options) == ((), message)


@pytest.mark.parametrize('text', ['nan', 'NaN', 'NA', 'None', ' null '])
def test_missing_values_are_no_classes_of_the_table(text):
  reader = _make((), form='names')
  assert reader.read({'L': text}, 's') == ((), 'no label in L')
  assert not reader.has_classes
  listed = _make((layout.Class(text.strip()),), form='names')
  assert listed.read({'L': text}, 's') == ((0,), '')
