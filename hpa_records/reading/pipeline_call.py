"""Limits the lifetime of Python functions to that of their tf.data pipeline.

TensorFlow keeps a function of numpy_function or from_generator until the
program ends (_py_funcs_used_in_graph of the outermost graph), and with it all
that it refers to, such as each epoch's plan and each reader's memory.
"""

from typing import Any, Callable
import weakref

from hpa_records.runtime.tensorflow import tf


def weak(function: Callable[..., Any]) -> Callable[..., Any]:
  """Returns a function that calls another through a weak reference.

  Args:
    function: the caller must hold a reference to it; see keep.
  """
  found = weakref.ref(function)

  def call(*arguments):
    return found()(*arguments)

  return call


def keep(pipeline: tf.data.Dataset, *functions:
         Callable[..., Any]) -> tf.data.Dataset:
  """Returns the pipeline, which holds references to functions from now on.

  Pipelines derived from it and its iterators hold them, too.

  Args:
    pipeline: the dataset that calls the functions through weak.
    *functions: the functions.
  """
  pipeline.kept_functions = functions
  return pipeline
