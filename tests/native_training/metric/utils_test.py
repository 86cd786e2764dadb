# SPDX-License-Identifier: Apache-2.0
"""Deep insight messages of a batch's features."""

from __future__ import annotations

import json
from unittest import mock

import pytest

from monolith.native_training.metric import deep_insight_ops, utils

import tensorflow as tf  # isort: skip


def _features(**changes):
  features = {
    "uid": tf.constant([[1], [2], [3]], tf.int64),
    "req_time": tf.constant([[100], [200], [300]], tf.int64),
    "sample_rate": tf.constant([[0.5], [1.0], [1.0]]),
  }
  return features | changes


def _run(tensor):
  with tf.compat.v1.Session() as session:
    return [json.loads(text) for text in session.run(tensor)]


@pytest.fixture(autouse=True)
def graph():
  with tf.Graph().as_default():
    yield


def test_one_head_is_written_flat():
  def fake_call(uids, **kwargs):
    with tf.compat.v1.Session() as session:
      assert session.run(uids).tolist() == [1, 2, 3]
      assert session.run(kwargs["preds"]).tolist() == [0.25, 0.5, 0.75]
    assert kwargs["return_msgs"] is False
    return tf.no_op()

  with mock.patch.object(deep_insight_ops, "write_deep_insight", side_effect=fake_call) as write:
    preds = tf.constant([[0.25], [0.5], [0.75]])
    utils.write_deep_insight(_features(), 0.01, "m", tf.constant([1.0, 0.0, 1.0]), preds, "ctr")
  write.assert_called_once()


def test_messages_of_one_head_are_returned_for_kafka():
  out = utils.write_deep_insight(
    _features(),
    1.0,
    "m",
    tf.constant([1.0, 0.0, 1.0]),
    tf.constant([0.25, 0.5, 0.75]),
    "ctr",
    enable_kafka_metrics=True,
  )
  messages = _run(out)
  assert [message["uid"] for message in messages] == [1, 2, 3]
  assert [message["req_time"] for message in messages] == [100, 200, 300]
  assert [message["sample_rate"]["ctr"] for message in messages] == [0.5, 1, 1]


def _two_heads(**changes):
  arguments = {
    "targets": ["ctr", "cvr"],
    "labels_list": [tf.constant([[1.0], [0.0], [1.0]]), tf.constant([0.0, 0.0, 1.0])],
    "preds_list": [tf.constant([0.25, 0.5, 0.75]), tf.constant([0.0, 0.125, 1.0])],
    "enable_kafka_metrics": True,
  }
  return arguments | changes


def test_messages_of_two_heads():
  features = _features(city=tf.constant([["a"], ["b"], ["c"]]))
  keys = ["city"]
  messages = _run(utils.write_deep_insight(features, 1.0, "m", extra_fields_keys=keys, **_two_heads()))
  assert keys == ["city"]  # the caller's list is left alone
  assert messages[1]["predict"] == {"ctr": 0.5, "cvr": 0.125}
  assert messages[0]["label"] == {"ctr": 1, "cvr": 0}
  assert messages[0]["sample_rate"] == {"ctr": 0.5, "cvr": 0.5}
  assert [message["uid"] for message in messages] == [1, 2, 3]
  assert [message["extra_str"] for message in messages] == [{"city": "a"}, {"city": "b"}, {"city": "c"}]
  assert "extra_int" not in messages[0]


def test_sample_rates_of_their_own():
  rates = [tf.constant([[0.5], [0.25], [1.0]]), tf.ones([3])]
  features = _features()
  del features["sample_rate"]
  messages = _run(utils.write_deep_insight(features, 1.0, "m", **_two_heads(sample_rates_list=rates)))
  assert messages[1]["sample_rate"] == {"ctr": 0.25, "cvr": 1}


def test_a_head_without_a_label_is_left_out_with_its_prediction():
  arguments = _two_heads()
  arguments["labels_list"] = [None, arguments["labels_list"][1]]
  messages = _run(utils.write_deep_insight(_features(), 1.0, "m", **arguments))
  assert messages[1]["predict"] == {"cvr": 0.125} and messages[2]["label"] == {"cvr": 1}


def test_a_dump_is_written_and_returned(tmp_path):
  path = str(tmp_path / "dump")
  out = utils.write_deep_insight(
    _features(), 1.0, "m", tf.ones([3]), tf.ones([3]), "ctr", dump_filename=path, enable_deep_insight_metrics=False
  )
  assert len(_run(out)) == 3
  client = out.op.inputs[0].op
  assert client.get_attr("filename").decode() == path
  assert client.get_attr("is_fake") and not client.get_attr("enable_metrics_counter")


def test_without_request_times_nothing_is_written():
  features = _features()
  del features["req_time"]
  assert utils.write_deep_insight(features, 1.0, "m", **_two_heads()).type == "NoOp"


def test_no_databus_is_said_when_the_op_runs():
  out = utils.write_deep_insight(_features(), 1.0, "m", tf.ones([3]), tf.ones([3]), "ctr")
  with pytest.raises(tf.errors.UnimplementedError, match="no databus"):
    _run(out)


@pytest.mark.parametrize("name", ["uid", "sample_rate"])
def test_missing_features_are_named(name):
  features = _features()
  del features[name]
  with pytest.raises(KeyError, match=f"feature '{name}' is missing; add it to"):
    utils.write_deep_insight(features, 1.0, "m", tf.ones([3]), tf.ones([3]), "ctr")
  with pytest.raises(KeyError, match=f"feature '{name}' is missing"):
    utils.write_deep_insight(features, 1.0, "m", **_two_heads())
  with pytest.raises(KeyError, match="feature 'city' is missing"):
    utils.write_deep_insight(_features(), 1.0, "m", extra_fields_keys=["city"], **_two_heads())


@pytest.mark.parametrize(
  "changes, message",
  [
    ({"sample_rates_list": "half"}, "sample_rates_list is 'half'; pass a list"),
    ({"labels_list": None}, "labels_list is None; pass a list"),
    ({"preds_list": [tf.ones([3])]}, r"preds_list has 1 elements for the targets \['ctr', 'cvr'\]"),
    ({"preds_list": [None, None]}, r"none of the targets \['ctr', 'cvr'\] has both"),
    ({"targets": None}, "labels and preds and target missing; give them, or targets"),
  ],
)
def test_wrong_lists(changes, message):
  with pytest.raises(ValueError, match=message):
    utils.write_deep_insight(_features(), 1.0, "m", **_two_heads(**changes))
