"""page_runtime: onnxruntime-web, and how its absence is told."""

import shutil

import pytest

from hpa_records.runtime import errors
from tests.support import onnxruntime_web
from trainer.export import page_runtime


def test_it_is_downloaded_once():
  found = onnxruntime_web.load()
  path = onnxruntime_web.FOLDER / page_runtime.NAME
  before = path.stat().st_mtime_ns
  assert page_runtime.load(str(onnxruntime_web.FOLDER)) == found
  assert path.stat().st_mtime_ns == before
  assert found.wasm.startswith(b'\0asm') and b'var ort=' in found.script


def test_another_file_of_its_name_is_refused(tmp_path):
  (tmp_path / page_runtime.NAME).write_bytes(b'other')
  with pytest.raises(errors.DataError, match='is not the published onnxrun'):
    page_runtime.load(str(tmp_path))


def test_without_npm_a_line_says_where_it_goes(tmp_path, monkeypatch):
  monkeypatch.setenv('PATH', str(tmp_path))
  with pytest.raises(errors.DataError, match='npm, which.*not installed') as e:
    page_runtime.load(str(tmp_path / 'cache'))
  assert f'into {tmp_path}/cache' in str(e.value)


@pytest.mark.skipif(not shutil.which('npm'), reason='needs npm')
def test_without_a_network_a_line_says_so(tmp_path, monkeypatch):
  monkeypatch.setenv('npm_config_registry', 'http://127.0.0.1:9')
  monkeypatch.setenv('npm_config_fetch_retries', '0')
  monkeypatch.setenv('npm_config_cache', str(tmp_path / 'npm'))
  with pytest.raises(errors.DataError, match=r'not download.*ECONNREFUSED'):
    page_runtime.load(str(tmp_path / 'cache'))
  assert not list((tmp_path / 'cache').iterdir())
