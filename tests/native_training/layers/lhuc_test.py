# SPDX-License-Identifier: Apache-2.0
"""LHUCTower: published numbers, a NumPy twin, names, overrides for the gates, batch normalization, configs."""

import numpy as np
import pytest

from monolith.core import keras_versions
from monolith.native_training.layers import lhuc
from monolith.native_training.layers.lhuc import LHUCTower

import tensorflow as tf  # isort: skip

# What a caller would write, with inputs: (class, settings, shapes of inputs).
EXAMPLES = {
  "LHUCTower": (LHUCTower, {"output_dims": [5, 2]}, (4, 6)),
  "LHUCTower two inputs": (LHUCTower, {"output_dims": (5, 2), "lhuc_output_dims": [3], "activations": ["prelu", "tanh"],
                                       "lhuc_use_bias": False}, [(4, 6), (4, 3)]),
}  # fmt: skip


def _random(shapes):
  if isinstance(shapes, list):
    return [_random(s) for s in shapes]
  return np.random.default_rng(sum(shapes)).normal(0, 0.5, shapes).astype(np.float32)


@pytest.mark.parametrize("name", EXAMPLES)
def test_what_every_layer_promises(check_layer, name):
  cls, settings, shapes = EXAMPLES[name]
  check_layer(cls, settings, _random(shapes))


def _twin(h, z, *weights):
  tower, gates = weights[:4], weights[4:]
  for i in range(2):
    h = h @ tower[2 * i] + tower[2 * i + 1]
    h = np.maximum(h, 0) if i == 0 else h
    g = np.maximum(z @ gates[4 * i] + gates[4 * i + 1], 0) @ gates[4 * i + 2] + gates[4 * i + 3]
    h = h * 2 / (1 + np.exp(-g))
  return h


def test_published_values_and_gradients(run_layer, wave, derive):
  inputs = [wave((2, 3), 2), wave((2, 2), 5)]
  shapes = [(3, 2), (2, 1), (2, 2), (2, 2), (2, 2), (2, 1)]
  seeds = [(0, 3), (1, 6), (2, 4), (3, 5), (4, 6), (5, 7)]
  weights = [w for s, (k, b) in zip(shapes, seeds, strict=True) for w in (wave(s, k), wave(s[1:], b))]
  outputs, input_gradients, weight_gradients = run_layer(
    lambda: LHUCTower([2, 1], lhuc_output_dims=[2], use_weight_norm=False), inputs, weights
  )
  np.testing.assert_allclose(outputs, [[0.279430], [0.268839]], atol=1e-5)
  wanted = derive(lambda *a: (_twin(*a).ravel() * [1, 2]).sum(), [*inputs, *weights])
  for found, w in zip([*input_gradients, *weight_gradients], wanted, strict=True):
    np.testing.assert_allclose(found, w, atol=1e-4)


def test_gates_of_one_average_at_first():
  layer = LHUCTower([3], initializers="zeros", use_weight_norm=False)
  np.testing.assert_allclose(layer.lhuc_layers[0](tf.ones([2, 4])), np.ones((2, 3)))


def test_one_input_stands_for_both(wave):
  x, layer = wave((4, 3), 1), LHUCTower([2, 2])
  np.testing.assert_array_equal(layer(x), layer((x, x)))


def test_any_rank():
  layer = LHUCTower([4, 2])
  assert layer([tf.ones([2, 5, 3]), tf.ones([2, 5, 6])]).shape == (2, 5, 2)


def _full(**settings):
  layer = LHUCTower(
    [50, 20, 1], [[50, 50], [50, 50, 20], [100, 1]], initializers="glorot_normal", name="t", lhuc_use_bias=False,
    **settings,
  )  # fmt: skip
  assert layer(tf.ones([100, 100])).shape.as_list() == [100, 1]
  return layer


