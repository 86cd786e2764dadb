# SPDX-License-Identifier: Apache-2.0
"""Dense: published numbers, a NumPy twin, names, shards, losses and the monitor."""

import numpy as np
import pytest

from monolith.native_training.layers.dense import Dense

import tensorflow as tf  # isort: skip


def _twin(x, kernel, *rest, norm=False, trainable=False):
  """Dense without activation, on arrays; `rest` is [norms], bias."""
  if norm:
    kernel = kernel / np.sqrt(np.maximum((kernel**2).sum(0), 1e-6))
  if trainable:
    kernel, rest = kernel * rest[0], rest[1:]
  return x @ kernel + rest[0]


def _loss(outputs):
  return (outputs.ravel() * np.arange(1, outputs.size + 1)).sum()


_CASES = [
  ({}, False, [[-0.13, 0.64], [-0.07, 0.60]]),
  ({"norm": True}, False, [[-0.072198, 0.727110], [0.037346, 0.662221]]),
  ({"norm": True, "trainable": True}, True, [[0.055604, 0.613555], [0.274693, 0.581111]]),
]


@pytest.mark.parametrize("flags, has_norms, expected", _CASES)
def test_published_values_and_gradients(run_layer, wave, derive, flags, has_norms, expected):
  x, kernel, bias = wave((2, 3), 2), wave((3, 2), 0), wave((2,), 3)
  weights = [kernel, np.array([2, 0.5], np.float32), bias] if has_norms else [kernel, bias]
  make = lambda: Dense(2, allow_kernel_norm="norm" in flags, kernel_norm_trainable="trainable" in flags)  # noqa: E731
  outputs, input_gradient, weight_gradients = run_layer(make, x, weights)
  np.testing.assert_allclose(outputs, expected, atol=1e-5)
  twin = derive(lambda *arrays: _loss(_twin(*arrays, **flags)), [x, *weights])
  for found, wanted in zip([input_gradient, *weight_gradients], twin, strict=True):
    np.testing.assert_allclose(found, wanted, atol=1e-4)


def test_last_axis_of_any_rank(run_layer, wave):
  x = wave((2, 4, 5, 3), 1)
  weights = [wave((3, 2), 0), wave((2,), 3)]
  outputs, _, _ = run_layer(lambda: Dense(2, activation="tanh"), x, weights)
  np.testing.assert_allclose(outputs, np.tanh(x @ weights[0] + weights[1]), atol=1e-6)


def test_columns_of_zeros_stay_finite(run_layer):
  outputs, gradient, weight_gradients = run_layer(
    lambda: Dense(2, kernel_initializer="zeros", allow_kernel_norm=True), np.ones((1, 3), np.float32)
  )
  assert (
    np.isfinite(outputs).all() and np.isfinite(gradient).all() and all(np.isfinite(g).all() for g in weight_gradients)
  )


def test_norms_start_as_lengths_of_the_same_draw(in_graph):
  layer = Dense(7, allow_kernel_norm=True, kernel_norm_trainable=True)
  outputs = layer(tf.ones([2, 5]))
  in_graph.run(tf.compat.v1.global_variables_initializer())
  kernel, norms, effective, y = in_graph.run([layer.kernel_var, layer.trainable_kernel_norm, layer.kernel, outputs])
  np.testing.assert_allclose(norms, np.linalg.norm(kernel, axis=0), rtol=1e-5)
  np.testing.assert_allclose(effective, kernel, rtol=1e-5)
  np.testing.assert_allclose(y, np.ones((2, 5)) @ kernel, rtol=1e-4)


def test_norms_start_as_lengths_eagerly():
  layer = Dense(7, allow_kernel_norm=True, kernel_norm_trainable=True)
  layer(tf.ones([2, 5]))
  np.testing.assert_allclose(layer.trainable_kernel_norm, np.linalg.norm(layer.kernel_var, axis=0), rtol=1e-5)


def test_names_in_a_graph(in_graph):
  layer = Dense(2, name="d", allow_kernel_norm=True, kernel_norm_trainable=True)
  with tf.compat.v1.variable_scope("tower"):
    layer(tf.ones([2, 5]))
  assert [w.name for w in layer.weights] == ["tower/d/kernel:0", "tower/d/trainable_kernel_norm:0", "tower/d/bias:0"]
  assert tf.compat.v1.trainable_variables() == layer.weights


def test_names_eagerly():
  layer = Dense(2, name="d")
  layer(tf.ones([2, 5]))
  assert [w.name for w in layer.weights] == ["d/kernel:0", "d/bias:0"]


