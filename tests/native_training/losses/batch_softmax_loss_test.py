# SPDX-License-Identifier: Apache-2.0
"""Batch softmax: published numbers, a NumPy twin, what is refused."""

import derivatives
import loss_runs
import numpy as np
import pytest

from monolith.native_training.losses.batch_softmax_loss import batch_softmax_loss

import tensorflow as tf  # isort: skip


def _wave(shape, s):
  return ((((7 * np.arange(int(np.prod(shape))) + s) % 11) - 5) / 10).reshape(shape).astype(np.float32)


_QUERY, _ITEM = _wave((3, 2), 1), _wave((3, 2), 4)
_INTERVAL, _R = np.array([0, 2, 4], np.float32), np.array([1, 0.5, 2], np.float32)


def _twin(query, item, interval, r, normalize=True, temperature=1.0):
  if normalize:
    query, item = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (query, item))
  frequency = 1 / np.maximum(interval, 1)
  shares = np.exp(query @ item.T / temperature) / frequency
  return -(r * np.log(np.diag(shares) / shares.sum(1))).sum()


@pytest.mark.parametrize("mode", loss_runs.MODES)
@pytest.mark.parametrize(
  "settings, expected", [({}, 3.555706), ({"normalize": False, "temperature": 0.5}, 3.548030)], ids=["plain", "sharp"]
)
def test_published_values_and_derivatives(mode, settings, expected):
  function = lambda *a: batch_softmax_loss(*a, **settings)  # noqa: E731
  value, gradients = loss_runs.run(mode, function, [_QUERY, _ITEM, _INTERVAL, _R], [0, 1, 3], unknown_batch=True)
  np.testing.assert_allclose(value, expected, rtol=1e-5)
  twin = derivatives.derive(lambda q, i, r: _twin(q, i, _INTERVAL, r, **settings), [_QUERY, _ITEM, _R])
  for found, wanted in zip(gradients, twin, strict=True):
    np.testing.assert_allclose(found, wanted, atol=1e-4)


def test_large_similarities_stay_finite():
  towers = tf.constant([[1e4, 0.0], [0.0, 1e4]])
  with tf.GradientTape() as tape:
    tape.watch(towers)
    loss = batch_softmax_loss(towers, towers[::-1], [1, 1], [1.0, 1.0], normalize=False, temperature=0.1)
  np.testing.assert_allclose(loss, 2e9, rtol=1e-6)
  assert np.isfinite(tape.gradient(loss, towers)).all()


@pytest.mark.parametrize("temperature", [0.005, 0.029, 0.03, 0.5])
@pytest.mark.parametrize("rarest", [1.0, 1e6, 1e30])
def test_far_items_and_rare_ones_keep_their_digits(temperature, rarest):
  """Whether exponents have a bound that needs no search, or not: here all other items point away from each query."""
  query, item = np.eye(4, dtype=np.float32), -np.ones((4, 4), np.float32)
  item[0] = [1, 0, 0, 0]
  arrays = [query, item, np.array([1, 2, 3, rarest], np.float32), np.ones(4, np.float32)]
  value, gradients = loss_runs.run("eager", lambda *a: batch_softmax_loss(*a, temperature=temperature), arrays, [0, 1])
  wide = [a.astype(np.float64) for a in arrays]
  np.testing.assert_allclose(value, _twin(*wide, temperature=temperature), rtol=1e-5)
  assert all(np.isfinite(g).all() for g in gradients)


def test_zero_vectors_and_no_rows():
  zeros = tf.zeros([2, 3])
  with tf.GradientTape() as tape:
    tape.watch(zeros)
    loss = batch_softmax_loss(zeros, zeros, [1, 1], [1.0, 1.0])
  np.testing.assert_allclose(loss, 2 * np.log(2), rtol=1e-6)
  assert np.isfinite(tape.gradient(loss, zeros)).all()
  assert batch_softmax_loss(np.zeros((0, 3), np.float32), np.zeros((0, 3), np.float32), [], []).numpy() == 0


def test_intervals_may_be_integers_and_narrow_dtypes_are_widened():
  value = batch_softmax_loss(tf.constant(_QUERY, tf.float16), _ITEM, [0, 2, 4], _R)
  assert value.dtype == tf.float32
  np.testing.assert_allclose(value, 3.555706, rtol=1e-3)
  assert batch_softmax_loss(tf.constant(_QUERY, tf.float64), _ITEM, _INTERVAL, _R).dtype == tf.float64


@pytest.mark.parametrize("temperature", [0, -0.5])
def test_temperature_must_be_positive(temperature):
  with pytest.raises(ValueError, match=f"temperature should be positive, while got {temperature}"):
    batch_softmax_loss(_QUERY, _ITEM, _INTERVAL, _R, temperature=temperature)


def test_shapes_that_would_broadcast_are_refused():
  with pytest.raises(ValueError, match=r"r is \(3, 1\) but query is \(3, 2\); pass one number a row"):
    batch_softmax_loss(_QUERY, _ITEM, _INTERVAL, _R[:, None])
  with pytest.raises(ValueError, match=r"item_step_interval is \(1,\)"):
    batch_softmax_loss(_QUERY, _ITEM, [1.0], _R)
  with pytest.raises(ValueError, match=r"query is \(3, 2\) and item \(2, 2\); pass two \[B, k\] tensors"):
    batch_softmax_loss(_QUERY, _ITEM[:2], _INTERVAL, _R)
