# SPDX-License-Identifier: Apache-2.0
"""Projections of keys and weighted sums: values, gradients, shapes and what they refuse."""

import doctests
import numpy as np
import pytest

from monolith.native_training.layers import _attention_ops
from monolith.native_training.runtime.ops import gen_monolith_ops

import tensorflow as tf  # isort: skip


def _random(*shapes, dtype=np.float32):
  random = np.random.default_rng(0)
  return [random.uniform(-1, 1, shape).astype(dtype) for shape in shapes]


def _projection_twin(own, queries, keys, of_key, of_product):
  return own[:, None] + keys @ of_key + (queries[:, None] * keys) @ of_product


def _weighted_twin(weights, values):
  return np.einsum("bt,btd->bd", weights, values)


CASES = {
  "project_keys": (_attention_ops.project_keys, _projection_twin, [(3, 4), (3, 2), (3, 5, 2), (2, 4), (2, 4)]),
  "weighted_sum": (_attention_ops.weighted_sum, _weighted_twin, [(3, 4), (3, 4, 5)]),
}
BOTH = pytest.mark.parametrize("case", CASES)


def _with_gradients(function, arrays):
  tensors = [tf.constant(a) for a in arrays]
  with tf.GradientTape() as tape:
    tape.watch(tensors)
    outputs = function(*tensors)
    flat = tf.reshape(outputs, [-1])
    loss = tf.reduce_sum(flat * tf.range(1.0, tf.size(flat) + 1))
  return outputs, tape.gradient(loss, tensors)


@BOTH
def test_values_and_gradients_of_the_twin(case, derive):
  function, twin, shapes = CASES[case]
  arrays = _random(*shapes)
  outputs, gradients = _with_gradients(function, arrays)
  np.testing.assert_allclose(outputs, twin(*arrays), rtol=1e-5, atol=1e-6)
  wanted = derive(lambda *a: (twin(*a).ravel() * np.arange(1, outputs.shape.num_elements() + 1)).sum(), arrays)
  for f, w in zip(gradients, wanted, strict=True):
    np.testing.assert_allclose(f, w, rtol=1e-4, atol=1e-3)


@BOTH
def test_gradients_by_differences(case):
  function, _, shapes = CASES[case]
  theory, numbers = tf.test.compute_gradient(function, [tf.constant(a) for a in _random(*shapes)])
  for t, n in zip(theory, numbers, strict=True):
    np.testing.assert_allclose(t, n, atol=1e-2)


@pytest.mark.parametrize("dtype, atol", [(np.float64, 1e-12), (np.float16, 0.02)])
@BOTH
def test_other_dtypes(case, dtype, atol):
  function, twin, shapes = CASES[case]
  arrays = _random(*shapes, dtype=dtype)
  found = function(*(tf.constant(a) for a in arrays))
  assert found.dtype == dtype
  np.testing.assert_allclose(found, twin(*(a.astype(np.float64) for a in arrays)), atol=atol)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("batch, keys", [(0, 5), (3, 0)])
def test_empty_inputs(batch, keys, dtype):
  arrays = _random((batch, 4), (batch, 2), (batch, keys, 2), (2, 4), (2, 4), dtype=dtype)
  tensors = [tf.constant(a) for a in arrays]
  with tf.GradientTape() as tape:
    tape.watch(tensors)
    outputs = _attention_ops.project_keys(*tensors)
  assert outputs.shape == (batch, keys, 4)
  for gradient, array in zip(tape.gradient(outputs, tensors), arrays, strict=True):
    np.testing.assert_array_equal(gradient, np.zeros_like(array))
  assert _attention_ops.weighted_sum(tf.zeros([batch, keys], dtype), tf.zeros([batch, keys, 3], dtype)).shape == (
    batch, 3)  # fmt: skip


