# SPDX-License-Identifier: Apache-2.0
"""Shampoo: published steps, the inverse root, a NumPy twin, what is refused."""

import numpy as np
import pytest

from monolith.native_training.optimizers import shampoo
from monolith.native_training.optimizers.shampoo import ShampooOptimizer

import tensorflow as tf  # isort: skip

_MODES = ("eager", "graph")


def _train(mode, make, value, gradients, slots=()):
  """Weight after each step, and slots after the last; the global step counts from 0."""
  if mode == "eager":
    weight, step, optimizer, found = tf.Variable(value), tf.Variable(0, dtype=tf.int64), make(), []
    for gradient in gradients:
      optimizer.apply_gradients([(tf.constant(gradient), weight)], global_step=step)
      found.append(weight.numpy())
    return found, [optimizer.get_slot(weight, slot).numpy() for slot in slots]
  with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    weight = tf.compat.v1.get_variable("w", initializer=value, use_resource=True)
    gradient, optimizer = tf.compat.v1.placeholder(tf.float32, np.shape(value)), make()
    step = tf.compat.v1.train.get_or_create_global_step()
    apply = optimizer.apply_gradients([(gradient, weight)], global_step=step)
    session.run(tf.compat.v1.global_variables_initializer())
    found = []
    for value in gradients:
      session.run(apply, {gradient: value})
      found.append(session.run(weight))
    return found, session.run([optimizer.get_slot(weight, slot) for slot in slots])


@pytest.mark.parametrize("mode", _MODES)
def test_published_steps(mode):
  value = np.array([[1, 2], [3, 4]], np.float32)
  gradient = np.array([[0.1, 0.2], [-0.3, 0.4]], np.float32)
  make = lambda: ShampooOptimizer(0.1, warmup=1, tau_1=1, tau_2=1)  # noqa: E731
  found, (s0, pval0) = _train(mode, make, value, [gradient] * 4, ["s0", "pval0"])
  moves = np.diff([value, *found], axis=0)
  for move, length in zip(moves, (0.01, 0.016071, 0.020237, 0.023214), strict=True):
    np.testing.assert_allclose(move, [[-length, -length], [length, -length]], atol=1e-6)
  np.testing.assert_allclose(found[-1], [[0.930478, 1.930478], [3.069522, 3.930478]], atol=1e-6)
  np.testing.assert_allclose(s0, [[0.2, 0.2], [0.2, 1]], rtol=1e-5)
  np.testing.assert_allclose(pval0, [1.599480, 0.988533], rtol=1e-5)


# The inverse root.

_DIAGONAL = np.diag([0, 0.5, 1, 2, 8]).astype(np.float32)


@pytest.mark.parametrize(
  "head, tail, values, offset",
  [
    (2, 2, [1.189207, 1, 0.840896, 0.594604], 0),
    (1, 1, [0.268759, -0.325844], 0.920448),
    (3, 3, [5.623413, 1.189207, 1, 0.840896, 0.594604], 0),
    (3, 2, [5.623413, 1.189207, 1, 0.840896, 0.594604], 0),
  ],
)
def test_inverse_root(head, tail, values, offset):
  vectors, found, found_offset = shampoo.eigen_inverse_root(tf.constant(_DIAGONAL), 4, head, tail)
  np.testing.assert_allclose(found, values, rtol=1e-5)
  np.testing.assert_allclose(found_offset, offset, atol=1e-6)
  assert vectors.shape == (5, min(5, head + tail))


def test_inverse_root_without_eigenvalues_above_the_damping():
  vectors, values, offset = shampoo.eigen_inverse_root(tf.zeros([4, 4]), 2, 1, 1, damping=0.25)
  np.testing.assert_allclose(values, [0, 0], atol=1e-6)
  np.testing.assert_allclose(offset, 2)
  assert vectors.shape == (4, 2)


def test_whole_inverse_root_is_the_matrix_power():
  matrix = np.random.default_rng(0).normal(size=(6, 6)).astype(np.float32)
  matrix = matrix @ matrix.T + np.eye(6, dtype=np.float32)
  vectors, values, offset = shampoo.eigen_inverse_root(tf.constant(matrix), 2, 3, 3)
  root = (vectors * values) @ tf.transpose(vectors) + offset * tf.eye(6)
  np.testing.assert_allclose(root @ root @ matrix, np.eye(6), atol=1e-4)


@pytest.mark.parametrize("shape", [(3,), (2, 3), (2, 3, 4)])
def test_precondition_multiplies_every_axis_by_its_root(shape):
  generator = np.random.default_rng(0)
  grad = generator.normal(size=shape)
  roots, expected = [], grad
  for axis, n in enumerate(shape):
    vectors, values, offset = generator.normal(size=(n, 2)), generator.normal(size=2), generator.normal()
    roots.append(tuple(tf.constant(a) for a in (vectors, values, np.array(offset))))
    matrix = vectors @ np.diag(values) @ vectors.T + offset * np.eye(n)
    expected = np.moveaxis(np.tensordot(matrix, expected, [[1], [axis]]), 0, axis)
  np.testing.assert_allclose(shampoo.precondition(tf.constant(grad), roots), expected, rtol=1e-10)


# A twin.


def _root_twin(matrix, p, head, tail, damping):
  n = len(matrix)
  eigenvalues, vectors = np.linalg.eigh(matrix)
  roots = np.maximum(eigenvalues, damping) ** (-1 / p)
  if head + tail >= n:
    return (vectors * roots) @ vectors.T
  above = np.nonzero(eigenvalues > damping)[0]
  first = min(above[0] if len(above) else 0, n - head - tail)
  kept = [*range(first, first + head), *range(n - tail, n)]
  between = roots[first + head : n - tail]
  offset = between.mean() if len(between) else 0.0
  return (vectors[:, kept] * (roots[kept] - offset)) @ vectors[:, kept].T + offset * np.eye(n)


