# SPDX-License-Identifier: Apache-2.0
"""Shapes, merging, and Gumbel sampling."""

import numpy as np
import pytest

from monolith.native_training.layers import utils

import tensorflow as tf  # isort: skip

_CUBE = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
_FLAT = _CUBE.reshape(2, 12)
_LIST = [_CUBE[:, i] for i in range(3)]


def _values(merged):
  return [t.numpy() for t in merged] if isinstance(merged, list) else merged.numpy()


@pytest.mark.parametrize(
  "given, kwargs, expected",
  [
    (_CUBE, {"merge_type": "stack"}, _CUBE),
    (_CUBE, {"merge_type": "concat"}, _FLAT),
    (_CUBE, {"merge_type": None}, _LIST),
    ([_CUBE], {"merge_type": "concat"}, _FLAT),
    (_FLAT, {"merge_type": "stack", "num_feature": 3}, _CUBE),
    (_FLAT, {"merge_type": "concat", "num_feature": 3}, _FLAT),
    (_FLAT, {"merge_type": None, "num_feature": 3}, _LIST),
    (_FLAT, {"merge_type": "stack"}, _FLAT),
    (_FLAT, {"merge_type": None}, _FLAT),
    (_LIST, {"merge_type": "stack"}, _CUBE),
    (_LIST, {"merge_type": "concat"}, _FLAT),
    (_LIST, {"merge_type": None}, _LIST),
  ],
)
@pytest.mark.parametrize("keep_list", [False, True])
def test_merge(given, kwargs, expected, keep_list):
  tensors = [tf.constant(t) for t in given] if isinstance(given, list) else tf.constant(given)
  found = _values(utils.merge_tensor_list(tensors, keep_list=keep_list, **kwargs))
  if keep_list and not isinstance(expected, list):
    expected = [expected]
  assert isinstance(found, list) == isinstance(expected, list)
  np.testing.assert_array_equal(found, expected)


def test_merge_leaves_the_callers_list():
  tensors = [tf.constant(_CUBE)]
  utils.merge_tensor_list(tensors, "concat")
  assert len(tensors) == 1 and tensors[0].shape == (2, 3, 4)


def test_merge_of_unknown_batch():
  with tf.Graph().as_default():
    cube = tf.compat.v1.placeholder(tf.float32, [None, 3, 4])
    assert utils.merge_tensor_list(cube, "concat").shape.as_list() == [None, 12]
    flat = tf.compat.v1.placeholder(tf.float32, [None, 12])
    assert utils.merge_tensor_list(flat, "stack", num_feature=3).shape.as_list() == [None, 3, 4]
    assert [t.shape.as_list() for t in utils.merge_tensor_list(flat, None, num_feature=3)] == [[None, 4]] * 3


def test_merge_of_unknown_width_and_batch():
  with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    flat = tf.compat.v1.placeholder(tf.float32, [None, None])
    stacked = utils.merge_tensor_list(flat, "stack", num_feature=3)
    np.testing.assert_array_equal(session.run(stacked, {flat: _FLAT}), _CUBE)


@pytest.mark.parametrize("shape", [(2,), (2, 3, 4, 5)])
def test_merge_refuses_other_ranks(shape):
  with pytest.raises(ValueError, match=r"^shape error: \(2"):
    utils.merge_tensor_list(tf.zeros(shape))


def test_merge_refuses_unknown_types():
  with pytest.raises(ValueError, match="merge_type is 'sum'; it must be 'concat', 'stack' or None"):
    utils.merge_tensor_list(tf.zeros([2, 3]), "sum")


def test_constants():
  assert (utils.MergeType.CONCAT, utils.MergeType.STACK, utils.MergeType.NONE) == ("concat", "stack", None)
  assert (utils.DCNType.VECTOR, utils.DCNType.MATRIX, utils.DCNType.MIXED) == ("vector", "matrix", "mixed")
  assert utils.EPSILON == pytest.approx(1.1754944e-38)


def test_check_dim():
  assert [utils.check_dim(d) for d in (None, 3, tf.compat.v1.Dimension(4), tf.compat.v1.Dimension(None))] == [
    -1,
    3,
    4,
    -1,
  ]
  with pytest.raises(ValueError, match="'3' is no dimension"):
    utils.check_dim("3")


def test_dim_size():
  with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    x = tf.compat.v1.placeholder(tf.float32, [None, 3])
    assert utils.dim_size(x, 1) == 3
    assert session.run(utils.dim_size(x, 0), {x: np.zeros((5, 3))}) == 5
    with pytest.raises(ValueError, match="axis is 2, but the tensor is .*; its axes are 0 to 1"):
      utils.dim_size(x, 2)


def test_gumbel_noise_has_its_mean_and_variance():
  tf.random.set_seed(1)
  noise = utils.gumbel_keys(tf.fill([200000], 2.0)).numpy() - 2.0
  assert np.isfinite(noise).all()
  assert noise.mean() == pytest.approx(0.5772, abs=0.01) and noise.var() == pytest.approx(np.pi**2 / 6, rel=0.02)


def test_continuous_topk_against_its_formula():
  w, t = np.array([[0.1, 0.7, 0.4, -0.3]]), 0.5
  expected, current, picked = [], w.copy(), np.zeros_like(w)
  for _ in range(2):
    current = current + np.log(np.maximum(1 - picked, 1.1754944e-38))
    picked = np.exp(current / t) / np.exp(current / t).sum(-1, keepdims=True)
    expected.append(picked)
  separate = utils.continuous_topk(tf.constant(w, tf.float32), 2, t, separate=True)
  np.testing.assert_allclose([s.numpy() for s in separate], expected, rtol=1e-5)
  np.testing.assert_allclose(utils.continuous_topk(tf.constant(w, tf.float32), 2, t), sum(expected), rtol=1e-5)


def test_sample_picks_k():
  tf.random.set_seed(3)
  sample = utils.sample_subset(tf.zeros([50, 10]), 3, t=0.01).numpy()
  np.testing.assert_allclose(sample.sum(-1), 3, rtol=1e-4)
  assert sample.min() >= 0 and np.sort(sample, -1)[:, -3:].min() > 0.3
