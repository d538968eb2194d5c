"""A server that speaks S3, moto's, in a process of its own on a free port."""

import contextlib
import dataclasses
import os
import pathlib
import socket
import subprocess
import sys
import time
from typing import Any, Iterator

import boto3

from tests.support import port as port_lib

_START_S = 240.0


@dataclasses.dataclass(frozen=True)
class Store:
  """A running server.

  Attributes:
    endpoint: its address, http://127.0.0.1:PORT.
    environment: the variables with which clients find it.
  """
  endpoint: str
  environment: dict[str, str]

  def client(self) -> Any:
    """Returns boto3's client of the server."""
    return boto3.client('s3',
                        endpoint_url=self.endpoint,
                        aws_access_key_id='test',
                        aws_secret_access_key='test',
                        region_name='us-east-1')

  def upload(self, folder: pathlib.Path, bucket: str) -> str:
    """Copies a folder's files to BUCKET/records, readable to all.

    Returns:
      The folder's address, s3://BUCKET/records.
    """
    client = self.client()
    client.create_bucket(Bucket=bucket)
    for path in folder.iterdir():
      client.put_object(Bucket=bucket,
                        Key=f'records/{path.name}',
                        Body=path.read_bytes(),
                        ACL='public-read')
    return f's3://{bucket}/records'


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
def serve() -> Iterator[Store]:
  """Yields a server that runs until the block ends."""
  with port_lib.reserve(1) as (port,):
    yield from _serve(port)


def _serve(port: int) -> Iterator[Store]:
  environment = {
      'AWS_ACCESS_KEY_ID': 'test',
      'AWS_SECRET_ACCESS_KEY': 'test',
      'AWS_REGION': 'us-east-1',
      'AWS_ENDPOINT_URL': f'http://127.0.0.1:{port}',
  }
  with subprocess.Popen([sys.executable, '-m', 'moto.server', f'-p{port}'],
                        env={
                            **os.environ,
                            **environment
                        },
                        stdout=subprocess.DEVNULL,
                        stderr=subprocess.DEVNULL) as process:
    try:
      _wait(port, process)
      yield Store(environment['AWS_ENDPOINT_URL'], environment)
    finally:
      process.kill()
