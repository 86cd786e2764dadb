# SPDX-License-Identifier: Apache-2.0
"""Gradients of gradients of the layers' ops, against those of compositions of TensorFlow's own."""

import numpy as np
import pytest

from monolith.core import keras_versions
from monolith.native_training.layers import _attention_ops, layer_ops

import tensorflow as tf  # isort: skip


def _ffm_composition(int_type):
  def cross(left, right):
    left, right = tf.reshape(left, [3, 2, 1, 5]), tf.reshape(right, [3, 1, 3, 5])
    products = left * right
    return tf.reshape(tf.reduce_sum(products, 3) if int_type == "dot" else products, [3, -1])

  return cross


_SIZES = [2, 4]


def _insight_composition(x, weight):
  parts = zip(tf.split(x, _SIZES, axis=1), tf.split(weight, _SIZES, axis=0), strict=True)
  return tf.concat([tf.matmul(a, b) for a, b in parts], axis=1)


def _interact_composition(x, x0, kernel):
  return tf.matmul(tf.reshape(x[:, :, tf.newaxis] * x0[:, tf.newaxis], [4, -1]), kernel)


def _projection_composition(own, queries, keys, of_key, of_product):
  products = tf.einsum("bth,hu->btu", queries[:, tf.newaxis] * keys, of_product)
  return own[:, tf.newaxis] + tf.einsum("bth,hu->btu", keys, of_key) + products


CASES = {
  "ffm_multiply": (lambda a, b: layer_ops.ffm(a, b, 5), _ffm_composition("multiply"), [(3, 10), (3, 15)]),
  "ffm_dot": (lambda a, b: layer_ops.ffm(a, b, 5, "dot"), _ffm_composition("dot"), [(3, 10), (3, 15)]),
  "feature_insight": (
    lambda a, b: layer_ops.feature_insight(a, b, _SIZES),
    _insight_composition,
    [(3, 6), (6, 5)],
  ),
  "interact": (layer_ops.interact, _interact_composition, [(4, 3), (4, 2), (6, 5)]),
  "project_keys": (
    _attention_ops.project_keys,
    _projection_composition,
    [(3, 4), (3, 2), (3, 5, 2), (2, 4), (2, 4)],
  ),
  "weighted_sum": (
    _attention_ops.weighted_sum,
    lambda weights, values: tf.einsum("bt,btd->bd", weights, values),
    [(3, 4), (3, 4, 5)],
  ),
  "scale_columns": (layer_ops.scale_columns, lambda x, scale: x * scale, [(5, 2, 3), (2, 3)]),
}


def _second(function, tensors):
  """Gradients of a sum over the gradients, both with weights of their own."""
  with tf.GradientTape() as outer:
    outer.watch(tensors)
    with tf.GradientTape() as inner:
      inner.watch(tensors)
      outputs = function(*tensors)
      loss = tf.reduce_sum(outputs**3)  # so that every argument meets every other
    gradients = inner.gradient(loss, tensors)
    total = tf.add_n([tf.reduce_sum(tf.sin(g) * (i + 1)) for i, g in enumerate(gradients)])
  return outer.gradient(total, tensors)


def _run(function, arrays, how):
  if how == "graph":
    with keras_versions.keep_eager_layers(), tf.Graph().as_default(), tf.compat.v1.Session() as session:
      feeds = [tf.compat.v1.placeholder(tf.float32, [*a.shape]) for a in arrays]
      outputs = function(*feeds)
      gradients = tf.gradients(tf.reduce_sum(outputs**3), feeds)
      total = tf.add_n([tf.reduce_sum(tf.sin(g) * (i + 1)) for i, g in enumerate(gradients)])
      return session.run(tf.gradients(total, feeds), dict(zip(feeds, arrays, strict=True)))
  tensors = [tf.constant(a) for a in arrays]
  run = tf.function(lambda: _second(function, tensors)) if how == "function" else lambda: _second(function, tensors)
  return [g.numpy() for g in run()]


@pytest.mark.parametrize("how", ["eager", "function", "graph"])
@pytest.mark.parametrize("case", CASES)
def test_second_derivatives_are_those_of_the_composition(case, how):
  ours, composition, shapes = CASES[case]
  random = np.random.default_rng(0)
  arrays = [random.uniform(-1, 1, shape).astype(np.float32) for shape in shapes]
  found, wanted = _run(ours, arrays, how), _run(composition, arrays, "eager")
  for f, w in zip(found, wanted, strict=True):
    assert np.abs(w).max() > 0.1, "every argument has a second derivative"
    np.testing.assert_allclose(f, w, rtol=2e-4, atol=2e-4)


def test_a_third_derivative_goes_through_the_same_gradients():
  x, x0, kernel = (tf.constant(np.random.default_rng(i).uniform(-1, 1, s), tf.float32) for i, s in enumerate(
    [(4, 3), (4, 2), (6, 5)]))  # fmt: skip

  def third(function):
    with tf.GradientTape() as tape:
      tape.watch([x, x0, kernel])
      seconds = _second(function, [x, x0, kernel])
      loss = tf.add_n([tf.reduce_sum(s) for s in seconds])
    return tape.gradient(loss, [x, x0, kernel])

  for f, w in zip(third(layer_ops.interact), third(_interact_composition), strict=True):
    np.testing.assert_allclose(f, w, rtol=1e-3, atol=1e-3)


def test_the_fid_counter_is_constant_to_second_order():
  counter = tf.constant([[1.0], [7.0]])
  with tf.GradientTape() as outer:
    outer.watch(counter)
    with tf.GradientTape() as inner:
      inner.watch(counter)
      count = layer_ops.fid_counter(counter, 5)
    gradient = inner.gradient(count, counter)
  np.testing.assert_array_equal(gradient, [[-1.0], [0.0]])
  assert outer.gradient(gradient, counter) is None
