# SPDX-License-Identifier: Apache-2.0
"""Things of which a graph has one."""

from monolith.native_training import graph_meta

import tensorflow as tf


def test_an_object_is_made_once_a_graph_and_key():
  with tf.Graph().as_default():
    first = graph_meta.get_meta("a", dict)
    assert graph_meta.get_meta("a", list) is first
    assert graph_meta.get_meta("b", list) == []
    with tf.Graph().as_default():
      assert graph_meta.get_meta("a", dict) is not first
    assert graph_meta.get_meta("a", dict) is first


def test_a_falsy_object_is_kept():
  calls = []
  with tf.Graph().as_default():
    for _ in range(2):
      assert graph_meta.get_meta("none", lambda: calls.append(1)) is None
  assert calls == [1]
