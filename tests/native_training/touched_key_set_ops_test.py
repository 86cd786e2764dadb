# SPDX-License-Identifier: Apache-2.0
"""The set of touched keys."""

from monolith.native_training import touched_key_set_ops

import pytest
import tensorflow as tf


def test_holds_its_capacity():
  touched = touched_key_set_ops.TouchedKeySet(1000, 1, "_holds")
  assert touched.insert(tf.range(1000, dtype=tf.int64)).numpy().tolist() == [0]
  assert sorted(touched.steal().numpy()) == list(range(1000))
  assert touched.steal().shape == [0]


def test_overflow_empties_the_set_and_counts_what_was_dropped():
  touched = touched_key_set_ops.TouchedKeySet(1000, 1, "_overflow")
  assert touched.insert(tf.range(1005, dtype=tf.int64)).numpy().tolist() == [1001]
  assert sorted(touched.steal().numpy()) == [1001, 1002, 1003, 1004]


def test_properties_and_shared_name():
  with tf.Graph().as_default():
    touched = touched_key_set_ops.TouchedKeySet(name_suffix="_x")
    assert (touched.capacity, touched.concurrency_level) == (2097152, 1024)
    assert touched.handle.op.get_attr("shared_name") == b"MonolithTouchedKeySet_x"
    assert touched.insert(tf.constant([1], tf.int64)).shape == [1]
    assert touched.steal().shape.as_list() == [None]


def test_two_names_are_two_sets():
  one, two = (touched_key_set_ops.TouchedKeySet(10, 1, suffix) for suffix in ("_one", "_two"))
  one.insert(tf.constant([7], tf.int64))
  again = touched_key_set_ops.TouchedKeySet(10, 1, "_one")
  assert two.steal().numpy().tolist() == []
  assert again.steal().numpy().tolist() == [7]


def test_refusals():
  with pytest.raises(tf.errors.InvalidArgumentError, match="capacity 0; use at least 1"):
    touched_key_set_ops.TouchedKeySet(0, 1, "_refused")
  with pytest.raises(tf.errors.InvalidArgumentError, match="concurrency_level -1; use at least 1"):
    touched_key_set_ops.TouchedKeySet(1, -1, "_refused")
