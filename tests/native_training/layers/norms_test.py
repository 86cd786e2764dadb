# SPDX-License-Identifier: Apache-2.0
"""BatchNorm: published numbers, moving statistics, summaries."""

import numpy as np
import pytest

from monolith.native_training.layers.norms import BatchNorm

import tensorflow as tf  # isort: skip

_WEIGHTS = [np.array(a, np.float32) for a in ([0.3, -0.1], [1.5, 0.5], [0.1, -0.2], [0.5, 2.0])]
_TRAIN = [[-0.566021, 0.518586], [0.918586, -0.801064], [2.403193, -0.306195], [-1.555758, 0.188674]]
_BLENDED = [[-0.535627, 0.114674], [0.128447, -0.182710], [0.792522, -0.071191], [-0.978344, 0.040328]]
_EVAL = [[-0.548527, 0.112132], [0.087868, -0.170711], [0.724264, -0.064645], [-0.972791, 0.041421]]


def _twin(x, beta, gamma, mode, moving_mean, moving_variance, g):
  mean, variance = x.mean(0), x.var(0)
  if mode != "train":
    mean, variance = moving_mean, moving_variance
  elif g is not None:
    mean, variance = g * moving_mean + (1 - g) * mean, g * moving_variance + (1 - g) * variance
  return (x - mean) / np.sqrt(variance + 1e-6) * gamma + beta


@pytest.mark.parametrize(
  "kwargs, g, expected",
  [
    ({}, None, _TRAIN),
    ({"training_use_global_dist": True, "global_dist_momentum": 0.9}, 0.9, _BLENDED),
    ({"mode": "eval"}, None, _EVAL),
    ({"mode": "infer"}, None, _EVAL),
  ],
)
def test_published_values_and_gradients(run_layer, wave, derive, kwargs, g, expected):
  x = wave((4, 2), 2)
  outputs, input_gradient, (beta_gradient, gamma_gradient) = run_layer(lambda: BatchNorm(**kwargs), x, _WEIGHTS)
  np.testing.assert_allclose(outputs, expected, atol=1e-5)
  beta, gamma, mean, variance = _WEIGHTS
  twin = lambda *a: (_twin(*a, kwargs.get("mode", "train"), mean, variance, g).ravel() * np.arange(1, 9)).sum()  # noqa: E731
  for found, wanted in zip(
    [input_gradient, beta_gradient, gamma_gradient], derive(twin, [x, beta, gamma]), strict=True
  ):
    np.testing.assert_allclose(found, wanted, atol=1e-3)


def test_weights_and_their_names(in_graph):
  layer = BatchNorm(name="n")
  layer(tf.ones([4, 2]))
  assert [w.name for w in layer.trainable_weights] == ["n/beta_offset:0", "n/gamma_scale:0"]
  assert [w.name for w in layer.non_trainable_weights] == ["n/moving_mean:0", "n/moving_variance:0"]


def test_statistics_move_eagerly(wave):
  x, layer = wave((4, 2), 2), BatchNorm(momentum=0.9, moving_mean_initializer=1.0)
  layer(x)
  np.testing.assert_allclose(layer.moving_mean, 0.9 + 0.1 * x.mean(0), rtol=1e-5)
  np.testing.assert_allclose(layer.moving_variance, 0.9 + 0.1 * x.var(0), rtol=1e-5)


def test_statistics_are_updates_of_the_graph(in_graph, wave):
  x, layer = wave((4, 2), 2), BatchNorm(momentum=0.9)
  layer(tf.constant(x))
  updates = tf.compat.v1.get_collection(tf.compat.v1.GraphKeys.UPDATE_OPS)
  in_graph.run(tf.compat.v1.global_variables_initializer())
  in_graph.run(updates)
  np.testing.assert_allclose(in_graph.run(layer.moving_mean), 0.1 * x.mean(0), atol=1e-6)
  assert layer.losses == []


@pytest.mark.parametrize("mode", ["eval", "infer"])
def test_statistics_stay_outside_of_training(in_graph, mode):
  BatchNorm(mode=mode)(tf.ones([4, 2]))
  assert tf.compat.v1.get_collection(tf.compat.v1.GraphKeys.UPDATE_OPS) == []


def test_blending_reads_statistics_before_the_update(wave):
  x = wave((4, 2), 2)
  layer = BatchNorm(momentum=0.0, training_use_global_dist=True, global_dist_momentum=1.0, epsilon=0.0)
  np.testing.assert_allclose(layer(x), x, atol=1e-6)
  layer.set_use_global_dist(False)
  np.testing.assert_allclose(layer(x), (x - x.mean(0)) / x.std(0), atol=1e-5)


def test_statistics_of_higher_ranks_are_a_feature(wave):
  x = wave((2, 3, 4), 1)
  np.testing.assert_allclose(BatchNorm(epsilon=0.0)(x), (x - x.mean((0, 1))) / x.std((0, 1)), atol=1e-5)


def test_stopped_statistics_pass_the_plain_gradient(run_layer, wave):
  x = wave((4, 2), 2)
  _, gradient, _ = run_layer(lambda: BatchNorm(stop_grad_of_var_mean=True, center=False, scale=False), x)
  np.testing.assert_allclose(gradient, np.arange(1, 9).reshape(4, 2) / np.sqrt(x.var(0) + 1e-6), rtol=1e-4)


def test_negative_variance_counts_as_zero():
  layer = BatchNorm(mode="eval", moving_variance_initializer=-1.0, epsilon=1.0)
  np.testing.assert_allclose(layer(tf.ones([1, 2])), [[1, 1]])


@pytest.mark.parametrize("mode, suffix", [("train", "train"), ("eval", "test")])
def test_summaries(in_graph, mode, suffix):
  BatchNorm(mode=mode, name="n")(tf.ones([4, 2]))
  kinds = [op.type for op in tf.compat.v1.get_default_graph().get_operations() if "Summary" in op.type]
  names = [s.name for s in tf.compat.v1.get_collection(tf.compat.v1.GraphKeys.SUMMARIES)]
  assert sorted(kinds) == ["HistogramSummary"] * 2 + ["ScalarSummary"] * 2
  assert {f"n/n/mean_{suffix}:0", f"n/n/var_{suffix}:0"} <= set(names)


def test_config_round_trip():
  layer = BatchNorm(0.9, False, True, 0.5, 2.0, 0.1, 0.2, "l2", True, 0.3, True, 1e-3, "eval", name="n")
  assert BatchNorm.from_config(layer.get_config()).get_config() == layer.get_config()


def test_wrong_arguments():
  with pytest.raises(ValueError, match="mode is 'predict'; it must be one of train, eval, infer"):
    BatchNorm(mode="predict")
  with pytest.raises(ValueError, match="last dimension must be known"):
    BatchNorm().build((None, None))
