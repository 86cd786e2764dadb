# SPDX-License-Identifier: Apache-2.0
"""Reshaping many tensors at once."""

from monolith.native_training import static_reshape_op

import numpy as np
import pytest
import tensorflow as tf

Error = tf.errors.InvalidArgumentError


def test_builder():
  builder = static_reshape_op.StaticReshapeNBuilder()
  assert [
    builder.add(tf.ones([5]), (1, 5)),
    builder.add(tf.ones([4, 10]), (5, 8)),
    builder.add(tf.ones([2, 2, 3], tf.int32), (None, 2)),
  ] == [0, 1, 2]
  outputs, sizes = builder.build()
  assert [out.shape.as_list() for out in outputs] == [[1, 5], [5, 8], [6, 2]]
  assert sizes.numpy().tolist() == [5, 40, 12]


def test_scalars_both_ways():
  (to_scalar, from_scalar), _ = static_reshape_op.static_reshape([tf.constant([3.0]), tf.constant(4.0)], [(), (1, 1)])
  assert to_scalar.numpy() == 3 and from_scalar.numpy().tolist() == [[4]]


def test_gradient():
  with tf.GradientTape() as tape:
    x = tf.Variable(tf.range(6.0))
    (out,), _ = static_reshape_op.static_reshape([x], [(2, 3)])
    y = out * [[1.0, 2, 3], [4, 5, 6]]
  np.testing.assert_array_equal(tape.gradient(y, x), [1, 2, 3, 4, 5, 6])


def test_errors():
  with pytest.raises(ValueError, match="2 shapes for 1 tensors"):
    static_reshape_op.static_reshape([tf.ones([2])], [(2,), (1,)])
  with pytest.raises(Error, match="at most one dimension may be unknown"):
    static_reshape_op.static_reshape([tf.ones([2])], [(None, None)])
  with pytest.raises(Error, match=r"shape \[5\] does not reshape to \[\?,2\]"):
    static_reshape_op.static_reshape([tf.ones([5])], [(None, 2)])
  with pytest.raises(Error, match=r"does not reshape to \[2,2\]"):
    static_reshape_op.static_reshape([tf.ones([5])], [(2, 2)])