@pytest.mark.parametrize("explicit", [True, False])
def test_shards(in_graph, explicit):
  partitioner = tf.compat.v1.variable_axis_size_partitioner(1 << 17, max_shards=5)
  kwargs = {"partitioner": partitioner} if explicit else {}
  x = np.random.default_rng(0).standard_normal((4, 294)).astype(np.float32)
  with tf.compat.v1.variable_scope("s", partitioner=None if explicit else partitioner):
    layer = Dense(
      1024,
      name="d",
      allow_kernel_norm=True,
      kernel_norm_trainable=True,
      kernel_regularizer="l2",
      optimizer="mine",
      **kwargs,
    )
    outputs = layer(x)
  shards = layer.weights[:5]
  assert [s.shape.as_list() for s in shards] == [[59, 1024]] * 4 + [[58, 1024]]
  assert [s.name for s in shards] == [f"s/d/kernel/part_{i}:0" for i in range(5)]
  assert [w.name for w in layer.weights[5:]] == ["s/d/trainable_kernel_norm:0", "s/d/bias:0"]
  assert all(w.optimizer == "mine" for w in layer.weights)
  assert shards[1]._get_save_slice_info().full_name == "s/d/kernel"
  in_graph.run(tf.compat.v1.global_variables_initializer())
  values, norms, y, (loss,) = in_graph.run([shards, layer.trainable_kernel_norm, outputs, layer.losses])
  kernel = np.concatenate(values)
  np.testing.assert_allclose(norms, np.linalg.norm(kernel, axis=0), rtol=1e-5)
  np.testing.assert_allclose(y, x @ kernel, atol=1e-4)
  np.testing.assert_allclose(loss, 0.01 * (kernel**2).sum(), rtol=1e-4)
  limit = np.sqrt(6 / (294 + 1024))
  assert 0.99 * limit < np.abs(kernel).max() <= limit, "glorot_uniform of the whole kernel, not of a shard"


def test_shards_are_one_variable_outside_of_graphs():
  layer = Dense(4, partitioner=tf.compat.v1.fixed_size_partitioner(2))
  assert layer(tf.ones([2, 6])).shape == (2, 4) and len(layer.weights) == 2


def test_gradients_reach_every_shard(in_graph):
  layer = Dense(4, partitioner=tf.compat.v1.fixed_size_partitioner(2), allow_kernel_norm=True)
  gradients = tf.gradients(layer(tf.ones([2, 6])), layer.trainable_weights)
  assert [g.shape.as_list() for g in gradients] == [[3, 4], [3, 4], [4]]


def test_regularizers_are_losses(wave):
  layer = Dense(2, kernel_regularizer=tf.keras.regularizers.L2(0.01), bias_regularizer=tf.keras.regularizers.L2(0.1))
  layer.build((None, 3))
  layer.set_weights([wave((3, 2), 0), np.array([1, 2], np.float32)])
  np.testing.assert_allclose(layer.losses, [0.0068, 0.5], rtol=1e-5)


def test_optimizer_is_on_every_variable():
  optimizer = object()
  layer = Dense(2, optimizer=optimizer, allow_kernel_norm=True, kernel_norm_trainable=True)
  layer.build((None, 3))
  assert [w.optimizer for w in layer.weights] == [optimizer] * 3


def test_fit_moves_every_weight():
  layer = Dense(2, allow_kernel_norm=True, kernel_norm_trainable=True)
  model = tf.keras.Sequential([layer])
  model.compile(tf.keras.optimizers.legacy.SGD(0.1), "mse")
  x = np.random.default_rng(0).standard_normal((8, 3)).astype(np.float32)
  model.build((None, 3))
  before = layer.get_weights()
  model.fit(x, np.ones((8, 2)), verbose=0)
  assert all(np.abs(a - b).max() > 1e-4 for a, b in zip(layer.get_weights(), before, strict=True))


# The monitor.


def test_monitor_leaves_the_outputs_alone(run_layer):
  x = np.array([[1, -1], [1, 1], [-1, -1]], np.float32)
  weights = [np.eye(2, dtype=np.float32), np.zeros(2, np.float32), np.zeros(2, np.float32)]
  outputs, _, _ = run_layer(lambda: Dense(2, activation="relu", inactive_relu_monitor=True), x, weights)
  np.testing.assert_allclose(outputs, np.maximum(x, 0))