def test_weights_and_their_names():
  eager = {w.name: w.shape.as_list() for w in _full().trainable_weights}
  with keras_versions.keep_eager_layers(), tf.Graph().as_default():
    assert {w.name: w.shape.as_list() for w in _full().weights} == eager
  assert len(eager) == 23
  assert {n: s for n, s in eager.items() if "layer_2" in n} == {
    "t/layer_2/layer_2/dense/kernel:0": [50, 20], "t/layer_2/layer_2/dense/trainable_kernel_norm:0": [20],
    "t/layer_2/layer_2/dense/bias:0": [20],
    "t/layer_2/lhuc/dense_0/kernel:0": [100, 50], "t/layer_2/lhuc/dense_0/trainable_kernel_norm:0": [50],
    "t/layer_2/lhuc/dense_1/kernel:0": [50, 50], "t/layer_2/lhuc/dense_1/trainable_kernel_norm:0": [50],
    "t/layer_2/lhuc/dense_2/kernel:0": [50, 20], "t/layer_2/lhuc/dense_2/trainable_kernel_norm:0": [20],
  }  # fmt: skip


def test_names_with_batch_norm():
  def names():
    return [w.name for w in _full(activations=["prelu", "relu", None], enable_batch_normalization=True).weights]

  eager = names()
  with keras_versions.keep_eager_layers(), tf.Graph().as_default():
    assert names() == eager
  gammas = {n for n in eager if n.endswith("gamma:0")}
  assert {n for n in gammas if "lhuc" not in n} == {
    "t/batch_norm/gamma:0", "t/layer_1/layer_1/batch_norm/gamma:0", "t/layer_2/layer_2/batch_norm/gamma:0",
  }  # fmt: skip
  assert "t/layer_1/lhuc/BatchNorm/in/gamma:0" in gammas and "t/layer_1/p_re_lu/alpha:0" in eager


_X = np.random.default_rng(0).normal(5, 3, (16, 3)).astype(np.float32)


def _normalizing():
  return LHUCTower([2], use_weight_norm=False, enable_batch_normalization=True, lhuc_enable_batch_normalization=False)


def _normalized_twin(layer, training):
  x = (_X - _X.mean(0)) / np.sqrt(_X.var(0) + 1e-3) if training else _X / np.sqrt(1 + 1e-3)
  gate = layer.lhuc_layers[0].get_layer(0).kernel_var.numpy()
  return x @ layer.blocks[0][0].kernel_var.numpy() * 2 / (1 + np.exp(-_X @ gate))


@pytest.mark.parametrize("training", [True, False])
def test_batch_norm_follows_training(training):
  layer = _normalizing()
  outputs = layer(_X, training=training)
  np.testing.assert_allclose(outputs, _normalized_twin(layer, training), atol=1e-3)
  moved = np.abs(layer.extra_layers[0].moving_mean).max() > 0
  assert moved == training


def test_batch_norm_follows_the_learning_phase_and_updates_the_graph(in_graph):
  with keras_versions.learning_phase(1):
    _normalizing()(tf.constant(_X))
  updates = tf.compat.v1.get_collection(tf.compat.v1.GraphKeys.UPDATE_OPS)
  assert len(updates) == len(set(updates)) == 2


def test_kernels_are_drawn_apart():
  layer = LHUCTower([3, 3], initializers=tf.keras.initializers.RandomNormal())
  layer(tf.ones([1, 3]))
  kernels = [block[0].kernel_var for block in layer.blocks] + [g.get_layer(0).kernel_var for g in layer.lhuc_layers]
  for i, kernel in enumerate(kernels):
    assert all(np.abs(kernel.numpy() - other.numpy()).max() > 1e-4 for other in kernels[:i])


def test_gates_inherit_and_override():
  layer = LHUCTower(
    [4, 2],
    use_bias=False,
    use_learnable_weight_norm=False,
    kernel_regularizer="l2",
    lhuc_use_learnable_weight_norm=True,
    lhuc_kernel_regularizer="l1",
    lhuc_batch_normalization_momentum=0.5,
  )
  gate, dense = layer.lhuc_layers[0], layer.blocks[0][0]
  assert not gate.use_bias and not dense.use_bias
  assert gate.use_learnable_weight_norm and not dense.kernel_norm_trainable
  assert isinstance(gate.kernel_regularizer, tf.keras.regularizers.L1)
  assert isinstance(dense.kernel_regularizer, tf.keras.regularizers.L2)
  assert (gate.batch_normalization_momentum, layer.batch_normalization_momentum) == (0.5, 0.99)
  layer(tf.ones([1, 3]))
  assert len(layer.losses) == 4