def _twin(w, gradients, lr, beta_1, beta_2, warmup, tau_1, tau_2, head, tail):
  rank, d, m, pm = w.ndim, 0 * w, 0 * w, 0 * w
  g = [np.zeros((n, n)) for n in w.shape]
  s = [np.zeros((n, n)) for n in w.shape]
  roots = [np.zeros((n, n)) for n in w.shape]
  for t, grad in enumerate(gradients):
    conditioned = grad
    for axis in range(rank):
      others = [a for a in range(rank) if a != axis]
      if t % tau_2 == 0:
        g[axis] = np.tensordot(grad, grad, [others, others])
      s[axis] = s[axis] + g[axis] if beta_2 == 1 else beta_2 * s[axis] + (1 - beta_2) * g[axis]
      if t > warmup and t % tau_1 == 0:
        roots[axis] = _root_twin(s[axis], 2 * rank, head, tail, 1e-3)
      conditioned = np.moveaxis(np.tensordot(roots[axis], conditioned, [[1], [axis]]), 0, axis)
    d = d + grad**2
    m = beta_1 * m + (1 - beta_1) * grad / np.sqrt(d + 1e-30)
    pm = beta_1 * pm + (1 - beta_1) * conditioned
    share = np.clip(t / warmup - 1, 0, 1) if warmup else float(t > 0)
    w = w - lr * ((1 - share) * m + share * np.linalg.norm(m) / (np.linalg.norm(pm) + 1e-10) * pm)
    yield w


@pytest.mark.parametrize("mode", _MODES)
@pytest.mark.parametrize("shape", [(5,), (4, 6), (2, 3, 4)])
@pytest.mark.parametrize(
  "settings",
  [
    {"beta_1": 0.9, "beta_2": 1.0, "warmup": 10, "tau_1": 5, "tau_2": 2, "head": 1, "tail": 1},
    {"beta_1": 0.8, "beta_2": 0.95, "warmup": 0, "tau_1": 1, "tau_2": 1, "head": 9, "tail": 9},
  ],
  ids=["cut", "whole"],
)
def test_hundred_steps_equal_the_twin(mode, shape, settings):
  generator = np.random.default_rng(4)
  value = generator.normal(size=shape).astype(np.float32)
  gradients = generator.normal(size=(100, *shape)).astype(np.float32)
  own = {("eigen_" if k in ("head", "tail") else "") + k: v for k, v in settings.items()}
  found, _ = _train(mode, lambda: ShampooOptimizer(0.05, **own), value, gradients)
  for step, w in enumerate(_twin(value.astype(np.float64), gradients.astype(np.float64), 0.05, **settings)):
    np.testing.assert_allclose(found[step], w, atol=2e-4, err_msg=str(step))


def test_global_step_of_the_graph_counts_where_none_is_given():
  with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    step = tf.compat.v1.train.get_or_create_global_step()
    weight = tf.compat.v1.get_variable("w", initializer=[[1.0, 2.0]], use_resource=True)
    optimizer = ShampooOptimizer(0.1, warmup=0, tau_1=1, tau_2=1)
    apply = optimizer.apply_gradients([(tf.constant([[0.5, 1.0]]), weight)])
    session.run(tf.compat.v1.global_variables_initializer())
    session.run(apply)
    assert session.run(step) == 0 and not session.run(optimizer.get_slot(weight, "pval0")).any()
    session.run(step.assign_add(1))
    session.run(apply)
    assert session.run(optimizer.get_slot(weight, "pval0")).any()


def test_no_global_step_is_refused():
  with tf.Graph().as_default():
    weight = tf.compat.v1.get_variable("w", initializer=[1.0], use_resource=True)
    with pytest.raises(ValueError, match="there is no global step .* pass global_step to apply_gradients"):
      ShampooOptimizer().apply_gradients([(tf.constant([1.0]), weight)])


def test_partitioned_variables_are_refused():
  with tf.Graph().as_default():
    step = tf.compat.v1.train.get_or_create_global_step()
    with tf.compat.v1.variable_scope("", use_resource=True, partitioner=tf.compat.v1.fixed_size_partitioner(2)):
      shards = list(tf.compat.v1.get_variable("w", [4, 2]))
    with pytest.raises(ValueError, match="w/part_0:0 is a shard of a partitioned variable"):
      ShampooOptimizer().apply_gradients([(tf.ones([2, 2]), s) for s in shards], global_step=step)


@pytest.mark.parametrize(
  "settings, message",
  [
    ({"beta_1": 1}, r"beta_1 is 1; it must be in \[0, 1\)"),
    ({"beta_2": 0}, r"beta_2 is 0; it must be in \(0, 1\]"),
    ({"warmup": -1}, "warmup is -1; it must be >= 0"),
    ({"tau_1": 0}, "tau_1 is 0; it must be > 0"),
    ({"tau_2": 0}, "tau_2 is 0"),
    ({"eigen_head": 0}, "eigen_head is 0"),
    ({"eigen_tail": -2}, "eigen_tail is -2"),
    ({"damping_epsilon": 0}, "damping_epsilon is 0"),
  ],
)
def test_settings_out_of_range_are_refused(settings, message):
  with pytest.raises(ValueError, match=message):
    ShampooOptimizer(**settings)