def test_monitor_averages_the_inactive_rows_a_unit():
  layer = Dense(2, activation="relu", inactive_relu_monitor=True, inactive_relu_monitor_decay=0.25)
  layer.build((None, 2))
  layer.set_weights([np.eye(2), np.zeros(2), np.array([4.0, 4.0])])
  layer(np.array([[1, -1], [1, 1], [-1, -1]], np.float32))
  np.testing.assert_allclose(layer.inactive_relu_count_moving_avg, [0.75 * 4 + 0.25 * 1, 0.75 * 4 + 0.25 * 2])


def test_monitor_average_in_a_graph(in_graph):
  layer = Dense(2, activation="relu", inactive_relu_monitor=True)
  outputs = layer(-tf.ones([3, 2]))
  in_graph.run(tf.compat.v1.global_variables_initializer())
  in_graph.run([outputs, layer.kernel_var.assign(np.eye(2))])
  in_graph.run(outputs)
  keys = tf.compat.v1.GraphKeys
  average = layer.inactive_relu_count_moving_avg
  assert in_graph.run(average).max() > 0
  assert [v for v in tf.compat.v1.get_collection(keys.METRIC_VARIABLES) if v is average]
  assert [v for v in tf.compat.v1.get_collection(keys.GLOBAL_VARIABLES) if v is average]
  assert not [v for v in tf.compat.v1.trainable_variables() if v is average]


def test_monitor_leaves_a_histogram(in_graph):
  p = Dense.params()
  p.units, p.activation, p.inactive_relu_monitor = 10, tf.keras.activations.relu, True
  p.instantiate()(tf.ones([1, 5]))
  names = [node.name for node in tf.compat.v1.get_default_graph().as_graph_def().node]
  assert "Dense/inactive_relu_count_moving_avg_1" in names


def test_monitor_needs_relu():
  with pytest.raises(ValueError, match="inactive_relu_monitor counts zeros of relu, but activation is 'tanh'"):
    Dense(2, activation="tanh", inactive_relu_monitor=True)


# Arguments.


def test_config_round_trip():
  layer = Dense(
    3,
    "relu",
    False,
    tf.keras.initializers.Constant(0.5),
    "ones",
    "l2",
    "l1",
    True,
    True,
    None,
    True,
    0.2,
    None,
    name="n",
  )
  again = Dense.from_config(layer.get_config())
  assert again.get_config() == layer.get_config()
  x = np.ones((1, 2), np.float32)
  np.testing.assert_allclose(again(x), layer(x))


def test_params():
  p = Dense.params()
  p.units, p.kernel_initializer, p.trainable = 4, "ones", False
  layer = p.instantiate()
  assert layer.name == "Dense" and not layer.trainable
  np.testing.assert_allclose(layer(np.ones((1, 3), np.float32)), np.full((1, 4), 3.0))


def test_two_layers_with_one_initializer_differ():
  initializer = tf.keras.initializers.GlorotNormal()
  first, second = Dense(4, kernel_initializer=initializer), Dense(4, kernel_initializer=initializer)
  first.build((None, 4))
  second.build((None, 4))
  assert np.abs(first.get_weights()[0] - second.get_weights()[0]).max() > 1e-3


def test_none_is_glorot_uniform_and_input_dim_is_a_shape():
  layer = Dense(4, kernel_initializer=None, input_dim=3)
  assert isinstance(layer.kernel_initializer, tf.keras.initializers.GlorotUniform)
  assert tf.keras.Sequential([layer]).input_shape == (None, 3)


def test_double_precision():
  assert (
    Dense(2, dtype="float64", allow_kernel_norm=True, kernel_norm_trainable=True)(np.ones((2, 3))).dtype == tf.float64
  )


def test_wrong_arguments():
  with pytest.raises(ValueError, match="units is 0; it must be > 0"):
    Dense(0)
  with pytest.raises(TypeError, match="dtype is int32; a Dense layer computes in floating point"):
    Dense(2, dtype="int32").build((None, 3))
  with pytest.raises(ValueError, match="last dimension must be known"):
    Dense(2).build((None, None))
  with pytest.raises(AttributeError, match="has no kernel before it is built"):
    Dense(2).kernel  # noqa: B018


def test_output_shape():
  assert Dense(2).compute_output_shape((None, 5, 3)).as_list() == [None, 5, 2]
  with tf.Graph().as_default():
    pass
  inputs = tf.keras.Input([None, 3])
  assert Dense(2)(inputs).shape.as_list() == [None, None, 2]