def test_config_keeps_everything():
  layer = LHUCTower(
    [4, 2], [[3, 4], [2]], ["leakyrelu", "tanh"], ["ones", None], False, True, False, "l2", "l1", True, 0.9, True,
    {"rmax": 2.0}, 0.8, lhuc_use_bias=True, lhuc_kernel_regularizer="l1", lhuc_bias_regularizer="l2",
    lhuc_batch_normalization_renorm_momentum=0.7, name="t", trainable=False,
  )  # fmt: skip
  config = layer.get_config()
  assert {n for n in config if n.startswith("lhuc_")} == {
    "lhuc_output_dims", "lhuc_use_bias", "lhuc_kernel_regularizer", "lhuc_bias_regularizer",
    "lhuc_batch_normalization_renorm_momentum",
  }  # fmt: skip
  copy = dict(config)
  again = LHUCTower.from_config(config)
  assert config == copy and again.get_config() == config
  assert isinstance(again.kernel_regularizer, tf.keras.regularizers.L2)
  assert isinstance(again.lhuc_layers[0].kernel_regularizer, tf.keras.regularizers.L1)


def test_keras_files_hold_every_weight(tmp_path, wave):
  x = wave((4, 3), 1)
  model = tf.keras.Sequential([LHUCTower([3, 2], [2], ["prelu", "tanh"], enable_batch_normalization=True)])
  expected = model(x)
  model.save(tmp_path / "m.keras")
  again = tf.keras.models.load_model(tmp_path / "m.keras", custom_objects={"LHUCTower": LHUCTower}, compile=False)
  np.testing.assert_allclose(again(x), expected, atol=1e-6)


def test_instantiate():
  p = LHUCTower.params()
  p.output_dims, p.activations, p.initializers = [1, 3, 4, 5], None, tf.initializers.GlorotNormal()
  p.lhuc_use_bias = False
  layer = p.instantiate()
  assert layer.name == "LHUCTower" and not layer.lhuc_layers[0].use_bias and layer.use_bias


@pytest.mark.parametrize(
  "given, expected",
  [
    (None, [[4], [2]]), ([3], [[3, 4], [3, 2]]), ((3, 5), [[3, 5, 4], [3, 5, 2]]), ([[3, 4], [2]], [[3, 4], [2]]),
    (((3, 4), (2,)), [[3, 4], [2]]),
  ],
)  # fmt: skip
def test_widths_of_gates(given, expected):
  assert lhuc.gate_dims("t", [4, 2], given) == expected
  assert [g.output_dims for g in LHUCTower((4, 2), given).lhuc_layers] == expected


@pytest.mark.parametrize(
  "make, message",
  [
    (lambda: LHUCTower([]), r"output_dims is \[\]; give the width"),
    (lambda: LHUCTower([4, 2], [[4], [3]]), r"lhuc_output_dims is \[\[4\], \[3\]\]; give one list for each"),
    (lambda: LHUCTower([4, 2], [[4]]), r"for each of output_dims \[4, 2\], ending in its width"),
    (lambda: LHUCTower([4, 2], activations=["relu"]), "1 activations for 2 output_dims"),
    (lambda: LHUCTower([4], initializers=["ones"] * 2), "2 initializers for 1 output_dims"),
    (lambda: LHUCTower([4], lhuc_activations="relu"), "unknown arguments lhuc_activations"),
    (lambda: LHUCTower([4])([tf.ones([1, 2])] * 3), r"pass one \[B, width\], or a pair"),
    (lambda: LHUCTower([4]).build((None, None)), "with known widths"),
  ],
)
def test_wrong_arguments(make, message):
  with pytest.raises(ValueError, match=message):
    make()


def test_examples(run_examples):
  run_examples(lhuc)
