# SPDX-License-Identifier: Apache-2.0
"""MLP: published numbers, a NumPy twin, layer counts, names, batch normalization, configs."""

import json

import numpy as np
import pytest

from monolith.core import hyperparams, keras_versions
from monolith.native_training.layers import advanced_activations as ad_acts
from monolith.native_training.layers.mlp import MLP

import tensorflow as tf  # isort: skip


def _weights(wave):
  parts = [((3, 2), 0, [1, 0.5], 3), ((2, 2), 1, [0.8, 1.2], 4), ((2, 1), 2, [1.5], 6)]
  return [a for shape, k, n, b in parts for a in (wave(shape, k), np.array(n, np.float32), wave(shape[1:], b))]


def _twin(x, *weights):
  for i, act in enumerate((lambda v: np.maximum(v, 0), np.tanh, lambda v: v)):
    kernel, norms, bias = weights[3 * i : 3 * i + 3]
    x = act(x @ (kernel / np.sqrt((kernel**2).sum(0)) * norms) + bias)
  return x


def test_published_values_and_gradients(run_layer, wave, derive):
  x, weights = wave((2, 3), 2), _weights(wave)
  outputs, input_gradient, weight_gradients = run_layer(lambda: MLP([2, 2, 1], ["relu", "tanh", None]), x, weights)
  np.testing.assert_allclose(outputs, [[-0.679725], [-0.636138]], atol=1e-5)
  twin = derive(lambda *arrays: (_twin(*arrays).ravel() * [1, 2]).sum(), [x, *weights])
  for found, wanted in zip([input_gradient, *weight_gradients], twin, strict=True):
    np.testing.assert_allclose(found, wanted, atol=1e-4)


def test_instantiate():
  p = MLP.params()
  p.output_dims, p.activations, p.initializers = [1, 3, 4, 5], None, tf.initializers.GlorotNormal()
  assert isinstance(p.instantiate(), MLP)
  assert isinstance(MLP(output_dims=[1, 3, 4, 5], activations=None, initializers=tf.initializers.HeUniform()), MLP)


def test_params_hold_these_names():
  own = {
    "output_dims", "activations", "initializers", "kernel_regularizer", "use_weight_norm", "use_learnable_weight_norm",
    "use_bias", "bias_regularizer", "enable_batch_normalization", "batch_normalization_momentum",
    "batch_normalization_renorm", "batch_normalization_renorm_clipping", "batch_normalization_renorm_momentum",
  }  # fmt: skip
  p = MLP.params()
  assert {n for n, _ in p.iter_params()} == own | {"cls", "name", "trainable", "dtype", "dynamic"} | set(
    hyperparams.allowed_kwargs
  )
  assert (p.cls, p.name, p.trainable, p.dtype, p.dynamic) == (MLP, "MLP", True, None, False)


def test_serde():
  p = MLP.params()
  p.output_dims, p.initializers = [1, 3, 4, 5], tf.initializers.GlorotNormal()
  layer = p.instantiate()
  config = layer.get_config()
  copy = dict(config)
  again = MLP.from_config(config)
  assert config == copy, "the caller's config stays whole"
  assert again.get_config() == config and again.name == "MLP"


def test_call_with_everything(in_graph):
  p = MLP.params()
  p.output_dims = [100, 50, 10, 1]
  p.enable_batch_normalization = True
  p.activations = ["relu", tf.keras.activations.tanh, tf.keras.layers.PReLU, None]
  p.initializers = tf.initializers.GlorotNormal()
  layer = p.instantiate()
  total = tf.reduce_sum(layer(tf.ones([100, 100])))
  in_graph.run(tf.compat.v1.global_variables_initializer())
  assert np.isfinite(in_graph.run(total))
  assert len(layer._stacked_layers) == 11
  assert [w.name for w in layer.trainable_weights][:7] == [
    "MLP/BatchNorm/in/gamma:0", "MLP/BatchNorm/in/beta:0", "MLP/dense_0/kernel:0",
    "MLP/dense_0/trainable_kernel_norm:0",
    "MLP/dense_0/bias:0", "MLP/BatchNorm/out/gamma:0", "MLP/BatchNorm/out/beta:0",
  ]  # fmt: skip
  assert "MLP/p_re_lu/alpha:0" in [w.name for w in layer.weights]


_NAMES = [
  "BatchNorm/in/gamma",
  "dense_0/kernel",
  "BatchNorm/out/gamma",
  "dense_1/kernel",
  "BatchNorm/out_1/gamma",
  "dense_2/kernel",
]


def _named():
  layer = MLP([2, 2, 2], enable_batch_normalization=True, use_bias=False, use_learnable_weight_norm=False, name="m")
  layer(tf.ones([2, 3]))
  return layer


def test_names_are_the_same_in_graphs_and_eagerly():
  eager = [w.name for w in _named().weights]
  with keras_versions.keep_eager_layers(), tf.Graph().as_default():
    layer = _named()
  assert [w.name for w in layer.weights] == eager
  assert [n for w in layer.trainable_weights if not (n := w.name).endswith("beta:0")] == [f"m/{n}:0" for n in _NAMES]


