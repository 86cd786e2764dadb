# SPDX-License-Identifier: Apache-2.0
"""Messages of deep insight: what is in them, whose they are, and where they go."""

from __future__ import annotations

import gc
import json
import socket

import numpy as np
import pytest

from monolith.native_training.metric import deep_insight_ops
from monolith.native_training.runtime.ops import gen_monolith_ops

import tensorflow as tf  # isort: skip

MASK = 2**64 - 1


def _is_sampled(uid, ratio):
  """Whether a user is sampled, by Python's integers: Murmur3's finaliser of the uid and an offset."""
  x = (uid + 0x9E3779B97F4A7C15) & MASK
  for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
    x = ((x ^ (x >> 33)) * factor) & MASK
  return (x ^ (x >> 33)) % 10**6 < ratio * 10**6


def _arguments(rows=3, **changes):
  arguments = {
    "uids": tf.range(rows, dtype=tf.int64) - 1,
    "req_times": tf.range(rows, dtype=tf.int64) + 100,
    "labels": tf.cast(tf.range(rows), tf.float32),
    "preds": tf.cast(tf.range(rows), tf.float32) / 10,
    "sample_rates": tf.ones([rows]),
    "model_name": "m",
    "target": "ctr",
    "sample_ratio": 1.0,
    "return_msgs": True,
    "use_zero_train_time": True,
  }
  return arguments | changes


def _arguments_v2(rows=2, **changes):
  arguments = {
    "req_times": tf.range(rows, dtype=tf.int64) + 100,
    "labels": tf.constant([[1.0] * rows, [0.0] * rows]),
    "preds": tf.constant([[0.25] * rows, [0.75] * rows]),
    "sample_rates": tf.ones([2, rows]),
    "model_name": "m",
    "extra_fields_values": [tf.range(rows, dtype=tf.int64)],
    "extra_fields_keys": ["uid"],
    "targets": ["ctr", "cvr"],
    "sample_ratio": 1.0,
    "return_msgs": True,
    "use_zero_train_time": True,
  }
  return arguments | changes


def _fake():
  return deep_insight_ops.deep_insight_client(is_fake=True)


def _messages(tensor):
  return [json.loads(text) for text in tensor.numpy()]


def test_messages_of_one_head():
  messages = _messages(deep_insight_ops.write_deep_insight(_fake(), **_arguments()))
  assert [list(message) for message in messages] == [
    ["model_name", "req_time", "uid", "train_time", "predict", "label", "sample_rate", "sample_ratio"]
  ] * 3
  assert messages[2] == {
    "model_name": "m",
    "req_time": 102,
    "uid": 1,
    "train_time": 0,
    "predict": {"ctr": pytest.approx(0.2)},
    "label": {"ctr": 2},
    "sample_rate": {"ctr": 1},
    "sample_ratio": 1,
  }


def test_the_default_head_and_the_time_of_the_step():
  arguments = _arguments(rows=1, use_zero_train_time=False)
  del arguments["target"]
  before = int(tf.timestamp())
  (message,) = _messages(gen_monolith_ops.monolith_write_deep_insight(_fake(), **arguments))
  assert list(message["predict"]) == ["ctr_head"]
  assert before <= message["train_time"] <= int(tf.timestamp())


def test_messages_of_two_heads_and_extra_fields():
  values = {
    "price": tf.constant([1.5, float("nan")]),
    "uid": tf.constant([2**62, -5], tf.int64),
    "age": tf.constant([30, 40], tf.int64),
    "city": tf.constant(["Köln", 'a"b\n']),
    "flag": tf.constant([True, False]),
    "level": tf.constant([1, 2], tf.int32),
  }
  out = deep_insight_ops.write_deep_insight_v2(
    _fake(), **_arguments_v2(extra_fields_keys=list(values), extra_fields_values=list(values.values()))
  )
  first, second = _messages(out)
  assert first["uid"] == 2**62 and second["uid"] == -5
  assert first["predict"] == {"ctr": 0.25, "cvr": 0.75} and first["label"] == {"ctr": 1, "cvr": 0}
  assert first["extra_float"] == {"price": 1.5} and second["extra_float"] == {"price": None}
  assert first["extra_int"] == {"age": 30}
  assert first["extra_str"] == {"city": "Köln"} and second["extra_str"] == {"city": 'a"b\n'}
  assert "flag" not in str(first) and "level" not in str(first)


