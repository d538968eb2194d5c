"""driver: schemes, options, and what an address must not contain."""

import os
import subprocess
import sys

import pytest

from hpa_records.runtime import errors
from hpa_records.storage import driver
from hpa_records.storage import filesystem
from hpa_records.storage import folders
from hpa_records.storage import path_check


@pytest.mark.parametrize('scheme,package', [('gs', 'gcsfs'), ('az', 'adlfs'),
                                            ('abfs', 'adlfs'), ('s3', 's3fs'),
                                            ('https', 'aiohttp')])
def test_a_missing_driver_is_named(scheme, package):
  # In another process: fsspec keeps the drivers that were imported once.
  code = f'''
import sys
sys.modules["{package}"] = None
from hpa_records.storage import filesystem
try:
  filesystem.size("{scheme}://bucket/x")
except ValueError as error:
  print(error)
'''
  told = subprocess.run([sys.executable, '-c', code],
                        check=True,
                        capture_output=True,
                        text=True).stdout
  assert f'not installed; pip install {package}, or "hpa-records' in told
  assert len(told.splitlines()) == 1


def test_an_unknown_scheme_is_refused_with_the_known_ones():
  with pytest.raises(errors.DataError,
                     match=r'of s3://, gs://, .*received nowhere://host/x'):
    filesystem.size('nowhere://host/x')


@pytest.mark.parametrize('address', [
    'https://me:hunter2@host/records', 'http://host/records?sig=hunter2',
    'http://hunter2@host/records', 'ftp://me:hunter2@host/records',
    'htps://me:hunter2@host/records', 's3://KEY:hunter2@bucket/records',
    'az://me.blob.core.windows.net/box/records?sv=2024&sig=hunter2'
])
def test_an_address_with_a_password_is_refused_and_not_shown(address):
  if driver.is_web(address):  # also of a server that is known
    driver.connect(f'{address.partition("://")[0]}://host/records')
  for use in (filesystem.read_bytes,
              lambda path: path_check.require_path(path, 'records')):
    with pytest.raises(errors.DataError, match='without user name') as told:
      use(address)
    assert 'hunter2' not in str(told.value)


@pytest.mark.parametrize('address', [
    'abfs://box@me.dfs.core.windows.net/records', 's3://bucket/a@b:c/d?e=f',
    'gs://bucket/keyboard=1'
])
def test_an_address_without_a_password_is_taken(address):
  assert path_check.require_path(address, 'records') == address


@pytest.mark.parametrize('write', [
    lambda path: filesystem.write_atomically(path, b''),
    folders.make,
])
def test_web_servers_are_only_read(write):
  with pytest.raises(errors.DataError,
                     match='az:// to write to, received https://there/x'):
    write('https://there/x')


def test_a_web_server_has_no_folders():
  with pytest.raises(errors.DataError,
                     match='https://there/x cannot be listed'):
    folders.list_names('https://there/x')


def test_both_forms_of_an_azure_address(monkeypatch):
  monkeypatch.setenv('AZURE_STORAGE_ACCOUNT_KEY', 'a2V5')
  files, inner = driver.connect('az://me.blob.core.windows.net/box/a/b')
  assert (files.account_name, inner) == ('me', 'box/a/b')
  monkeypatch.setenv('AZURE_STORAGE_ACCOUNT_NAME', 'you')
  files, inner = driver.connect('az://box/a/b')
  assert (files.account_name, inner) == ('you', 'box/a/b')


@pytest.mark.parametrize('address', ['http://127.0.0.1:9/x', 'gs://silence/x'])
def test_a_slow_answer_has_no_limit_but_silence_has(address, monkeypatch):
  monkeypatch.setenv('STORAGE_EMULATOR_HOST', 'http://127.0.0.1:9')
  files, _ = driver.connect(address)
  timeout = (files.client_kwargs['timeout']
             if driver.is_web(address) else files.requests_timeout)
  assert timeout.total is None
  assert (timeout.sock_connect, timeout.sock_read) == (10, 30)


def test_addresses_of_local_files_are_local(tmp_path):
  assert path_check.require_path(f'file://{tmp_path}/a', 'x') == f'{tmp_path}/a'
  assert path_check.require_path(f'local://{tmp_path}', 'x') == str(tmp_path)


def test_a_forked_process_connects_anew():
  files, _ = driver.connect('memory://fork/x')
  child = os.fork()
  if not child:
    other, _ = driver.connect('memory://fork/x')
    os._exit(0 if other is not files else 1)  # pylint: disable=protected-access
  assert os.waitpid(child, 0)[1] == 0


def test_storage_starts_without_a_driver_and_without_tensorflow():
  loaded = subprocess.run([
      sys.executable, '-c',
      'import sys\nfrom hpa_records.storage import folders'
      '\nprint([n for n in ("tensorflow", "s3fs", "gcsfs", "adlfs", "aiohttp") '
      'if n in sys.modules])'
  ],
                          check=True,
                          capture_output=True,
                          text=True).stdout
  assert loaded == '[]\n'
