# SPDX-License-Identifier: Apache-2.0
"""The hooks that take messages out of a loop."""

from __future__ import annotations

import datetime
import json
import pathlib
import types

import numpy as np
import pytest

from monolith.native_training import native_task_context
from monolith.native_training.metric import kafka_utils, metric_hook, utils

import tensorflow as tf  # isort: skip


def _results(*messages):
  return types.SimpleNamespace(results={"deep_insight_op": list(messages)})


@pytest.fixture(autouse=True)
def graph():
  with tf.Graph().as_default():
    yield


@pytest.fixture
def new_hooks(monkeypatch):
  """Every test has a process' first hooks."""
  monkeypatch.setattr(metric_hook.KafkaMetricHook, "_instance", None, raising=False)
  monkeypatch.setattr(metric_hook.FileMetricHook, "_instance", None, raising=False)


def _deep_insight(**kwargs):
  features = {
    "uid": tf.constant([1, 2], tf.int64),
    "req_time": tf.constant([1664236800, 1664323200], tf.int64),
    "sample_rate": tf.ones([2]),
  }
  return utils.write_deep_insight(
    features, 1.0, "m", tf.ones([2]), tf.constant([0.25, 0.5]), "ctr", enable_kafka_metrics=True, **kwargs
  )


class TestFileMetricHook:
  @pytest.fixture(autouse=True)
  def _new(self, new_hooks):
    pass

  def _lines(self, base):
    return {
      str(path.relative_to(base)): path.read_text().splitlines()
      for path in sorted(pathlib.Path(base).rglob("*"))
      if path.is_file()
    }

  def test_parts_by_day(self, tmp_path):
    hook = metric_hook.FileMetricHook(
      worker_id=0,
      key_fn=metric_hook.vepfs_key_fn,
      layout_fn=metric_hook.vepfs_layout_fn,
      batch_size=8,
      partition_size=32,
      base_name=str(tmp_path),
    )
    rng = np.random.default_rng(0)
    days = [(datetime.date(2024, 3, 4) - datetime.timedelta(days=i)).strftime("%Y%m%d") for i in range(8)]
    for day in days:
      for i in range(64):
        record = {"model_name": "m", "req_time": day, "extra_str": {"userid": str(i)},
                  "predict": {"ctr": rng.random()}, "label": {"ctr": 1}}  # fmt: skip
        hook.after_run(None, _results(json.dumps(record)))
    hook.end(None)
    written = self._lines(tmp_path)
    assert sorted(written) == sorted(f"m/{day}/worker_0/part_00000{i}.txt" for day in days for i in range(2))
    for path, lines in written.items():
      first = 32 if "part_000001" in path else 0
      assert [line.split(";")[2] for line in lines] == [str(i) for i in range(first, first + 32)]

  def test_messages_of_a_loop_by_the_collection(self, tmp_path, monkeypatch):
    tf.compat.v1.add_to_collection("deep_insight_op", _deep_insight())
    context = native_task_context.get()._replace(worker_index=3)
    monkeypatch.setattr(native_task_context, "get", lambda: context)
    hook = metric_hook.FileMetricHook(base_name=str(tmp_path), file_ext="jsonl")
    with tf.compat.v1.train.SingularMonitoredSession(hooks=[hook]) as session:
      session.run([])
      session.run([])
    written = self._lines(tmp_path)
    assert list(written) == [f"m/{day}/worker_3/part_000000.jsonl" for day in ("20220927", "20220928")]
    assert [[json.loads(line)["uid"] for line in lines] for lines in written.values()] == [[1, 1], [2, 2]]

  def test_without_an_op_nothing_is_fetched(self, tmp_path):
    hook = metric_hook.FileMetricHook(base_name=str(tmp_path))
    assert hook.before_run(None) is None
    hook.after_run(None, types.SimpleNamespace(results=None))
    with tf.compat.v1.train.SingularMonitoredSession(hooks=[hook]) as session:
      session.run([])
    assert self._lines(tmp_path) == {} and hook._thread is None

  def test_an_op_that_writes_nothing_is_no_message(self, tmp_path):
    hook = metric_hook.FileMetricHook(tf.no_op(), base_name=str(tmp_path))
    with tf.compat.v1.train.SingularMonitoredSession(hooks=[hook]) as session:
      session.run([])
    assert hook._thread is None

  @pytest.mark.parametrize(
    "result", [np.array([b"a", b"", b"b"], object), [["a", ""], ("b", None)], ["a", np.array([b"b"], object)]]
  )
  def test_shapes_of_results(self, tmp_path, result):
    hook = metric_hook.FileMetricHook(
      parse_fn=lambda m: m.decode() if isinstance(m, bytes) else m,
      key_fn=lambda item, worker, base: base,
      worker_id=0,
      base_name=str(tmp_path),
    )
    hook.after_run(None, types.SimpleNamespace(results={"deep_insight_op": result}))
    hook.end(None)
    assert self._lines(tmp_path) == {"part_000000.txt": ["a", "b"]}

  def test_a_single_message(self, tmp_path):
    hook = metric_hook.FileMetricHook(key_fn=lambda item, worker, base: f"{base}/{worker}", base_name=str(tmp_path))
    hook.after_run(None, types.SimpleNamespace(results={"deep_insight_op": '{"a": 1}'}))
    hook.end(None)
    assert self._lines(tmp_path) == {"0/part_000000.txt": ['{"a": 1}']}

  def test_bad_messages_do_not_stop_the_others(self, tmp_path):
    (tmp_path / "blocked").write_text("")
    hook = metric_hook.FileMetricHook(
      key_fn=lambda item, worker, base: f"{base}/{item['key']}", base_name=str(tmp_path), batch_size=2
    )
    hook.after_run(None, _results('{"key": "a"}', "{", "{}", '{"key": "blocked"}', '{"key": "blocked"}'))
    hook.after_run(None, _results('{"key": "blocked"}', '{"key": "a"}'))
    hook.end(None)
    assert self._lines(tmp_path)["a/part_000000.txt"] == ['{"key": "a"}'] * 2
    assert hook.num_failed == 5  # no JSON, no key, three of a directory that cannot be made

  def test_a_second_loop_goes_on(self, tmp_path):
    hook = metric_hook.FileMetricHook(key_fn=lambda item, worker, base: base, base_name=str(tmp_path))
    for i in range(2):
      hook.after_run(None, _results(json.dumps(i)))
      hook.end(None)
      hook.end(None)
    assert self._lines(tmp_path) == {"part_000000.txt": ["0"], "part_000001.txt": ["1"]}

  def test_there_is_one_and_making_it_again_finishes_it(self, tmp_path):
    paths = [tmp_path / name for name in "ab"]
    hooks = []
    for path in paths:
      hooks.append(metric_hook.FileMetricHook(key_fn=lambda item, worker, base: base, base_name=str(path)))
      hooks[-1].after_run(None, _results("1"))
    assert hooks[0] is hooks[1]
    assert self._lines(paths[0]) == {"part_000000.txt": ["1"]}
    hooks[0].end(None)
    assert self._lines(paths[1]) == {"part_000000.txt": ["1"]}

  def test_files_of_yesterday_are_closed(self, tmp_path):
    now, seen = [0.0], []

    def key_fn(item, worker, base):
      if item == 2:
        now[0] = 25 * 3600.0
      if item == 3:
        seen.append(([pathlib.Path(key).name for key in hook._files], self._lines(tmp_path)))
      return f"{base}/{item}"

    hook = metric_hook.FileMetricHook(key_fn=key_fn, base_name=str(tmp_path), clock=lambda: now[0])
    for message in "123":
      hook.after_run(None, _results(message))
    hook.end(None)
    assert seen == [(["2"], {"1/part_000000.txt": ["1"]})]
    assert hook.num_failed == 0 and len(self._lines(tmp_path)) == 3

  def test_what_waits_is_written_when_the_process_ends(self, tmp_path, monkeypatch):
    registered = []
    monkeypatch.setattr("atexit.register", registered.append)
    hook = metric_hook.FileMetricHook(key_fn=lambda item, worker, base: base, base_name=str(tmp_path))
    hook.after_run(None, _results("1"))  # and then the loop fails
    registered[0]()
    assert self._lines(tmp_path) == {"part_000000.txt": ["1"]}

  def test_wrong_sizes_are_refused_at_once(self):
    with pytest.raises(ValueError, match="batch_size is 0"):
      metric_hook.FileMetricHook(batch_size=0)


