# SPDX-License-Identifier: Apache-2.0
"""The pairwise log-likelihood of a batch: published numbers, a NumPy twin, what is refused."""

import derivatives
import loss_runs
import numpy as np
import pytest

from monolith.native_training.losses.inbatch_auc_loss import inbatch_auc_loss
from monolith.native_training.runtime.ops import gen_monolith_ops

import tensorflow as tf  # isort: skip

_LABEL = np.array([1, 0, 0, 1], np.float32)
_LOGIT = np.array([0.5, -0.2, -0.4, 0.8], np.float32)
_GRADIENT = np.array([0.620863, -0.600754, -0.520526, 0.500417])


def _twin(label, logit):
  positive, negative = label > 0, (label <= 0) & (label > -10000)
  d = logit[positive][:, None] - logit[negative][None, :]
  return -np.logaddexp(0, -d).sum()


@pytest.mark.parametrize("mode", loss_runs.MODES)
@pytest.mark.parametrize("neg_weight", [1.0, 0.5])
def test_published_values(mode, neg_weight):
  value, (gradient,) = loss_runs.run(mode, lambda *a: inbatch_auc_loss(*a, neg_weight), [_LABEL, _LOGIT], [1])
  np.testing.assert_allclose(value, -1.320884, atol=1e-6)
  np.testing.assert_allclose(gradient, _GRADIENT * [1, neg_weight, neg_weight, 1], atol=1e-6)


@pytest.mark.parametrize("mode", loss_runs.MODES)
def test_equals_the_twin_and_its_derivative(mode):
  generator = np.random.default_rng(2)
  label = generator.choice([-10001.0, -3.0, 0.0, 1.0, 2.0], 40).astype(np.float32)
  logit = generator.normal(0, 3, 40).astype(np.float32)
  value, (gradient,) = loss_runs.run(mode, inbatch_auc_loss, [label, logit], [1], unknown_batch=True)
  np.testing.assert_allclose(value, _twin(label, logit.astype(np.float64)), rtol=1e-6)
  (expected,) = derivatives.derive(lambda z: _twin(label, z), [logit])
  np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-5)


def test_gradient_op_multiplies_by_what_comes_in():
  gradient = gen_monolith_ops.inbatch_auc_loss_grad(_LABEL, _LOGIT, 2.0, neg_weight=1.0)
  np.testing.assert_allclose(gradient, 2 * _GRADIENT, atol=2e-6)


def test_shapes_and_dtypes():
  value = inbatch_auc_loss(tf.constant([[1], [0], [0], [1]]), tf.constant(_LOGIT[:, None], tf.float64))
  assert value.shape == () and value.dtype == tf.float32
  np.testing.assert_allclose(value, -1.320884, atol=1e-6)
  half = tf.constant(_LOGIT, tf.bfloat16)
  with tf.GradientTape() as tape:
    tape.watch(half)
    value = inbatch_auc_loss(_LABEL, half)
  assert tape.gradient(value, half).dtype == tf.bfloat16


@pytest.mark.parametrize("mode", loss_runs.MODES)
@pytest.mark.parametrize(
  "label, logit",
  [([], []), ([1], [3]), ([1, 1], [0, 1]), ([0, 0], [0, 1]), ([1, 0], [1e30, -1e30]), ([1, 0], [-1e30, 1e30])],
  ids=["empty", "one", "positives", "negatives", "in order", "out of order"],
)
def test_extremes_are_finite(mode, label, logit):
  arrays = [np.array(label, np.float32), np.array(logit, np.float32)]
  value, (gradient,) = loss_runs.run(mode, inbatch_auc_loss, arrays, [1])
  assert np.isfinite(value) and np.isfinite(gradient).all()
  assert (value != 0) == (logit == [-1e30, 1e30]) == np.any(gradient != 0)


def test_bits_repeat_whatever_the_number_of_threads():
  generator = np.random.default_rng(4)
  label = (generator.random(3000) < 0.3).astype(np.float32)
  logit = generator.normal(0, 2, 3000).astype(np.float32)
  results = []
  for threads in (1, 2, 7):
    config = tf.compat.v1.ConfigProto(intra_op_parallelism_threads=threads, use_per_session_threads=True)
    with tf.Graph().as_default(), tf.compat.v1.Session(config=config) as session:
      z = tf.constant(logit)
      value = inbatch_auc_loss(label, z)
      results.append(session.run([value, *tf.gradients(value, z)]))
  for value, gradient in results[1:]:
    assert value == results[0][0]
    np.testing.assert_array_equal(gradient, results[0][1])


@pytest.mark.parametrize("neg_weight", [0.0, -1.0, 1.5, float("nan")])
def test_neg_weight_out_of_range_is_refused(neg_weight):
  with pytest.raises(tf.errors.InvalidArgumentError, match=r"neg_weight is .*; it must be in \(0, 1\]"):
    inbatch_auc_loss(_LABEL, _LOGIT, neg_weight)


def test_sizes_that_differ_are_refused():
  message = r"label is \[4\] but logit is \[3\]; give both one number a row"
  with pytest.raises(tf.errors.InvalidArgumentError, match=message):
    inbatch_auc_loss(_LABEL, _LOGIT[:3])
  with tf.Graph().as_default(), pytest.raises(ValueError, match=message):
    inbatch_auc_loss(_LABEL, _LOGIT[:3])
  with pytest.raises(tf.errors.InvalidArgumentError, match=r"grad has shape \[1\]; pass a scalar"):
    gen_monolith_ops.inbatch_auc_loss_grad(_LABEL, _LOGIT, [1.0], neg_weight=1.0)
  with tf.Graph().as_default(), pytest.raises(ValueError, match="must be rank 0"):
    gen_monolith_ops.inbatch_auc_loss_grad(_LABEL, _LOGIT, [1.0], neg_weight=1.0)


def test_shapes_are_inferred():
  with tf.Graph().as_default():
    logit = tf.compat.v1.placeholder(tf.float32, [None, 1])
    assert inbatch_auc_loss(tf.compat.v1.placeholder(tf.float32), logit).shape == ()
    gradient = gen_monolith_ops.inbatch_auc_loss_grad(logit, logit, 1.0, neg_weight=1.0)
    assert gradient.shape.as_list() == [None, 1]


def test_second_derivatives_are_refused():
  message = "InbatchAucLossGrad: second derivatives of inbatch_auc_loss are not defined; write the loss with"
  logit = tf.constant(_LOGIT)
  with tf.GradientTape() as outer, tf.GradientTape() as inner:
    outer.watch(logit)
    inner.watch(logit)
    gradient = inner.gradient(inbatch_auc_loss(_LABEL, logit), logit)
  with pytest.raises(LookupError, match=message):
    outer.gradient(gradient, logit)
  with tf.Graph().as_default():
    logit = tf.constant(_LOGIT)
    (gradient,) = tf.gradients(inbatch_auc_loss(_LABEL, logit), logit)
    with pytest.raises(LookupError, match=message):
      tf.gradients(gradient, logit)
