"""tensorboard: what TensorBoard is given, read back from its event files."""

import os

import cv2
import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics
from tensorboard.backend.event_processing import event_accumulator
from tensorboard.util import tensor_util

from hpa_records.datasets import description
from hpa_records.inspection import figure
from hpa_records.runtime import errors
from tests.support import fakes
from tests.support import specs
from trainer.run import fold_lock
from trainer.scoring import metrics
from trainer.training.recording import tensorboard

_SPEC = description.default().spec(24)


@pytest.fixture(name='case', scope='module')
def _case():
  rng = np.random.default_rng(0)
  labels = (rng.random((80, _SPEC.num_classes)) < 0.2).astype(np.uint8)
  labels[:, 8] = 0
  predictions = (0.5 * labels + 0.6 * rng.random(labels.shape)).clip(0, 1)
  return labels, predictions.astype(np.float32)


@pytest.fixture(name='events', scope='module')
def _events(case, tmp_path_factory):
  """What two epochs and two samples left behind."""
  folder = tmp_path_factory.mktemp('board')
  shown = tensorboard.Board(str(folder))
  labels, predictions = case
  shown.show_samples(np.stack([fakes.image(1), fakes.image(2)]), labels[:2],
                     _SPEC)
  for epoch in (1, 2):
    row = {'epoch': epoch, 'loss': 0.5 / epoch, 'images': 80, 'auc_macro': None}
    shown.show_epoch(row, labels, predictions, _SPEC, 0.5)
  found = event_accumulator.EventAccumulator(str(folder), {'tensors': 0})
  return found.Reload()


def _read(events, tag):
  """(step, array) of each event."""
  return [(event.step, tensor_util.make_ndarray(event.tensor_proto))
          for event in events.Tensors(tag)]


def _image(values):
  """The first image of an event, RGB."""
  data = np.frombuffer(values[2], np.uint8)
  return cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def test_numbers_are_scalars_by_epoch(events):
  assert [(step, float(value)) for step, value in _read(events, 'loss')
         ] == [(1, 0.5), (2, 0.25)]
  assert not {'images', 'epoch', 'auc_macro'} & set(events.Tags()['tensors'])


def test_each_class_has_its_curve(events, case):
  labels, predictions = case
  tags = [
      tag for tag in events.Tags()['tensors']
      if tag.startswith('precision_recall/')
  ]
  assert len(tags) == _SPEC.num_classes - 1  # class 8 has no positive
  name = _SPEC.classes[3]
  (_, curve), _ = _read(events, f'precision_recall/{name}/pr_curves')
  precision, recall = curve[4:, 50]  # at 0.5 of thresholds 0, 0.01, ... 1
  predicted = predictions[:, 3] >= 0.5
  assert precision == pytest.approx(
      sklearn_metrics.precision_score(labels[:, 3], predicted))
  assert recall == pytest.approx(
      sklearn_metrics.recall_score(labels[:, 3], predicted))


def test_the_confusion_matrix_is_painted(events, case):
  labels, predictions = case
  matrix = metrics.confusion_matrix(labels, predictions > 0.5)
  (step, values), _ = _read(events, 'confusion_matrix')
  painted = tensorboard.paint_matrix(matrix)
  assert step == 1
  np.testing.assert_array_equal(_image(values), painted)


def test_a_cell_is_as_dark_as_its_share_of_the_row():
  matrix = np.zeros((29, 29), int)
  matrix[3, 3], matrix[3, 28] = 30, 10
  painted = tensorboard.paint_matrix(matrix)
  assert painted.shape == (600, 600, 3)
  middle = painted[30::20, 30::20].astype(int)
  full = np.array([34, 94, 168])
  np.testing.assert_allclose(middle[3, 3], 255 - 0.75 * (255 - full), atol=1)
  np.testing.assert_allclose(middle[3, 28], 255 - 0.25 * (255 - full), atol=1)
  assert (np.delete(middle, 3, axis=0) == 255).all()


def test_samples_are_there_under_their_labels(events, case):
  names = [
      ' + '.join(np.array(_SPEC.classes)[row.astype(bool)])
      for row in case[0][:2]
  ]
  for name, sample in zip(names, (1, 2)):
    [(step, values)] = _read(events, f'samples/{name}')
    assert step == 0
    np.testing.assert_array_equal(_image(values),
                                  figure.composite(fakes.image(sample), _SPEC))


def test_a_file_in_the_folders_place_is_named(tmp_path):
  (tmp_path / 'tensorboard').write_text('mine')
  with pytest.raises(errors.DataError,
                     match='a file or link of that name exists.*'
                     rf'\({tmp_path}/tensorboard\)'):
    with fold_lock.translate_write_errors(str(tmp_path)):
      tensorboard.Board(f'{tmp_path}/tensorboard')
  assert (tmp_path / 'tensorboard').read_text() == 'mine'


def test_a_folder_whose_name_is_no_utf_8(case, tmp_path):
  folder = str(tmp_path / 'a\udcff')
  board = tensorboard.Board(folder)
  board.show_epoch({'epoch': 1, 'loss': 0.5}, *case, _SPEC, 0.5)
  with board.profile():
    pass
  assert len(os.listdir(folder)) == 2


def _show(folder, labels, predictions, spec, threshold):
  board = tensorboard.Board(str(folder))
  for epoch in (1, 2):
    board.show_epoch({
        'epoch': epoch,
        'loss': 0.5
    }, labels, predictions, spec, threshold)
  found = event_accumulator.EventAccumulator(str(folder), {'tensors': 0})
  return found.Reload().Tags()['tensors']


def test_of_many_classes_the_largest_have_curves_in_every_epoch(tmp_path):
  labels = np.zeros((300, 100), np.uint8)
  labels[np.arange(300), np.arange(300) % 100] = 1
  labels[:200, 40:64] = 1
  predictions = np.random.default_rng(0).random((300, 100))
  tags = _show(tmp_path, labels, predictions, specs.make(32, num_classes=100),
               0.5)
  assert sorted(
      each for each in tags if each.startswith('precision')) == sorted(
          f'precision_recall/class {k}/pr_curves' for k in range(40, 64))
  assert 'confusion_matrix' not in tags


def test_one_class_alone_is_shown(tmp_path):
  labels, predictions = np.ones((5, 1), np.uint8), np.full((5, 1), 0.9)
  tags = _show(tmp_path, labels, predictions, specs.make(32, 1, 1), None)
  assert {'precision_recall/class 0/pr_curves', 'confusion_matrix'} <= set(tags)
