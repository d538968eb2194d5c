"""Byte ranges and lists of s3://, of a real server and of one that fails."""

import datetime
import http.server
import ipaddress
import threading
import time
import traceback

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
import pytest

from hpa_records.storage import byte_ranges
from hpa_records.storage import direct_request
from hpa_records.storage import driver
from hpa_records.storage import filesystem
from hpa_records.storage import folders
from hpa_records.storage import storage_error
from tests.support import object_store

_PAGE = b'''<?xml version="1.0" encoding="UTF-8"?>
<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
<Name>slow</Name><Prefix>records/</Prefix><KeyCount>1</KeyCount>
<MaxKeys>1000</MaxKeys><IsTruncated>false</IsTruncated>
<Contents><Key>records/a</Key><Size>5</Size><StorageClass>STANDARD</StorageClass>
<ETag>"x"</ETag><LastModified>2026-11-27T00:00:00.000Z</LastModified></Contents>
</ListBucketResult>'''


@pytest.fixture(name='bucket')
def _bucket(store, monkeypatch, request):  # pylint: disable=redefined-outer-name
  """Yields the name of an empty bucket; drivers find its server."""
  for name, value in store.environment.items():
    monkeypatch.setenv(name, value)
  name = request.node.name.replace('_', '-')[:63].strip('-')
  store.make_bucket(name)
  return name


def _fetch(path, start, end):
  (_, data, error), = byte_ranges.Fetch([path], [start], [end]).results()
  if error:
    raise error
  return data.tobytes()


def test_signed_addresses_are_kept_up_to_a_number(store, bucket, monkeypatch):
  monkeypatch.setattr(direct_request, '_MOST_SIGNED', 3)
  for i in range(8):
    path = f's3://{bucket}/{i}'
    store.client().put_object(Bucket=bucket, Key=f'{i}', Body=b'0123456789')
    assert filesystem.size(path) == 10  # the server has answered
    assert _fetch(path, 2, 5) == b'234'
    server = driver.find_server(path)
    assert server.is_direct and 1 <= len(server.signed) <= 3


def test_an_address_whose_signature_is_refused_is_asked_by_the_driver(
    store, bucket):
  path = f's3://{bucket}/a'
  store.client().put_object(Bucket=bucket, Key='a', Body=b'0123456789')
  assert filesystem.size(path) == 10
  server = driver.find_server(path)
  assert direct_request.fetch(path, 2, 5).tobytes() == b'234'
  url, until = server.signed[path]
  server.signed[path] = url._replace(path='/other/a'), until
  assert direct_request.fetch(path, 2, 5) is None
  assert _fetch(path, 2, 5) == b'234'


def test_keys_that_no_path_may_have_are_not_listed(store, bucket):
  for key in ('r/a', 'r//etc/b', 'r/../c', 'r/./d', 'r/e/f'):
    store.client().put_object(Bucket=bucket, Key=key, Body=b'')
  assert folders.list_names(f's3://{bucket}/r', recursive=True) == ['a', 'e/f']


def _make_certificate(path):
  """Writes a key and a certificate for 127.0.0.1, which nobody has signed."""
  key = ec.generate_private_key(ec.SECP256R1())
  name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, 'test')])
  now = datetime.datetime.now(datetime.timezone.utc)
  address = x509.IPAddress(ipaddress.ip_address('127.0.0.1'))
  certificate = x509.CertificateBuilder(
      name, name, key.public_key(), x509.random_serial_number(),
      now - datetime.timedelta(days=1), now + datetime.timedelta(days=1), [
          x509.Extension(x509.SubjectAlternativeName.oid, False,
                         x509.SubjectAlternativeName([address])),
          x509.Extension(x509.BasicConstraints.oid, True,
                         x509.BasicConstraints(True, None)),
      ]).sign(key, hashes.SHA256())
  pem = serialization.Encoding.PEM
  path.write_bytes(
      key.private_bytes(pem, serialization.PrivateFormat.PKCS8,
                        serialization.NoEncryption()) +
      certificate.public_bytes(pem))


def test_a_certificate_that_only_the_driver_is_told_of(tmp_path, monkeypatch):
  _make_certificate(tmp_path / 'pem')
  with object_store.serve(tmp_path / 'pem') as store:
    monkeypatch.setenv('AWS_CA_BUNDLE', str(tmp_path / 'pem'))
    for name, value in store.environment.items():
      monkeypatch.setenv(name, value)
    store.make_bucket('tls')
    store.client().put_object(Bucket='tls', Key='a', Body=b'0123456789')
    assert filesystem.size('s3://tls/a') == 10
    assert _fetch('s3://tls/a', 2, 5) == b'234'
    assert not driver.find_server('s3://tls/a').is_direct
    assert _fetch('s3://tls/a', 3, 6) == b'345'


class _Failing(http.server.BaseHTTPRequestHandler):
  """Answers HTTP status 403 to files, and lists a folder after 6 s."""

  protocol_version = 'HTTP/1.1'

  def do_HEAD(self):
    self._answer(404, b'')

  def do_GET(self):
    if 'list-type' not in self.path:
      self._answer(403, b'')
      return
    if 'max-keys=1&' not in f'{self.path}&':
      time.sleep(6)
    self._answer(200, _PAGE)

  def _answer(self, status, data):
    self.send_response(status)
    self.send_header('Content-Length', str(len(data)))
    self.end_headers()
    self.wfile.write(data)

  def log_message(self, *_):  # pylint: disable=arguments-differ
    pass


@pytest.fixture(name='failing')
def _failing(monkeypatch):
  with http.server.ThreadingHTTPServer(('127.0.0.1', 0), _Failing) as server:
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv('AWS_ENDPOINT_URL',
                       f'http://127.0.0.1:{server.server_port}')
    monkeypatch.setenv('AWS_ACCESS_KEY_ID', 'test')
    monkeypatch.setenv('AWS_SECRET_ACCESS_KEY', 'test')
    yield
    server.shutdown()


def test_no_signature_stands_in_a_traceback(failing):
  del failing
  assert not filesystem.exists('s3://failing/x')  # the server has answered
  server = driver.find_server('s3://failing/x')
  assert server.has_answered
  with pytest.raises(storage_error.StorageError, match='HTTP 403') as caught:
    _fetch('s3://failing/x', 0, 10)
  assert not server.is_direct  # it was tried
  said = ''.join(traceback.format_exception(caught.value))
  assert 'HTTP 403' in said and 'Signature=' not in said


def test_a_list_that_takes_long_is_no_silence(failing, monkeypatch):
  del failing
  monkeypatch.setattr(driver, 'FIRST_S', 5.0)
  assert folders.list_names('s3://slow/records') == ['a']