class _Producer:
  made: list = []

  def __init__(self, brokers, topic):
    self.brokers, self.topic, self.messages, self.closed = brokers, topic, [], False
    self.made.append(self)

  def send(self, messages):
    if self.closed:
      raise RuntimeError("closed")
    self.messages += messages

  def close(self):
    self.closed = True

  def total(self):
    return len(self.messages)

  success = total

  def failed(self):
    return 0

  def dropped(self):
    return 0


class TestKafkaMetricHook:
  @pytest.fixture(autouse=True)
  def _producers(self, new_hooks, monkeypatch):
    monkeypatch.setattr(kafka_utils, "KProducer", _Producer)
    monkeypatch.setattr(_Producer, "made", [])
    monkeypatch.setenv("KAFKA_BROKER_LIST", "a:1,b:2")
    monkeypatch.setenv("KAFKA_TOPIC_NAME", "topic")

  def test_two_loops(self):
    out = _deep_insight()
    for _ in range(2):
      hook = metric_hook.KafkaMetricHook(out)
      with tf.compat.v1.train.SingularMonitoredSession(hooks=[hook]) as session:
        session.run([])
    assert [(p.brokers, p.topic, p.closed) for p in _Producer.made] == [(["a:1", "b:2"], "topic", True)] * 2
    for producer in _Producer.made:
      assert [json.loads(message)["uid"] for message in producer.messages] == [1, 2]

  def test_the_same_hook_in_a_second_loop(self):
    hook = metric_hook.KafkaMetricHook()
    for i in range(2):
      hook.begin()
      hook.after_run(None, _results(b"%d" % i))
      hook.end(None)
      hook.end(None)
    assert [producer.messages for producer in _Producer.made] == [[b"0"], [b"1"]]

  def test_what_waits_is_sent_when_the_process_ends(self, monkeypatch):
    registered, unregistered = [], []
    monkeypatch.setattr("atexit.register", registered.append)
    monkeypatch.setattr("atexit.unregister", unregistered.append)
    hook = metric_hook.KafkaMetricHook()
    hook.after_run(None, _results(b"1"))  # and then the loop fails
    assert not _Producer.made[0].closed
    registered[0]()
    assert _Producer.made[0].closed and unregistered == registered

  def test_there_is_one_with_the_last_op(self):
    first = metric_hook.KafkaMetricHook()
    assert first.before_run(None) is None
    tf.compat.v1.add_to_collection("deep_insight_op", tf.constant([b"x"]))
    assert metric_hook.KafkaMetricHook() is first and len(_Producer.made) == 1
    assert list(first.before_run(None).fetches) == ["deep_insight_op"]
    assert type(first) is not type(metric_hook.FileMetricHook())

  def test_empty_messages_are_not_sent(self):
    hook = metric_hook.KafkaMetricHook()
    hook.after_run(None, _results(b"", None, b"a"))
    hook.after_run(None, _results(b""))
    assert _Producer.made[0].messages == [b"a"]

  @pytest.mark.parametrize("name", ["KAFKA_BROKER_LIST", "KAFKA_TOPIC_NAME"])
  def test_the_environment_must_say_where(self, monkeypatch, name):
    monkeypatch.delenv(name)
    with pytest.raises(ValueError, match=f"KafkaMetricHook: {name} not set; say in the environment"):
      metric_hook.KafkaMetricHook()
