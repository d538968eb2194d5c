"""structure: channels by their stain, and classes that can be told apart."""

import numpy as np
import pytest
from sklearn import linear_model

from hpa_records.datasets import description
from hpa_records.datasets import layout
from hpa_records.synthetic import field
from hpa_records.synthetic import sample_layout
from hpa_records.synthetic import structure


@pytest.mark.parametrize('name,expected', [
    ('hpa2018', ('microtubules', 'protein', 'nucleus', 'reticulum')),
    ('rxrx1',
     ('nucleus', 'reticulum', 'actin', 'nucleoli', 'mitochondria', 'golgi')),
    ('bbbc021', ('nucleus', 'microtubules', 'actin')),
    ('opencell', ('nucleus', 'protein')),
])
def test_a_stain_says_what_a_channel_shows(name, expected):
  found = description.load(name)
  assert structure.find_look(found.channels, ()).structures == expected


def test_an_unknown_stain_shows_the_whole_cell():
  look = structure.find_look([layout.Channel('x', 'new dye')], ['a'])
  plane = field.draw(look, (0,), 0, 0, 64)[0]
  assert look.structures == ('cell',) and plane.max() > 50


def test_classes_of_known_names_have_their_own_pattern():
  classes = ('Cytosol', 'something else', 'Negative', 'nucleoplasm')
  look = structure.find_look([layout.Channel('protein')], classes)
  assert look.patterns == (25, 1, -1, 0)
  shown, negative = (
      np.abs(field.draw(look, (i,), 0, 0, 64)[0]).mean() for i in (0, 2))
  assert negative < shown / 3


def _features(look, label, number):
  """Means and spreads of the channels, and how they go together."""
  planes = np.abs(field.draw(look, (label,), 0, number,
                             64)).reshape(len(look.structures), -1)
  return [
      *np.log1p(planes.mean(axis=1)), *np.log1p(planes.std(axis=1)),
      *np.corrcoef(planes)[np.triu_indices(len(planes), 1)]
  ]


def test_treatments_can_be_told_apart():
  found = description.load('cell_painting')
  look = structure.find_look(found.channels, sample_layout.find_classes(found))
  x = np.array([
      _features(look, label, 8 * k + label)
      for k in range(30)
      for label in range(8)
  ])
  y = np.tile(np.arange(8), 30)
  x = (x - x.mean(axis=0)) / x.std(axis=0)
  model = linear_model.LogisticRegression(max_iter=1000).fit(x[:160], y[:160])
  accuracy = (model.predict(x[160:]) == y[160:]).mean()
  assert accuracy > 0.4, accuracy  # chance: 0.125
