"""One way to predict, in its own process; measurement runs it.

  python -m benchmarks.prediction.predictor NAME JOB.json

A way is a function of a job that yields a function: it predicts all images of
the job and returns (ids, probabilities [N, K]). The first call is not timed:
networks are traced and compiled in it. Everything else of a user's wait for an
answer is: the search for the files, their checks, decoding, the network. Last,
the rate is printed, and the probabilities are saved.

'png' ways read image files, 'records' ways records of the same images. All
average the same networks, over the same symmetries.
"""

import glob
import json
import os
import sys
import time
from typing import Any, Callable

import numpy as np

# Imports stand inside the functions: each way pays for its own alone.
# pylint: disable=import-outside-toplevel

# Keys: those of measurement.Job, workdir, model, channels, output.
Job = dict[str, Any]
Found = tuple[list[str], np.ndarray]
Way = Callable[[], Found]


def _ours(job: Job, source: str) -> Way:
  """hpa-predict, of the run."""
  from trainer import strategy
  from trainer.prediction import ensemble as ensemble_lib
  from trainer.prediction import predict
  ensemble = ensemble_lib.load([job['workdir']])
  models = predict.Models(ensemble, strategy.make('auto'), 'last')

  def run() -> Found:
    with _open(job, source, ensemble) as samples:
      found = models.predict(samples, job['tta'], job['batch'])
    return found.ids.tolist(), found.predictions

  return run


def _open(job: Job, source: str, ensemble: Any) -> Any:
  """Returns the images as this package reads them."""
  import contextlib

  from hpa_records.datasets import description
  from hpa_records.ingest import input_tables
  from hpa_records.ingest import sample_table
  from hpa_records.reading import inference_source
  if source == 'records':
    return contextlib.nullcontext(inference_source.Records(job['records']))
  described = description.of_settings(ensemble.settings, ensemble.classes)
  samples = sample_table.load('', job['images'],
                              input_tables.How(described, unlabelled=True))
  return inference_source.Files(samples, job['images'],
                                ensemble.load_how(described), 'stop')


def _saved_model(job: Job, source: str) -> Way:
  """The SavedModel: bytes of files to serving_default, or pixels."""
  import tensorflow as tf
  loaded = tf.saved_model.load(os.path.join(job['model'], 'saved_model'))

  def of_files() -> Found:
    ids, paths = _list_files(job)
    files = tf.data.Dataset.from_tensor_slices(paths).map(
        lambda each: tf.map_fn(tf.io.read_file, each),
        num_parallel_calls=tf.data.AUTOTUNE).batch(job['batch']).prefetch(2)
    run = loaded.signatures['serving_default']
    return ids, np.concatenate(
        [run(files=each)['probabilities'] for each in files])

  def of_records() -> Found:
    run = loaded.signatures['pixels']
    ids, parts = [], []
    for names, pixels in _read_records(job, tf):
      ids += [each.decode() for each in names.numpy()]
      parts.append(run(pixels=pixels)['probabilities'])
    return ids, np.concatenate(parts)

  return of_records if source == 'records' else of_files


def _onnx(job: Job, source: str) -> Way:
  """onnxruntime, behind this package's reading."""
  import onnxruntime

  from hpa_records.format import spec
  from hpa_records.sampling import epoch_plan
  from trainer.prediction import ensemble as ensemble_lib
  ensemble = ensemble_lib.load([job['workdir']])
  options = onnxruntime.SessionOptions()
  # Its idle threads would take turns from the processes that decode.
  options.add_session_config_entry('session.intra_op.allow_spinning', '0')
  session = onnxruntime.InferenceSession(
      os.path.join(job['model'], 'model.onnx'), options)

  def run() -> Found:
    with _open(job, source, ensemble) as samples:
      parts = [
          session.run(['probabilities'],
                      {'pixels': batch[spec.IMAGE].numpy()})[0]
          for batch in samples.batches(epoch_plan.Share(job['batch']))
      ]
      samples.finish()
      count = len(samples.ids)
      return samples.ids.tolist(), np.concatenate(parts)[:count]

  return run


def _plain(job: Job, source: str) -> Way:
  """A loop as a user writes it: Pillow or tf.data, and Keras's predict."""
  import keras
  networks = [
      keras.models.load_model(path) for path in sorted(
          glob.glob(os.path.join(job['model'], 'folds', '*.keras')))
  ]
  views = [(turns, mirrored) for turns in range(4) for mirrored in (0, 1)]

  def predict(pixels: np.ndarray) -> np.ndarray:
    parts = []
    for turns, mirrored in views if job['tta'] == 'dihedral' else views[:1]:
      view = np.rot90(pixels, turns, (1, 2))
      view = view[:, :, ::-1] if mirrored else view
      parts += [network.predict(view, verbose=0) for network in networks]
    return np.mean(parts, axis=0)

  def of_files() -> Found:
    ids, paths = _list_files(job)
    parts = [
        predict(np.stack(list(map(_load, paths[i:i + job['batch']]))))
        for i in range(0, len(paths), job['batch'])
    ]
    return ids, np.concatenate(parts)

  def _load(files: list[str]) -> np.ndarray:
    from PIL import Image
    channels = []
    for path in files:
      with Image.open(path) as image:
        channels.append(
            image.resize((job['size'], job['size']), Image.Resampling.BILINEAR))
    return np.stack(channels, axis=-1)

  def of_records() -> Found:
    import tensorflow as tf
    ids, parts = [], []
    for names, pixels in _read_records(job, tf):
      ids += [each.decode() for each in names.numpy()]
      parts.append(predict(pixels.numpy()))
    return ids, np.concatenate(parts)

  return of_records if source == 'records' else of_files


def _list_files(job: Job) -> tuple[list[str], list[list[str]]]:
  """Returns the ids in a folder, and the files of the channels of each."""
  end = f'_{job["channels"][0]}.png'
  ids = sorted(
      os.path.basename(path).removesuffix(end)
      for path in glob.glob(os.path.join(job['images'], f'*{end}')))
  return ids, [[
      os.path.join(job['images'], f'{each}_{channel}.png')
      for channel in job['channels']
  ]
               for each in ids]


def _read_records(job: Job, tf: Any) -> Any:
  """Returns batches of (ids, pixels) of the records, by tf.data alone."""
  form = {
      'id': tf.io.FixedLenFeature([], tf.string),
      'image': tf.io.FixedLenFeature([], tf.string)
  }
  shape = [-1, job['size'], job['size'], len(job['channels'])]

  def parse(batch):
    found = tf.io.parse_example(batch, form)
    return found['id'], tf.reshape(tf.io.decode_raw(found['image'], tf.uint8),
                                   shape)

  paths = sorted(glob.glob(os.path.join(job['records'], '*.tfrecord')))
  return tf.data.TFRecordDataset(paths).batch(
      job['batch']).map(parse).prefetch(2)


WAYS = {
    'ours': _ours,
    'saved_model': _saved_model,
    'onnx': _onnx,
    'plain': _plain,
}


def main(name: str, path: str) -> None:
  """Runs one way, named <way>_<source>, as measurement asks."""
  with open(path, encoding='utf-8') as file:
    job = json.load(file)
  way, _, source = name.rpartition('_')
  run = WAYS[way](job, source)
  ids, probabilities = run()
  count, begun = 0, time.perf_counter()
  while time.perf_counter() - begun < job['seconds']:
    run()
    count += len(ids)
  rate = count / (time.perf_counter() - begun)
  np.savez(job['output'], ids=ids, probabilities=probabilities)
  print(json.dumps({'rate': rate}))


if __name__ == '__main__':
  main(*sys.argv[1:])
