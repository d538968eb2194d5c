"""stored_spec: a run is read by the classes and channels that it stored."""

import json

import numpy as np
import pytest

from hpa_records.datasets import description
from hpa_records.runtime import errors
from tests.support import fakes
from trainer.run import arrays
from trainer.run import finished_run
from trainer.run import out_of_fold
from trainer.run import stored_spec
from trainer.run import workdir


def test_a_run_of_an_earlier_version_is_kaggles():
  kaggle = description.default()
  for about in ({}, {'records': {}, 'classes': list(kaggle.spec(1).classes)}):
    assert not kaggle.spec(1).find_difference(stored_spec.find(about))
    assert stored_spec.find_name(about) == 'hpa2018'


def test_a_run_of_other_classes_and_channels_is_read(other_run):
  run = finished_run.load(str(other_run))
  assert run.spec == fakes.describe(5, 12).spec(32)
  assert run.threshold is None
  assert stored_spec.find_name(run.folds[0].about) == 'fake'
  found = out_of_fold.collect(run)
  assert found.predictions.shape == (48, 12)
  np.testing.assert_allclose(found.predictions.sum(axis=1), 1, rtol=1e-5)
  gallery = arrays.Gallery.load(str(other_run / 'fold0' / workdir.GALLERY_NAME),
                                run.spec)
  assert gallery.images.shape[-1] == 5
  header = found.to_csv(run.spec.classes).splitlines()[0].decode()
  assert header.endswith(',class 10,class 11')


def test_one_class_and_one_channel_are_read(smallest_run):
  run = finished_run.load(str(smallest_run))
  assert run.spec.image_shape == (32, 32, 1) and run.spec.num_classes == 1
  assert out_of_fold.collect(run).predictions.shape == (20, 1)
  for fold in run.folds:
    assert fold.metrics['auc_macro'] is None
    assert fold.metrics['classes_scored'] == 1


@pytest.mark.parametrize('change', [
    lambda about: about['classes'].pop(),
    lambda about: about['classes'].extend(['a'] * 2000),
    lambda about: about['records']['description'].pop('channels'),
    lambda about: about['records']['description']['channels'].pop(),
    lambda about: about['records']['description']['channels'][0].update(name=7),
    lambda about: about['records'].update(description='x'),
    lambda about: about['records'].update(image_size='32'),
    lambda about: about['records'].update(pixel_um='1'),
    lambda about: about['records'].update(pixel_um=1.0),
])
def test_a_damaged_spec_is_refused(other_run, tmp_path, change):
  fold = tmp_path / 'fold0'
  fold.mkdir()
  for path in (other_run / 'fold0').iterdir():
    if path.is_file():
      (fold / path.name).write_bytes(path.read_bytes())
  about = json.loads((fold / workdir.ABOUT_NAME).read_text())
  change(about)
  (fold / workdir.ABOUT_NAME).write_text(json.dumps(about))
  with pytest.raises(errors.DataError, match=str(fold)):
    finished_run.load(str(tmp_path))
