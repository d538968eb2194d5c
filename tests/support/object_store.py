"""Object stores of the tests: real servers, each in a process of its own.

moto speaks S3, azurite Azure's Blob Storage, gcp-storage-emulator Google's
Cloud Storage. azurite is an npm package; `make env-azurite` installs it.
"""

import contextlib
import dataclasses
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import time
from typing import Any, Callable, Iterator
import urllib.request

import boto3
import pytest

from tests.support import port as port_lib

_ROOT = pathlib.Path(__file__).parents[2]
_AZURITE = _ROOT / '.azurite' / 'node_modules' / '.bin' / 'azurite-blob'
_START_S = 240.0
# The account that azurite has, and its key, which is the same everywhere.
_AZURE_ACCOUNT = 'devstoreaccount1'
_AZURE_KEY = ('Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/'
              'K1SZFPTOtr/KBHBeksoGMGw==')


@dataclasses.dataclass(frozen=True)
class Store:
  """A running server.

  Attributes:
    scheme: of its addresses, such as 's3'.
    endpoint: its address, http://127.0.0.1:PORT.
    environment: the variables with which clients find it.
    make: creates a bucket of a name.
  """
  scheme: str
  endpoint: str
  environment: dict[str, str]
  make: Callable[[str], Any]

  def make_bucket(self, name: str) -> str:
    """Creates an empty bucket; returns its address."""
    self.make(name)
    return f'{self.scheme}://{name}'

  def client(self) -> Any:
    """Returns boto3's client of a server that speaks S3."""
    return _s3_client(self.endpoint)

  def upload(self, folder: pathlib.Path, bucket: str) -> str:
    """Copies a folder's files to a new BUCKET/records, readable to all.

    The server speaks S3.

    Returns:
      The folder's address, s3://BUCKET/records.
    """
    address = self.make_bucket(bucket)
    for path in folder.iterdir():
      self.client().put_object(Bucket=bucket,
                               Key=f'records/{path.name}',
                               Body=path.read_bytes(),
                               ACL='public-read')
    return f'{address}/records'


def _s3_client(endpoint: str) -> Any:
  return boto3.client('s3',
                      endpoint_url=endpoint,
                      aws_access_key_id='test',
                      aws_secret_access_key='test',
                      region_name='us-east-1')


def _wait(port: int, process: subprocess.Popen) -> None:
  deadline = time.monotonic() + _START_S
  while True:
    try:
      socket.create_connection(('127.0.0.1', port), timeout=1).close()
      return
    except OSError:
      if process.poll() is not None or time.monotonic() > deadline:
        raise
      time.sleep(0.1)


@contextlib.contextmanager
def _run(command: Callable[[int], list[str]]) -> Iterator[int]:
  """Yields the port of a server that runs until the block ends."""
  with port_lib.reserve(1) as (port,), subprocess.Popen(
      command(port), stdout=subprocess.DEVNULL,
      stderr=subprocess.DEVNULL) as process:
    try:
      _wait(port, process)
      yield port
    finally:
      process.kill()


@contextlib.contextmanager
def serve(certificate: pathlib.Path | None = None) -> Iterator[Store]:
  """Yields a server that speaks S3.

  Args:
    certificate: of the server, with its key, as PEM; None speaks without TLS.
  """
  tls = ['-c', str(certificate), '-k', str(certificate)] if certificate else []
  with _run(lambda port:
            [sys.executable, '-m', 'moto.server', f'-p{port}', *tls]) as port:
    endpoint = f'{"https" if certificate else "http"}://127.0.0.1:{port}'
    yield Store(
        's3', endpoint, {
            'AWS_ACCESS_KEY_ID': 'test',
            'AWS_SECRET_ACCESS_KEY': 'test',
            'AWS_REGION': 'us-east-1',
            'AWS_ENDPOINT_URL': endpoint,
        }, lambda name: _s3_client(endpoint).create_bucket(Bucket=name))


@contextlib.contextmanager
def serve_google() -> Iterator[Store]:
  """Yields a server that speaks the protocol of Google's Cloud Storage."""
  module = 'gcp_storage_emulator'
  with _run(lambda port: [
      sys.executable, '-m', module, 'start', '--host=127.0.0.1',
      f'--port={port}', '--in-memory'
  ]) as port:
    endpoint = f'http://127.0.0.1:{port}'

    def make(name):
      with urllib.request.urlopen(
          urllib.request.Request(
              f'{endpoint}/storage/v1/b?project=test',
              f'{{"name": "{name}"}}'.encode(),
              {'Content-Type': 'application/json'})) as answer:
        answer.read()

    yield Store('gs', endpoint, {'STORAGE_EMULATOR_HOST': endpoint}, make)


@contextlib.contextmanager
def serve_azure() -> Iterator[Store]:
  """Yields a server that speaks the protocol of Azure's Blob Storage."""
  from azure.storage import blob  # pylint: disable=import-outside-toplevel
  if not _AZURITE.exists():
    if not shutil.which('npm') and not os.environ.get('REQUIRE_AZURITE'):
      pytest.skip('npm, which installs azurite, is not installed')
    subprocess.run(['make', 'env-azurite'], cwd=_ROOT, check=True)
  with _run(lambda port: [
      str(_AZURITE), '--blobPort',
      str(port), '--inMemoryPersistence', '--skipApiVersionCheck', '--silent'
  ]) as port:
    endpoint = f'http://127.0.0.1:{port}'
    connection = (f'DefaultEndpointsProtocol=http;AccountName={_AZURE_ACCOUNT};'
                  f'AccountKey={_AZURE_KEY};'
                  f'BlobEndpoint={endpoint}/{_AZURE_ACCOUNT};')
    service = blob.BlobServiceClient.from_connection_string(connection)
    yield Store('az', endpoint, {'AZURE_STORAGE_CONNECTION_STRING': connection},
                service.create_container)