def test_default_layers_have_fixed_names():
  for _ in range(2):
    layer = MLP([2, 2, 1])
    assert [s.name for s in layer._stacked_layers] == ["dense_0", "re_lu", "dense_1", "re_lu", "dense_2"]
    assert layer.get_layer(1) is layer._stacked_layers[1]


@pytest.mark.parametrize("single", ["tanh", tf.tanh, ad_acts.Tanh, ad_acts.Tanh()])
def test_single_activation_never_reaches_the_last_layer(single):
  kinds = [type(s).__name__ for s in MLP([2, 2, 1], single)._stacked_layers]
  assert kinds == ["Dense", "Tanh", "Dense", "Tanh", "Dense"]


def test_one_activation_object_for_many_layers_is_copied():
  prelu = tf.keras.layers.PReLU(alpha_initializer="ones")
  layer = MLP([2, 3, 1], prelu)
  layer(tf.ones([1, 4]))
  assert [a.alpha.shape.as_list() for a in layer.activations[:2]] == [[2], [3]]
  twice = MLP([2, 3], [prelu, prelu])
  twice(tf.ones([1, 4]))
  assert twice.activations[0] is prelu and twice.activations[1] is not prelu


def test_unregistered_function_is_an_activation(run_layer):
  x = np.array([[1.0, 2.0]], np.float32)
  outputs, _, _ = run_layer(
    lambda: MLP([2], [tf.exp], use_weight_norm=False, use_learnable_weight_norm=False), x, [np.eye(2), np.zeros(2)]
  )
  np.testing.assert_allclose(outputs, np.exp(x), rtol=1e-6)


def test_initializers():
  one = MLP([3, 3], initializers=tf.keras.initializers.GlorotNormal())
  one.build((None, 3))
  first, second = (one.get_layer(i).get_weights()[0] for i in (0, 2))
  assert np.abs(first - second).max() > 1e-3
  listed = MLP([3, 3], initializers=["ones"])
  assert isinstance(listed.get_layer(0).kernel_initializer, tf.keras.initializers.Ones)
  assert isinstance(listed.get_layer(2).kernel_initializer, tf.keras.initializers.GlorotUniform)


def test_regularizers_are_losses_of_the_tower():
  layer = MLP([2, 1], kernel_regularizer="l2", bias_regularizer="l2")
  layer(tf.ones([1, 3]))
  assert len(layer.losses) == 4


def test_fit_moves_every_weight():
  layer = MLP([3, 2])
  model = tf.keras.Sequential([layer])
  model.compile(tf.keras.optimizers.legacy.SGD(0.1), "mse")
  x = np.random.default_rng(0).standard_normal((32, 3)).astype(np.float32)
  model.build((None, 3))
  before = layer.get_weights()
  model.fit(x, np.ones((32, 2)), verbose=0)
  moved = [np.abs(a - b).max() > 1e-6 for a, b in zip(layer.get_weights(), before, strict=True)]
  assert all(moved), [w.name for w, m in zip(layer.weights, moved, strict=True) if not m]


# Batch normalization.

_X = np.random.default_rng(0).standard_normal((16, 3)).astype(np.float32) * 3 + 5


def _normalizing():
  return MLP([2], enable_batch_normalization=True, use_weight_norm=False, use_learnable_weight_norm=False, name="m")


def _expected(kernel, training):
  x = (_X - _X.mean(0)) / np.sqrt(_X.var(0) + 1e-3) if training else _X / np.sqrt(1 + 1e-3)
  return x @ kernel


@pytest.mark.parametrize("training", [True, False, None])
def test_batch_norm_follows_the_argument(run_layer, training):
  kernel = np.random.default_rng(1).standard_normal((3, 2)).astype(np.float32)
  weights = [np.ones(3), np.zeros(3), kernel, np.zeros(2), np.zeros(3), np.ones(3)]
  outputs, _, _ = run_layer(lambda: _normalizing(), _X, None if training else weights, training=training)
  if not training:
    np.testing.assert_allclose(outputs, _expected(kernel, False), atol=1e-4)
  else:
    np.testing.assert_allclose(outputs.mean(0), 0, atol=1e-4)


def test_batch_norm_follows_the_learning_phase(in_graph):
  with keras_versions.learning_phase(1):
    layer = _normalizing()
    outputs = layer(tf.constant(_X))
  in_graph.run(tf.compat.v1.global_variables_initializer())
  y, kernel = in_graph.run([outputs, layer.get_layer(1).kernel_var])
  np.testing.assert_allclose(y, _expected(kernel, True), atol=1e-3)


