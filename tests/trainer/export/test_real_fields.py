"""export: a run of five folds on real images, and what others make of it."""

import shutil

import numpy as np
import onnxruntime
import pandas as pd

from hpa_records.conversion import convert
from hpa_records.conversion import shard_plan
from hpa_records.datasets import description
from hpa_records.images import load
from hpa_records.runtime.tensorflow import tf
from tests.support import runs
from tests.trainer.export import test_export
from trainer.export import export
from trainer.prediction import ensemble

_CHANNELS = ('red', 'green', 'blue', 'yellow')


def test_real_files_get_the_probabilities_of_predict(shared_data, tmp_path):
  hpa = shared_data / 'hpa'
  pd.read_csv(hpa / 'fields.csv').head(40).to_csv(tmp_path / 'train.csv',
                                                  index=False)
  records = str(tmp_path / 'records')
  convert.convert(str(tmp_path / 'train.csv'), str(hpa / 'fields'), records,
                  shard_plan.Settings(image_size=64, num_folds=5),
                  convert.How(workers=1))
  runs.train_folds(records, tmp_path / 'run', 5)
  export.write(str(tmp_path / 'run'), str(tmp_path / 'model'), export.Choice())
  images = tmp_path / 'images'
  images.mkdir()
  names = pd.read_csv(tmp_path / 'train.csv')['Id'].tolist()[:4]
  paths = [[hpa / 'fields' / f'{name}_{channel}.png'
            for channel in _CHANNELS]
           for name in names]
  for each in sum(paths, []):
    shutil.copy(each, images)
  found = test_export.predict_files(ensemble.load([str(tmp_path / 'run')]),
                                    str(images), 'dihedral')
  signatures = tf.saved_model.load(str(tmp_path /
                                       'model/saved_model')).signatures
  files = tf.constant([[each.read_bytes() for each in row] for row in paths])
  of_files = signatures['serving_default'](files=files)['probabilities']
  np.testing.assert_allclose(of_files, found.loc[names], atol=0.01)
  how = description.default().how(64)
  stored = np.stack([load.load(list(map(str, row)), how) for row in paths])
  of_pixels = signatures['pixels'](pixels=tf.constant(stored))['probabilities']
  np.testing.assert_allclose(of_pixels, found.loc[names], atol=1e-5)
  session = onnxruntime.InferenceSession(str(tmp_path / 'model/model.onnx'))
  of_onnx, = session.run(None, {'pixels': stored})
  np.testing.assert_allclose(of_onnx, of_pixels, atol=1e-4)
