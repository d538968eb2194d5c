"""Records that the host of a remote TPU reads: a server of TensorFlow, without
this project's Python, makes the batches."""

import subprocess

import pytest

from tests.support import fakes
from tests.support import port as port_lib
from tests.support import prestarted

_SERVER = '''
import sys
import tensorflow as tf
server = tf.distribute.Server({'worker': ['127.0.0.1:' + sys.argv[1]]},
                              job_name='worker', task_index=0)
print('up', flush=True)
server.join()
'''
_CLIENT = '''
import sys
import numpy as np
from hpa_records.reading import dataset, how, reader
from hpa_records.runtime.tensorflow import tf
from hpa_records.sampling import epoch_plan

records = dataset.load(sys.argv[2])
key = epoch_plan.Key(0, 1, 0)
epoch = epoch_plan.expand(records.repeats(0), key, ranks=records.ranks())
share = epoch_plan.Share(8)

def read(by_tensorflow):
  found = reader.Reader(records, 0, how.How('streaming',
                                            by_tensorflow=by_tensorflow))
  return [{name: value.numpy() for name, value in batch.items()}
          for batches in (found.training(epoch, key, share),
                          found.evaluation(records.rows(0), share))
          for batch in batches]

here = read(False)
tf.config.experimental_connect_to_host('127.0.0.1:' + sys.argv[1])
with tf.device('/job:worker/replica:0/task:0/device:CPU:0'):
  there = read(True)
for one, other in zip(here, there, strict=True):
  for name, value in one.items():
    np.testing.assert_array_equal(value, other[name])
print(len(there))
'''


@pytest.mark.parametrize('encoding', ['raw', 'png'])
def test_another_host_makes_the_same_batches(tmp_path, encoding):
  records = fakes.write_records(tmp_path, 40, 16, encoding=encoding)
  with port_lib.reserve(1) as (port,), subprocess.Popen(
      [*prestarted.find_python(), '-c', _SERVER,
       str(port)],
      cwd=tmp_path,
      stdout=subprocess.PIPE,
      stderr=subprocess.DEVNULL,
      text=True) as server:
    try:
      assert server.stdout.readline() == 'up\n'
      done = prestarted.run(['-c', _CLIENT, str(port), records])
    finally:
      server.kill()
  assert done.returncode == 0, done.stderr
  assert int(done.stdout) == 5