def test_bits_are_the_same_for_any_number_of_threads():
  arrays = _random((1000, 6), (1000, 5), (1000, 7, 5), (5, 6), (5, 6), (1000, 7, 6))

  def run(threads):
    config = tf.compat.v1.ConfigProto(intra_op_parallelism_threads=threads)
    with tf.Graph().as_default(), tf.compat.v1.Session(config=config) as session:
      gradients = gen_monolith_ops.monolith_key_projection_grad(arrays[5], *arrays[1:5])
      weighted = gen_monolith_ops.monolith_weighted_sum_grad(arrays[1], arrays[2][:, :, 0], arrays[2])
      return session.run([_attention_ops.project_keys(*arrays[:5]), *gradients, *weighted])

  for one, many in zip(run(1), run(4), strict=True):
    np.testing.assert_array_equal(one, many)


def test_shapes_are_inferred():
  with tf.Graph().as_default():
    keys = tf.compat.v1.placeholder(tf.float32, [None, None, 2])
    own, queries = tf.zeros([3, 4]), tf.compat.v1.placeholder(tf.float32, [None, 2])
    kernel = tf.zeros([2, 4])
    assert _attention_ops.project_keys(own, queries, keys, kernel, kernel).shape.as_list() == [None, None, 4]
    gradients = gen_monolith_ops.monolith_key_projection_grad(tf.zeros([3, 5, 4]), queries, keys, kernel, kernel)
    assert [g.shape.as_list() for g in gradients[3:]] == [[2, 4]] * 2
    assert _attention_ops.weighted_sum(tf.zeros([3, 5]), keys).shape.as_list() == [None, 2]


@pytest.mark.parametrize("which, shape, message", [
  (0, (3, 5), r"own has shape \[3,5\]; it must be \[3,4\]"),
  (1, (3,), r"queries has shape \[3\]; pass a matrix"),
  (2, (2, 5, 2), r"keys has shape \[2,5,2\]; it must be \[3,keys of an example,2\]"),
  (2, (3, 2), r"keys has shape \[3,2\]"),
  (3, (3, 4), r"of_key has shape \[3,4\]; it must be \[2,4\]"),
  (4, (2, 5), r"of_product has shape \[2,5\]; it must be \[2,4\]"),
])  # fmt: skip
def test_projection_refuses(which, shape, message):
  shapes = [(3, 4), (3, 2), (3, 5, 2), (2, 4), (2, 4)]
  shapes[which] = shape
  with pytest.raises(tf.errors.InvalidArgumentError, match=f"MonolithKeyProjection: {message}"):
    gen_monolith_ops.monolith_key_projection(*_random(*shapes))
  with tf.Graph().as_default(), pytest.raises(ValueError, match="must be equal|rank"):
    gen_monolith_ops.monolith_key_projection(*_random(*shapes))
  if which:
    with pytest.raises(tf.errors.InvalidArgumentError, match=f"MonolithKeyProjectionGrad: {message}"):
      gen_monolith_ops.monolith_key_projection_grad(*_random((3, 5, 4), *shapes[1:]))


def test_gradient_ops_refuse_other_gradients():
  arrays = _random((3, 2), (3, 5, 2), (2, 4), (2, 4))
  with pytest.raises(tf.errors.InvalidArgumentError, match=r"grad has shape \[3,4,4\]; it must be \[3,5,4\]"):
    gen_monolith_ops.monolith_key_projection_grad(np.zeros((3, 4, 4), np.float32), *arrays)
  with pytest.raises(tf.errors.InvalidArgumentError, match=r"grad has shape \[3,3\]; it must be \[3,2\]"):
    gen_monolith_ops.monolith_weighted_sum_grad(*_random((3, 3), (3, 5), (3, 5, 2)))


@pytest.mark.parametrize("weights, values", [((3, 4), (3, 5, 2)), ((2, 5), (3, 5, 2)), ((3, 5), (3, 5))])
def test_weighted_sum_refuses(weights, values):
  with pytest.raises(tf.errors.InvalidArgumentError, match="values has shape .* pass a vector for each weight"):
    gen_monolith_ops.monolith_weighted_sum(*_random(weights, values))
  with tf.Graph().as_default(), pytest.raises(ValueError, match="must be equal|rank"):
    gen_monolith_ops.monolith_weighted_sum(*_random(weights, values))


def test_examples():
  doctests.run_examples(_attention_ops)
