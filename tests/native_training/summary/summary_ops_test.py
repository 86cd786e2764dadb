# SPDX-License-Identifier: Apache-2.0
"""Summaries about features, as an event file and a TF1 graph hold them."""

from __future__ import annotations

import json

import numpy as np
import pytest

import event_files

from monolith.native_training.summary import summary_ops
from monolith.native_training.summary import utils

import tensorflow as tf  # isort: skip

_X = np.random.default_rng(1).normal(size=(3, 4)).astype(np.float32)
_W = np.random.default_rng(2).normal(size=(4, 2)).astype(np.float32)
_LABEL = np.float32([[1], [0], [1]])


def _recorded(record, mode, directory):
  """(tag, head, numbers) of the one summary that `record()` makes."""
  if mode == "graph":
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
      returned = record()
      assert tf.compat.v1.get_collection(tf.compat.v1.GraphKeys.SUMMARIES) == [returned]
      (value,) = tf.compat.v1.Summary.FromString(session.run(returned)).value
  else:
    writer = tf.summary.create_file_writer(str(directory))
    with writer.as_default(step=7):
      assert (tf.function(record) if mode == "function" else record)() is None
    writer.close()
    (path,) = directory.iterdir()
    events = [event for event in event_files.events(path) if event.summary.value]
    assert [event.step for event in events] == [7]
    (value,) = events[0].summary.value
  assert value.metadata.plugin_data.plugin_name == "monolith"
  assert value.metadata.summary_description == "for people"
  return value.tag, json.loads(value.metadata.plugin_data.content), tf.make_ndarray(value.tensor)


@pytest.mark.parametrize("mode", ["eager", "function", "graph"])
@pytest.mark.parametrize("with_weight", [True, False])
@pytest.mark.parametrize("with_label", [True, False])
def test_feature_insight(tmp_path, mode, with_weight, with_label):
  def record():
    return summary_ops.feature_insight_data(
      tf.constant(_X), ["a", "b"], [1, 3], weight=tf.constant(_W) if with_weight else None, group_info=[["b"]],
      label=tf.constant(_LABEL) if with_label else None, description="for people", name="insight",
    )  # fmt: skip

  tag, head, numbers = _recorded(record, mode, tmp_path)
  parts = (slice(0, 1), slice(1, 4))
  shares = np.stack([np.square(_X[:, p] @ _W[p] if with_weight else _X[:, p]).sum(1) for p in parts], axis=1)
  expected = np.concatenate([shares, _LABEL], axis=1) if with_label else shares.mean(axis=0)
  np.testing.assert_allclose(numbers, expected, rtol=1e-5)
  assert tag == "insight" and head["tag_type"] == ("fi_train" if with_label else "fi_eval")
  assert head.get("group_index") == ([-1, 0] if with_label else None)


@pytest.mark.parametrize(
  "sizes, weights, tag", [([2, 3], [0.5, 1.5], "gating"), ([[2, 4], [3]], [1.0, 2.0, 3.0], "selecting")]
)
def test_nas_data(tmp_path, sizes, weights, tag):
  def record():
    return summary_ops.nas_data(tf.constant(weights), ["a", "b"], sizes, description="for people")

  name, head, numbers = _recorded(record, "eager", tmp_path)
  assert (name, head["tag_type"], head["segment_sizes"]) == ("nas_data", tag, sizes)
  np.testing.assert_array_equal(numbers, np.float32(weights))


def test_without_a_writer_nothing_happens():
  assert summary_ops.nas_data(tf.ones([1]), ["a"], [2]) is None


def test_collections():
  with tf.Graph().as_default():
    summary_ops.nas_data(tf.ones([1]), ["a"], [2], collections=["mine"])
    assert not tf.compat.v1.get_collection(tf.compat.v1.GraphKeys.SUMMARIES)
    assert len(tf.compat.v1.get_collection("mine")) == 1


@pytest.mark.parametrize("call, message", [
  (lambda: summary_ops.nas_data(tf.ones([1])), "segment_names and segment_sizes are needed"),
  (lambda: summary_ops.nas_data(tf.ones([3]), ["a"], [2]), r"weight is \(3,\), but the segments have 1 weights"),
  (lambda: summary_ops.feature_insight_data(tf.ones([1, 2]), ["a"], [3]), r"add up to 3, but input_tensor is \(1, 2\)"),
  (lambda: summary_ops.feature_insight_data(tf.ones([1, 2]), ["a", "b"], [2]), "2 segment_names and 1 segment_sizes"),
  (lambda: utils.prepare_head([], []), "0 segment_names and 0 segment_sizes"),
  (lambda: utils.prepare_head(["a"], [1], raw_tag="gated"), "raw_tag is 'gated'; use one of gating, selecting"),
  (lambda: utils.prepare_head(["a"], [1], out_type="text"), "out_type is 'text'; use tensor, json or bytes"),
])  # fmt: skip
def test_mistakes(call, message):
  with pytest.raises(ValueError, match=message):
    call()


def test_a_group_of_an_unknown_segment():
  with pytest.raises(KeyError, match="group_info names 'c', which is none of the segments"):
    utils.prepare_head(["a"], [1], group_info=[["c"]])


def test_heads_in_three_forms():
  text, tag = utils.prepare_head(["a", "ü"], [[1, 2], 3], out_type="json")
  assert json.loads(text) == {"tag_type": "selecting", "segment_names": ["a", "ü"], "segment_sizes": [[1, 2], 3]}
  assert tag == "selecting"
  assert utils.prepare_head(["a", "ü"], [[1, 2], 3], out_type="bytes")[0] == text.encode()
  assert utils.prepare_head(["a", "ü"], [[1, 2], 3])[0].numpy() == text.encode()


def test_architecture_weights_of_a_checkpoint(tmp_path):
  with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    tf.compat.v1.get_variable("irazor/nas_weight", initializer=[[1.0, 2.0]])
    tf.compat.v1.get_variable("other/nas_weight", initializer=[3.0])
    tf.compat.v1.get_variable("irazor/kernel", initializer=[4.0])
    session.run(tf.compat.v1.global_variables_initializer())
    tf.compat.v1.train.Saver().save(session, str(tmp_path / "model.ckpt"), global_step=3)
  assert json.loads(utils.get_nas_weight_json(str(tmp_path))) == {
    "irazor/nas_weight": [[1.0, 2.0]], "other/nas_weight": [3.0],
  }  # fmt: skip
  path = str(tmp_path / "model.ckpt-3")
  assert json.loads(utils.get_nas_weight_json(path, "other/")) == {"other/nas_weight": [3.0]}
  with pytest.raises(ValueError, match="is no checkpoint and has none"):
    utils.get_nas_weight_json(str(tmp_path / "nothing"))
