"""onnxruntime-web, which runs networks in a browser: found, or fetched by npm.

Its package has 33 MB, so it is neither part of this one nor of the checkout.
npm downloads it once, from the registry that the user's npm has. Whatever is
found is used only if it has the hash of the published file.

Of its builds that of WebAssembly on the CPU is the smallest (3.7 MB as gzip);
it runs each model of an export, in one thread: a page from disk has no memory
that threads could share.

Source: https://onnxruntime.ai/docs/tutorials/web/
"""

import hashlib
import io
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
from typing import NamedTuple

from hpa_records.runtime import errors
from hpa_records.storage import filesystem
from hpa_records.storage import path_check

VERSION = '1.30.0'
NAME = f'onnxruntime-web-{VERSION}.tgz'
_PACKAGE = f'onnxruntime-web@{VERSION}'
# The package's "dist.integrity" in the registry, in hexadecimal digits.
_SHA512 = ('ab4cbe26baedba45d2cec05610c71c55fa97db92d19a8b171c5f8269126683ca'
           '590a5cdc57bb2f35ce2b298de32f4d956fb42644c0ecd528a0a91e025c07ca61')
_FILES = {
    'script': 'package/dist/ort.wasm.min.js',
    'glue': 'package/dist/ort-wasm-simd-threaded.mjs',
    'wasm': 'package/dist/ort-wasm-simd-threaded.wasm',
}
_CODE = re.compile(r'^npm \S+ code (\w+)', re.MULTILINE)
_FLAG = 'page_runtime'


class Runtime(NamedTuple):
  """Files of onnxruntime-web.

  Attributes:
    script: its classic script, which defines ort.
    glue: the module that opens the WebAssembly.
    wasm: the WebAssembly.
  """
  script: bytes
  glue: bytes
  wasm: bytes


def find_cache() -> str:
  """Returns the folder where it is kept if the user gives none."""
  base = os.environ.get('XDG_CACHE_HOME') or os.path.expanduser('~/.cache')
  return os.path.join(base, 'hpa-records')


def load(directory: str) -> Runtime:
  """Returns the runtime; npm downloads it if the folder does not have it.

  Args:
    directory: of the package, NAME; is created if it is missing.

  Raises:
    errors.DataError: it is not there and cannot be downloaded or written; or
      it is not the published file.
  """
  path = os.path.join(directory, NAME)
  if not os.path.exists(path):
    _download(path)
  data = filesystem.read_bytes(path)
  if hashlib.sha512(data).hexdigest() != _SHA512:
    raise errors.DataError(
        f'{path} is not the published onnxruntime-web {VERSION} (its SHA-512 '
        'differs); remove it, and npm downloads it again.')
  with tarfile.open(fileobj=io.BytesIO(data)) as archive:
    return Runtime(**{
        field: archive.extractfile(name).read()
        for field, name in _FILES.items()
    })


def _download(path: str) -> None:
  npm = shutil.which('npm')
  advice = (f'--page needs it: run "npm pack {_PACKAGE}" where there is a '
            f'network, and copy {NAME} into {os.path.dirname(path)}')
  if not npm:
    raise errors.DataError(
        f'npm, which downloads onnxruntime-web {VERSION}, is not installed. '
        f'{advice}.')
  path_check.prepare_output(path, _FLAG)
  with tempfile.TemporaryDirectory() as folder:
    done = subprocess.run([
        npm, 'pack', '--ignore-scripts', '--loglevel=error',
        f'--pack-destination={folder}', _PACKAGE
    ],
                          capture_output=True,
                          text=True,
                          check=False)
    made = os.path.join(folder, NAME)
    if done.returncode or not os.path.exists(made):
      code = _CODE.search(done.stderr)
      raise errors.DataError(
          f'npm could not download onnxruntime-web {VERSION} '
          f'({code[1] if code else f"exit code {done.returncode}"}). {advice}.')
    with path_check.translate_write_errors(path, _FLAG):
      filesystem.write_atomically(path, filesystem.read_bytes(made))
