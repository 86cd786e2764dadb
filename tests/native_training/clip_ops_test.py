# SPDX-License-Identifier: Apache-2.0
"""Clipping by the global norm."""

from monolith.native_training import clip_ops

import numpy as np
import pytest
import tensorflow as tf


def _clip(tensors, limit=4.0, **kwargs):
  inputs = [tf.constant(t) for t in tensors]
  clipped, norm = clip_ops.clip_by_global_norm(inputs, limit, **kwargs)
  for before, after in zip(tensors, inputs, strict=True):
    np.testing.assert_array_equal(before, after)
  return [t.numpy() for t in clipped], norm.numpy()


@pytest.mark.parametrize("tensors", [[[-3.0, 0, 0], [4.0, 0, 0]], [[-3.0, 0, 0], [0.0, 0, 4, 0]]])
def test_norm_above_the_limit_scales(tensors):
  clipped, norm = _clip(tensors)
  assert norm == pytest.approx(5)
  for before, after in zip(tensors, clipped, strict=True):
    np.testing.assert_allclose(after, 0.8 * np.array(before), rtol=1e-6)


@pytest.mark.parametrize("tensors", [[[1.0, 0, 0], [1.0, 0, 0]], [[0.0, 0, 0], [0.0, 0]]])
def test_norm_below_the_limit_changes_nothing(tensors):
  clipped, _ = _clip(tensors)
  for before, after in zip(tensors, clipped, strict=True):
    np.testing.assert_array_equal(after, before)


def test_infinite_and_nan_norms_make_every_value_nan():
  clipped, norm = _clip([[np.inf, 1.0], [np.inf]])
  assert np.isinf(norm) and np.isnan(clipped[0]).all() and np.isnan(clipped[1]).all()
  clipped, _ = _clip([[np.nan, 1.0], [2.0]])
  assert np.isnan(clipped[1]).all()


def test_zero_norm_and_zero_limit():
  clipped, _ = _clip([[0.0, 0.0]], limit=0.0)
  np.testing.assert_array_equal(clipped[0], [0, 0])


def test_agrees_with_tensorflow_in_a_graph():
  rng = np.random.RandomState(0)
  values = [rng.randn(7, 3).astype(np.float32), rng.randn(5).astype(np.float32)]
  with tf.Graph().as_default(), tf.compat.v1.Session() as sess:
    tensors = [tf.constant(v) for v in values]
    ours, theirs = sess.run((clip_ops.clip_by_global_norm(tensors, 0.5), tf.clip_by_global_norm(tensors, 0.5)))
  np.testing.assert_allclose(ours[1], theirs[1], rtol=1e-6)
  for a, b in zip(ours[0], theirs[0], strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-5)


def test_none_stays_and_indexed_slices_keep_their_indices():
  slices = tf.IndexedSlices(tf.constant([[3.0], [4.0]]), tf.constant([5, 1]), tf.constant([9, 1]))
  (first, second), norm = clip_ops.clip_by_global_norm([None, slices], 1.0)
  assert first is None and norm.numpy() == pytest.approx(5)
  np.testing.assert_allclose(second.values, [[0.6], [0.8]], rtol=1e-6)
  np.testing.assert_array_equal(second.indices, [5, 1])


def test_given_norm_is_used():
  (only,), norm = clip_ops.clip_by_global_norm([tf.constant([2.0])], 1.0, use_norm=tf.constant(4.0))
  assert (only.numpy(), norm.numpy()) == (0.5, 4.0)


def test_empty_list_and_wrong_arguments():
  tensors, norm = clip_ops.clip_by_global_norm([], 1.0)
  assert tensors == [] and norm.numpy() == 0
  with pytest.raises(TypeError, match="must be a list of tensors, not EagerTensor"):
    clip_ops.clip_by_global_norm(tf.constant([1.0]), 1.0)
  with pytest.raises(tf.errors.InvalidArgumentError, match="clip_norm is -1"):
    clip_ops.clip_by_global_norm([tf.constant([1.0])], -1.0)
  assert clip_ops._global_norm([]) is None
