"""Python functions that a tf.data pipeline calls, kept for as long as it is.

TensorFlow keeps a function of numpy_function or from_generator as long as the
program runs (_py_funcs_used_in_graph of the outermost graph), and with it all
that it refers to: each epoch's plan, each reader's memory.
"""

from typing import Any, Callable
import weakref

from hpa_records.runtime.tensorflow import tf


def weak(function: Callable[..., Any]) -> Callable[..., Any]:
  """Returns a function that calls another, and does not keep it.

  Args:
    function: kept by the caller; see keep.
  """
  found = weakref.ref(function)

  def call(*arguments):
    return found()(*arguments)

  return call


def keep(pipeline: tf.data.Dataset, *functions:
         Callable[..., Any]) -> tf.data.Dataset:
  """Returns the pipeline, which now keeps functions that it calls weakly.

  What is derived from it, and its iterators, keep them too.
  """
  pipeline.kept_functions = functions
  return pipeline