def test_moving_statistics_are_updates_of_the_graph(in_graph):
  layer = _normalizing()
  layer(tf.constant(_X), training=True)
  updates = tf.compat.v1.get_collection(tf.compat.v1.GraphKeys.UPDATE_OPS)
  assert len(updates) == len(set(updates)) == 2
  in_graph.run(tf.compat.v1.global_variables_initializer())
  in_graph.run(updates)
  np.testing.assert_allclose(in_graph.run(layer.get_layer(0).moving_mean), 0.01 * _X.mean(0), rtol=1e-4)


def test_moving_statistics_move_eagerly():
  layer = _normalizing()
  layer(_X, training=True)
  np.testing.assert_allclose(layer.get_layer(0).moving_mean, 0.01 * _X.mean(0), rtol=1e-4)
  before = layer.get_layer(0).moving_mean.numpy()
  layer(_X)
  np.testing.assert_array_equal(layer.get_layer(0).moving_mean, before)


def test_renorm_settings_arrive():
  layer = MLP(
    [2, 2],
    enable_batch_normalization=True,
    batch_normalization_momentum=0.9,
    batch_normalization_renorm=True,
    batch_normalization_renorm_clipping={"rmax": 2.0},
    batch_normalization_renorm_momentum=0.8,
  )
  norm = layer.get_layer(0)
  assert (norm.momentum, norm.renorm, dict(norm.renorm_clipping), norm.renorm_momentum) == (
    0.9,
    True,
    {"rmax": 2.0},
    0.8,
  )
  assert MLP.from_config(layer.get_config()).get_config() == layer.get_config()
  assert np.isfinite(layer(_X, training=True)).all()


# Arguments.


def test_activations_come_back_from_a_config(wave):
  layer = MLP(
    [2, 2, 1], ["leakyrelu", "sigmoid2", "prelu"], kernel_regularizer="l2", use_weight_norm=False, dtype="float64"
  )
  again = MLP.from_config(layer.get_config())
  assert again.get_config() == layer.get_config()
  x = wave((2, 3), 1)
  expected = layer(x)
  again(x)
  again.set_weights(layer.get_weights())
  np.testing.assert_allclose(again(x), expected)
  assert expected.dtype == tf.float64


def test_activation_that_has_no_text_is_refused():
  with pytest.raises(ValueError, match="activation Flatten cannot be written to a config"):
    MLP([1], [tf.keras.layers.Flatten()]).get_config()


@pytest.mark.parametrize(
  "make, message",
  [
    (lambda: MLP([]), r"output_dims is \[\]; give the width"),
    (lambda: MLP([1, 2], ["relu"]), "1 activations for 2 output_dims"),
    (lambda: MLP([1], initializers=["ones", "ones"]), "2 initializers for 1 output_dims"),
  ],
)
def test_wrong_arguments(make, message):
  with pytest.raises(ValueError, match=message):
    make()


@pytest.mark.parametrize("batch_norm", [False, True])
def test_feature_insight_is_recorded_and_changes_nothing(batch_norm):
  """What a feature adds to the first layer is its columns times its rows of the normalized kernel."""
  x = np.random.default_rng(0).normal(size=(4, 5)).astype(np.float32)
  segments = {"segment_names": ["a", "b"], "segment_sizes": [2, 3], "label": np.float32([0, 1, 1, 0])}
  with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    layer = MLP([3, 1], enable_batch_normalization=batch_norm)
    plain, recorded = layer(x), layer(x, **segments)
    (summary,) = tf.compat.v1.get_collection(tf.compat.v1.GraphKeys.SUMMARIES)
    session.run(tf.compat.v1.global_variables_initializer())
    plain, recorded, summary, kernel = session.run([plain, recorded, summary, layer.get_layer(int(batch_norm)).kernel])
  np.testing.assert_array_equal(plain, recorded)
  (value,) = tf.compat.v1.Summary.FromString(summary).value
  assert value.tag.endswith("mlp_1/feature_insight_data")
  head = json.loads(value.metadata.plugin_data.content)
  assert head == {
    "tag_type": "fi_train", "segment_names": ["a", "b"], "segment_sizes": [2, 3], "group_index": [0, 1],
  }  # fmt: skip
  normalized = x / np.sqrt(1 + 1e-3) if batch_norm else x  # moving statistics at their start
  expected = [np.square(normalized[:, part] @ kernel[part]).sum(1) for part in (slice(0, 2), slice(2, 5))]
  np.testing.assert_allclose(tf.make_ndarray(value.tensor), np.stack([*expected, [0, 1, 1, 0]], 1), rtol=1e-5)


def test_wrong_calls():
  layer, x = MLP([1]), tf.ones([1, 2])
  with pytest.raises(ValueError, match="segment_sizes add up to 3, but input_tensor is"):
    layer(x, segment_names=["a"], segment_sizes=[3])
  with pytest.raises(ValueError, match="unknown arguments segments"):
    layer(x, segments=1)


def test_tuple_dims_and_output_shape():
  layer = MLP((4, 2))
  assert layer.compute_output_shape((None, 7, 3)).as_list() == [None, 7, 2]
  assert layer(tf.keras.Input([3])).shape.as_list() == [None, 2]