@pytest.mark.parametrize("ratio", [0.0, 0.25, 1.0])
def test_users_are_sampled_by_their_hash(ratio):
  rows = 1000
  uids = np.random.default_rng(0).integers(-(2**63), 2**63, rows)
  arguments = _arguments(rows, uids=tf.constant(uids), sample_ratio=ratio)
  texts = deep_insight_ops.write_deep_insight(_fake(), **arguments).numpy()
  expected = [_is_sampled(int(uid), ratio) for uid in uids]
  assert [text != b"" for text in texts] == expected
  assert abs(sum(expected) - ratio * rows) < 50


def _dumped(path):
  return [json.loads(record.numpy()) for record in tf.data.TFRecordDataset(str(path))]


@pytest.mark.parametrize("returns", [False, True])
def test_a_dump_has_the_sampled_messages_when_the_session_is_gone(tmp_path, returns):
  path = tmp_path / "new" / "dump"
  steps, rows, ratio = 30, 400, 0.5  # more messages than may wait
  with tf.Graph().as_default():
    client = deep_insight_ops.deep_insight_client(enable_metrics_counter=True, dump_filename=str(path))
    out = deep_insight_ops.write_deep_insight(client, **_arguments(rows, sample_ratio=ratio, return_msgs=returns))
    session = tf.compat.v1.Session()
    for _ in range(steps):
      texts = session.run(out)
    session.close()
    del session
  gc.collect()
  sampled = [i - 1 for i in range(rows) if _is_sampled(i - 1, ratio)]
  assert sum(text != b"" for text in texts) == (len(sampled) if returns else 0)
  assert len(texts) == rows
  assert [message["uid"] for message in _dumped(path)] == sampled * steps


def _write_in_a_session(path, first_uid):
  with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    client = deep_insight_ops.deep_insight_client(dump_filename=str(path))
    uids = tf.constant([first_uid, first_uid + 1], tf.int64)
    session.run(deep_insight_ops.write_deep_insight(client, **_arguments(2, uids=uids, return_msgs=False)))
  return session


def test_sessions_one_after_another_replace_an_old_file_and_then_append(tmp_path):
  path = tmp_path / "dump"
  path.write_text("from before this process")
  for first_uid in (0, 10, 20):
    _write_in_a_session(path, first_uid)
    gc.collect()
  assert [message["uid"] for message in _dumped(path)] == [0, 1, 10, 11, 20, 21]


def test_sessions_that_still_have_the_file_share_it(tmp_path):
  path = tmp_path / "dump"
  sessions = [_write_in_a_session(path, first_uid) for first_uid in (0, 10, 20)]  # closed; clients die with them
  del sessions
  gc.collect()
  assert [message["uid"] for message in _dumped(path)] == [0, 1, 10, 11, 20, 21]


def test_a_file_that_went_away_is_made_again(tmp_path):
  path = tmp_path / "new" / "dump"
  _write_in_a_session(path, 0)
  gc.collect()
  path.unlink()
  path.parent.rmdir()
  _write_in_a_session(path, 10)
  gc.collect()
  assert [message["uid"] for message in _dumped(path)] == [10, 11]


def test_a_dump_starts_afresh_and_eager_clients_are_apart(tmp_path):
  paths = [tmp_path / name for name in "ab"]
  paths[0].write_text("old")
  for path in paths:
    deep_insight_ops.deep_insight_client(False, True, str(path))
  assert [path.read_bytes() for path in paths] == [b"", b""]


def test_clients_of_functions_are_apart(tmp_path):
  def write(path):
    client = deep_insight_ops.deep_insight_client(False, True, str(path))
    return deep_insight_ops.write_deep_insight(client, **_arguments())

  paths = [tmp_path / name for name in "ab"]
  for path in paths:
    assert len(_messages(tf.function(write)(path))) == 3
  assert all(path.exists() for path in paths)


def test_a_file_that_cannot_be_made_is_an_error(tmp_path):
  (tmp_path / "file").write_text("")
  with pytest.raises(tf.errors.OpError, match="file"):
    deep_insight_ops.deep_insight_client(dump_filename=str(tmp_path / "file" / "dump"))


def test_a_disk_that_is_full_stops_the_steps():
  client = deep_insight_ops.deep_insight_client(dump_filename="/dev/full")
  with pytest.raises(tf.errors.DataLossError, match="written to /dev/full.*choose another dump_filename"):
    for _ in range(100):  # 820,000 messages: more than wait and than buffers hold
      deep_insight_ops.write_deep_insight(client, **_arguments(8200, return_msgs=False))


