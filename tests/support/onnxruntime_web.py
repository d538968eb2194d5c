"""onnxruntime-web of the tests, which npm downloads into the checkout."""

import os
import pathlib
import shutil

import pytest

from trainer.export import page_runtime

FOLDER = pathlib.Path(__file__).parents[2] / '.onnxruntime-web'


def load() -> page_runtime.Runtime:
  """Returns it; skips the test where there is no npm, but not in CI."""
  is_there = (FOLDER / page_runtime.NAME).exists() or shutil.which('npm')
  if not is_there and not os.environ.get('REQUIRE_BROWSER'):
    pytest.skip('npm, which downloads onnxruntime-web, is not installed')
  return page_runtime.load(str(FOLDER))
