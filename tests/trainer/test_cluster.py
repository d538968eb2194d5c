"""cluster: TF_CONFIG as job managers write it."""

import json
import socket

import pytest

from hpa_records.runtime import errors
from trainer import cluster
from trainer import strategy

_TWO = ['a:1', 'b:2']


def _load(monkeypatch, config):
  text = config if isinstance(config, str) else json.dumps(config)
  monkeypatch.setenv('TF_CONFIG', text)
  return cluster.load()


@pytest.mark.parametrize('config', [
    '', ' ', '{}', {
        'task': {
            'type': 'worker',
            'index': 0
        }
    }, {
        'cluster': {}
    }, {
        'cluster': {
            'worker': [],
            'ps': []
        }
    }, {
        'cluster': {
            'worker': ['a:1']
        }
    }
])
def test_without_others_a_process_is_alone(monkeypatch, config):
  assert not _load(monkeypatch, config).has_others
  assert strategy.is_chief(strategy.make('auto'))


def test_the_chief_comes_first(monkeypatch):
  jobs = {'chief': ['c:1'], 'worker': _TWO, 'evaluator': []}
  found = [
      _load(
          monkeypatch, {
              'cluster': jobs,
              'task': {
                  'type': job,
                  'index': index
              },
              'environment': 'cloud'
          }) for job, index in (('chief', 0), ('worker', 0), ('worker', 1))
  ]
  assert [each.own for each in found] == [0, 1, 2]
  assert found[0].addresses == ('c:1', *_TWO)


@pytest.mark.parametrize('jobs,task,message', [
    ({
        'worker': _TWO
    }, None, 'task has no type'),
    ({
        'worker': _TWO
    }, {
        'type': 'worker'
    }, "index 'None' of 2"),
    ({
        'worker': _TWO
    }, {
        'type': 'worker',
        'index': 2
    }, "index '2' of 2"),
    ({
        'worker': _TWO
    }, {
        'type': 'worker',
        'index': -1
    }, "index '-1' of 2"),
    ({
        'worker': _TWO
    }, {
        'type': 'worker',
        'index': '0x'
    }, "index '0x' of 2"),
    ({
        'worker': _TWO
    }, {
        'type': 'chief',
        'index': 0
    }, "type 'chief', which is not a job"),
    ({
        'worker': _TWO
    }, [], 'task has no type'),
    ({
        'worker': _TWO
    }, 'worker', 'task is not a JSON object'),
    ({
        'worker': _TWO,
        'ps': ['c:1']
    }, {
        'type': 'ps',
        'index': 0
    }, "the job 'ps'"),
    ({
        'worker': _TWO,
        'evaluator': ['c:1']
    }, None, "the job 'evaluator'"),
    ({
        'chief': _TWO
    }, None, 'several chiefs'),
    ({
        'worker': ['a:1', 'a:1']
    }, None, 'a:1 twice'),
    ({
        'worker': ['a', 'b']
    }, None, "in TF_CONFIG, received 'a'"),
    ({
        'worker': ['grpc://a:1', 'b:1']
    }, None, "received 'grpc://a:1'"),
    ({
        'worker': ['a:70000', 'b:1']
    }, None, "received 'a:70000'"),
    ({
        'worker': 'a:1'
    }, None, 'worker is not a list'),
    ({
        'worker': [1, 2]
    }, None, 'worker is not a list'),
    (_TWO, None, 'cluster is not a JSON object'),
])
def test_what_is_no_task_of_a_worker_is_refused(monkeypatch, jobs, task,
                                                message):
  with pytest.raises(errors.DataError, match=message):
    _load(monkeypatch, {'cluster': jobs, 'task': task})


@pytest.mark.parametrize('text', ['{"cluster": ', '[1]', '{"a": 1, "a": 2}'])
def test_what_is_no_json_object_is_refused(monkeypatch, text):
  with pytest.raises(errors.DataError, match='Invalid TF_CONFIG'):
    _load(monkeypatch, text)


def test_a_port_that_is_taken_is_refused(monkeypatch):
  with socket.socket() as taken:
    taken.bind(('127.0.0.1', 0))
    taken.listen()
    port = taken.getsockname()[1]
    config = {
        'cluster': {
            'worker': [f'127.0.0.1:{port}', 'b:1']
        },
        'task': {
            'type': 'worker',
            'index': 0
        }
    }
    monkeypatch.setenv('TF_CONFIG', json.dumps(config))
    with pytest.raises(errors.DataError, match=f'port {port} of TF_CONFIG'):
      strategy.make('auto')