def test_messages_that_would_go_nowhere_are_refused():
  client = deep_insight_ops.deep_insight_client()
  with pytest.raises(
    tf.errors.UnimplementedError, match="no databus to send messages of 'm' to; give the client a dump_f"
  ):
    deep_insight_ops.write_deep_insight(client, **_arguments(return_msgs=False))
  assert len(_messages(deep_insight_ops.write_deep_insight(client, **_arguments()))) == 3
  dropped = deep_insight_ops.write_deep_insight(_fake(), **_arguments(return_msgs=False))
  assert dropped.numpy().tolist() == [b""] * 3


def test_any_sequences_of_heads_and_fields_serve():
  arguments = _arguments_v2(extra_fields_keys={"uid": 0}.keys(), targets={"ctr": 0, "cvr": 1}.keys())
  arguments["extra_fields_values"] = tuple(arguments["extra_fields_values"])
  assert len(_messages(deep_insight_ops.write_deep_insight_v2(_fake(), **arguments))) == 2


def test_no_rows():
  assert deep_insight_ops.write_deep_insight(_fake(), **_arguments(0)).shape == [0]
  assert deep_insight_ops.write_deep_insight_v2(_fake(), **_arguments_v2(0)).shape == [0]


@pytest.mark.parametrize("name", ["uids", "labels", "preds", "sample_rates"])
def test_other_lengths_are_refused_by_name(name):
  arguments = _arguments()
  arguments[name] = arguments[name][:2]
  with pytest.raises(tf.errors.InvalidArgumentError, match=rf"{name} has shape \[2\]; pass \[3\]"):
    deep_insight_ops.write_deep_insight(_fake(), **arguments)
  with tf.Graph().as_default(), pytest.raises(ValueError, match="Dimension.* must be equal"):
    deep_insight_ops.write_deep_insight(
      _fake(), **{k: v.numpy() if tf.is_tensor(v) else v for k, v in arguments.items()}
    )


def test_a_matrix_of_request_times_is_refused():
  with pytest.raises(tf.errors.InvalidArgumentError, match=r"req_times has shape \[3,1\]; pass \[3\]"):
    deep_insight_ops.write_deep_insight(_fake(), **_arguments(req_times=tf.ones([3, 1], tf.int64)))


@pytest.mark.parametrize("ratio", [-0.1, 1.5, float("nan")])
def test_sample_ratio_is_a_share(ratio):
  with pytest.raises(tf.errors.InvalidArgumentError, match=f"sample_ratio is {ratio}; it is a share.*from 0 to 1"):
    deep_insight_ops.write_deep_insight(_fake(), **_arguments(sample_ratio=ratio))


@pytest.mark.parametrize(
  "changes, message",
  [
    ({"labels": tf.ones([1, 2])}, r"labels has shape \[1,2\]; pass \[2,2\]"),
    ({"preds": tf.ones([2, 3])}, r"preds has shape \[2,3\]; pass \[2,2\]"),
    ({"sample_rates": tf.ones([2])}, r"sample_rates has shape \[2\]; pass \[2,2\]"),
    ({"extra_fields_values": [tf.ones([3], tf.int64)]}, r"uid has shape \[3\]; pass \[2\]"),
    ({"extra_fields_keys": ["user"]}, r"no int64 field uid among the extra fields \[user\]"),
    ({"extra_fields_values": [tf.ones([2])]}, "no int64 field uid"),
    ({"extra_fields_keys": ["uid", "age"]}, "2 extra_fields_keys for 1 extra_fields_values; pass a key for each"),
    ({"extra_fields_keys": ["uid", "uid"]}, "extra_fields_keys has 'uid' twice"),
    ({"targets": ["ctr", "ctr"]}, "targets has 'ctr' twice"),
    ({"targets": []}, "targets is empty; name the heads"),
  ],
)
def test_wrong_arguments_of_several_heads(changes, message):
  with pytest.raises(tf.errors.InvalidArgumentError, match=message):
    deep_insight_ops.write_deep_insight_v2(_fake(), **_arguments_v2(**changes))


def test_shapes_in_graphs():
  with tf.Graph().as_default():
    client = _fake()
    assert client.shape == []
    assert client.op.get_attr("container").decode() == socket.gethostname()
    assert client.op.op_def.is_stateful
    out = deep_insight_ops.write_deep_insight(client, **_arguments())
    assert out.shape == [3] and out.op.op_def.is_stateful
    out = deep_insight_ops.write_deep_insight_v2(client, **_arguments_v2())
    assert out.shape == [2] and out.op.op_def.is_stateful
    with pytest.raises(ValueError, match="must be 3 but is 2"):
      deep_insight_ops.write_deep_insight_v2(client, **_arguments_v2(targets=["a", "b", "c"]))
