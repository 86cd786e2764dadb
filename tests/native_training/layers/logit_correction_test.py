# SPDX-License-Identifier: Apache-2.0
"""LogitCorrection: published numbers, extreme logits, absent sample rates."""

import numpy as np
import pytest

from monolith.native_training.layers.logit_correction import LogitCorrection

import tensorflow as tf  # isort: skip

_Z, _S = np.array([-1.5, 0, 2], np.float32), np.array([0.1, 0.5, 1], np.float32)


def _log_sigmoid(z):
  return -np.logaddexp(0, -z)


@pytest.mark.parametrize(
  "kwargs, expected",
  [
    ({}, [0.802585, 0.693147, 2]),
    ({"sample_bias": True}, [0.601172, 0, -0.126928]),
    ({"activation": "sigmoid"}, [0.690527, 0.666667, 0.880797]),
  ],
)
def test_published_values(run_layer, kwargs, expected):
  outputs, _, _ = run_layer(lambda: LogitCorrection(**kwargs), [_Z, _S])
  np.testing.assert_allclose(outputs, expected, atol=1e-5)


@pytest.mark.parametrize("sample_bias", [False, True])
def test_gradients(run_layer, derive, sample_bias):
  _, gradients, _ = run_layer(lambda: LogitCorrection(sample_bias=sample_bias), [_Z, _S])
  twin = lambda z, s: (((_log_sigmoid(z) if sample_bias else z) - np.log(s)) * [1, 2, 3]).sum()  # noqa: E731
  for found, wanted in zip(gradients, derive(twin, [_Z, _S]), strict=True):
    np.testing.assert_allclose(found, wanted, atol=1e-4)


@pytest.mark.parametrize("inputs", [(_Z, None), [_Z], _Z])
def test_no_sample_rate(inputs):
  np.testing.assert_allclose(LogitCorrection()(inputs), _Z)
  np.testing.assert_allclose(LogitCorrection(sample_bias=True)(inputs), _log_sigmoid(_Z), rtol=1e-5)


def test_no_sample_rate_in_a_graph(in_graph):
  np.testing.assert_allclose(in_graph.run(LogitCorrection()((tf.constant(_Z), None))), _Z)


def test_inputs_broadcast():
  layer = LogitCorrection()
  assert layer([np.zeros((4, 1), np.float32), _S]).shape == (4, 3)
  assert layer.compute_output_shape([(None, 1), (3,)]).as_list() == [None, 3]
  assert layer.compute_output_shape((None, 3)).as_list() == [None, 3]


def test_extreme_logits_stay_finite():
  z = tf.constant([-1e4, -100.0, 100.0, 1e4])
  with tf.GradientTape() as tape:
    tape.watch(z)
    value = LogitCorrection.safe_log_sigmoid(z)
  np.testing.assert_allclose(value, [-1e4, -100, 0, 0], atol=1e-5)
  np.testing.assert_allclose(tape.gradient(value, z), [1, 1, 0, 0], atol=1e-5)


def test_static_form():
  np.testing.assert_allclose(
    LogitCorrection.get_sample_logits(tf.constant(_Z), tf.constant(_S), False), _Z - np.log(_S), rtol=1e-5
  )


def test_config_round_trip_and_params():
  layer = LogitCorrection("sigmoid", True)
  assert LogitCorrection.from_config(layer.get_config()).get_config() == layer.get_config()
  p = LogitCorrection.params()
  p.sample_bias = True
  assert p.instantiate().sample_bias


def test_wrong_number_of_inputs():
  with pytest.raises(ValueError, match=r"got 3 inputs; pass \(logits, sample_rate\)"):
    LogitCorrection()([_Z, _S, _S])


def test_output_shape_is_that_of_the_broadcast(in_graph):
  layer = LogitCorrection()
  assert layer.compute_output_shape([tf.TensorShape([None, 1]), None]) == tf.TensorShape([None, 1])
  assert layer.compute_output_shape([(3, 1), (1, 4)]) == (3, 4)
  assert layer.compute_output_shape((7,)) == (7,)
