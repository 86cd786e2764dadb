# SPDX-License-Identifier: Apache-2.0
"""DIN, DIEN and DMR_U2I: published numbers, NumPy twins, masks, unknown lengths, names, configs."""

import numpy as np
import pytest

from monolith.core import keras_versions
from monolith.native_training.layers import _dien, _din, _dmr
from monolith.native_training.layers.feature_seq import DIEN, DIN, DMR_U2I

import tensorflow as tf  # isort: skip

# What a caller would write, with inputs: (class, settings, inputs).
EXAMPLES = {
  "DIN": (DIN, {"hidden_units": [10, 1], "activation": "prelu"}, [(4, 10), (4, 15, 10)]),
  "DIN elementwise": (DIN, {"hidden_units": [5, 3, 1], "activation": "tanh", "mode": "elementwise", "decay": True},
                      [(4, 6), (4, 3, 6)]),
  "DIEN": (DIEN, {"num_units": 10, "activation": "tanh"}, [(4, 10), (4, 5, 10)]),
  "DIEN AUGRU": (DIEN, {"num_units": 4, "att_type": "AUGRU", "activation": "tanh"}, [(3, 4), (3, 5, 2)]),
  "DMR_U2I": (DMR_U2I, {"cmp_dim": 10, "activation": "relu"}, [(4, 10), (4, 15, 10)]),
  "DMR_U2I prelu": (DMR_U2I, {"cmp_dim": 3}, [(4, 5), (4, 6, 2)]),
}  # fmt: skip


def _random(shapes):
  random = np.random.default_rng(1)
  return [random.normal(0, 0.5, s).astype(np.float32) for s in shapes]


@pytest.mark.parametrize("name", EXAMPLES)
def test_what_every_layer_promises(check_layer, name):
  cls, settings, shapes = EXAMPLES[name]
  # Softmax takes no notice of the bias of DMR_U2I.
  check_layer(cls, settings, _random(shapes), still=("/bias:0",) if cls is DMR_U2I else ())


def _sigmoid(v):
  return 1 / (1 + np.exp(-v))


def _softmax(v, axis):
  e = np.exp(v - v.max(axis, keepdims=True))
  return e / e.sum(axis, keepdims=True)


def _weighted(values):
  return (values.ravel() * np.arange(1, values.size + 1)).sum()


def _inputs(wave):
  return [4 * wave((2, 2), 1), 4 * wave((2, 3, 2), 4)]


# DIN.


def _din_weights(wave):
  return [
    wave((8, 2), 0), np.array([1, 0.5], np.float32), wave((2,), 3),
    wave((2, 1), 1), np.array([1.5], np.float32), wave((1,), 6),
  ]  # fmt: skip


def _din_twin(q, k, *weights, mode="sum", decay=False, mask=None):
  q = np.repeat(q[:, None], k.shape[1], 1)
  scores = np.concatenate([q, k, q - k, q * k], -1)
  for i, act in enumerate((_sigmoid, lambda v: v)):
    kernel, norms, bias = weights[3 * i : 3 * i + 3]
    scores = act(scores @ (kernel / np.sqrt((kernel**2).sum(0)) * norms) + bias)
  scores = scores / np.sqrt(q.shape[-1]) if decay else scores
  scores = scores if mask is None else scores * (np.asarray(mask) >= 1)[:, :, None]
  return (scores * k).sum(1) if mode == "sum" else scores * k


_DIN_CASES = [
  ({}, None, [[-1.226864, -0.438098], [-0.923716, 1.382954]]),
  ({"decay": True}, None, [[-0.867524, -0.309782], [-0.653166, 0.977896]]),
  ({"mode": "elementwise"}, None, [[-0.075943, -0.379714], [-0.143167, 0.143167], [-1.007754, -0.201551]]),
  ({}, [[1, 1, 0], [1, 0, 0]], [[-0.219110, -0.236548], [-0.388779, 0.518372]]),
  ({"decay": True, "mode": "elementwise"}, [[1, 1, 0], [1, 0, 0]], None),
]


@pytest.mark.parametrize("settings, mask, expected", _DIN_CASES)
def test_din_published_values_and_gradients(run_layer, wave, derive, settings, mask, expected):
  inputs, weights = _inputs(wave), _din_weights(wave)
  call = {} if mask is None else {"mask": np.array(mask)}
  outputs, input_gradients, weight_gradients = run_layer(
    lambda: DIN([2, 1], activation="sigmoid", **settings), inputs, weights, **call
  )
  if expected is not None:
    np.testing.assert_allclose(outputs[0] if outputs.ndim == 3 else outputs, expected, atol=1e-5)
  twin = lambda *a: _din_twin(*a, mask=mask, **settings)  # noqa: E731
  np.testing.assert_allclose(outputs, twin(*inputs, *weights), atol=1e-5)
  wanted = derive(lambda *a: _weighted(twin(*a)), [*inputs, *weights])
  for f, w in zip([*input_gradients, *weight_gradients], wanted, strict=True):
    np.testing.assert_allclose(f, w, atol=1e-3)


def test_din_attention_is_published(wave):
  q, k = _inputs(wave)
  layer = DIN([2, 1], activation="sigmoid")
  layer([q, k])
  layer.set_weights(_din_weights(wave))
  expected = [[0.189857, -0.178959, -0.503877], [0.323982, -0.428919, -0.445781]]
  np.testing.assert_allclose(layer._scores(tf.constant(q), tf.constant(k)), expected, atol=1e-5)


def test_din_split_product_is_the_product():
  q, k, kernel, bias = _random([(3, 8), (3, 5, 8), (32, 7), (7,)])
  tiled = np.repeat(q[:, None], 5, 1)
  expected = np.concatenate([tiled, k, tiled - k, tiled * k], -1) @ kernel + bias
  found = _din.interaction_projection(q, k, tf.constant(kernel), tf.constant(bias))
  np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize(
  "mask",
  [
    np.array([[2, 1, 0], [1, 0, -1]]), np.array([[1.0, 1.5, 0.99], [1.0, 0.5, 0.0]]),
    np.array([[True, True, False], [True, False, False]]), [[1, 1, 0], [1, 0, 0]],
    [None, tf.constant([[True, True, False], [True, False, False]])],
  ],
)  # fmt: skip
def test_din_mask_of_any_kind(wave, mask):
  layer = DIN([2, 1], activation="sigmoid")
  layer(_inputs(wave))
  layer.set_weights(_din_weights(wave))
  np.testing.assert_allclose(layer(_inputs(wave), mask=mask), _DIN_CASES[3][2], atol=1e-5)


def test_din_takes_the_mask_of_the_layer_before(wave):
  layer = DIN([2, 1], activation="sigmoid")
  query, keys = tf.keras.Input([2]), tf.keras.Input([3, 2])
  model = tf.keras.Model([query, keys], layer([query, tf.keras.layers.Masking()(keys)]))
  layer.set_weights(_din_weights(wave))
  q, k = _inputs(wave)
  k[0, 2] = k[1, 1:] = 0
  np.testing.assert_allclose(model([q, k]), _DIN_CASES[3][2], atol=1e-5)


def test_din_records_attention_under_a_mask(in_graph, wave):
  q, k = _inputs(wave)
  DIN([2, 1], name="d")([tf.constant(q), tf.constant(k)])
  assert tf.compat.v1.get_collection(tf.compat.v1.GraphKeys.SUMMARIES) == []
  DIN([2, 1], name="e")([tf.constant(q), tf.constant(k)], mask=tf.ones([2, 3]))
  (summary,) = tf.compat.v1.get_collection(tf.compat.v1.GraphKeys.SUMMARIES)
  assert summary.op.type == "HistogramSummary" and summary.name.endswith("e_attention_outputs:0")


def test_din_without_activation_is_linear(wave):
  (q, k), weights = _inputs(wave), _din_weights(wave)
  layer = DIN([2, 1])
  layer([q, k])
  layer.set_weights(weights)
  tiled = np.repeat(q[:, None], 3, 1)
  scores = np.concatenate([tiled, k, tiled - k, tiled * k], -1)
  for kernel, norms, bias in (weights[:3], weights[3:]):
    scores = scores @ (kernel / np.sqrt((kernel**2).sum(0)) * norms) + bias
  np.testing.assert_allclose(layer([q, k]), (scores * k).sum(1), atol=1e-5)


def test_din_weights_and_losses():
  layer = DIN([4, 1], "prelu", regularizer="l2", name="d")
  layer([tf.ones([2, 3]), tf.ones([2, 5, 3])])
  assert {w.name: w.shape.as_list() for w in layer.trainable_weights} == {
    "d/compress_tower/dense_0/kernel:0": [12, 4], "d/compress_tower/dense_0/trainable_kernel_norm:0": [4],
    "d/compress_tower/dense_0/bias:0": [4], "d/compress_tower/p_re_lu/alpha:0": [4],
    "d/compress_tower/dense_1/kernel:0": [4, 1], "d/compress_tower/dense_1/trainable_kernel_norm:0": [1],
    "d/compress_tower/dense_1/bias:0": [1],
  }  # fmt: skip
  assert len(layer.losses) == 2


def test_din_kernels_are_drawn_apart():
  layer = DIN([2, 2, 1], initializer=tf.keras.initializers.RandomNormal())
  layer([tf.ones([1, 1]), tf.ones([1, 1, 1])])
  first, second = (layer.dense_tower.get_layer(i).kernel_var.numpy() for i in (0, 1))
  assert np.abs(first[:2] - second).max() > 1e-4


def test_din_config_keeps_mode_and_decay():
  config = DIN([2, 1], "leakyrelu", "ones", "l2", "elementwise", True, name="d", trainable=False).get_config()
  assert (config["mode"], config["decay"], config["name"], config["trainable"]) == ("elementwise", True, "d", False)
  assert DIN.from_config(config).get_config() == config


# DIEN.


def _dien_weights(layer, wave):
  weights = {
    "attention_weight": wave((2, 2), 7),
    "gru_cell/kernel": wave((2, 6), 0), "gru_cell/recurrent_kernel": wave((2, 6), 1), "gru_cell/bias": wave((2, 6), 2),
    "augru_cell/gates/kernel": wave((4, 4), 3), "augru_cell/gates/bias": wave((4,), 4),
    "augru_cell/candidate/kernel": wave((4, 2), 5), "augru_cell/candidate/bias": wave((2,), 6),
  }  # fmt: skip
  assert {w.name.removeprefix(f"{layer.name}/").removesuffix(":0") for w in layer.weights} == set(weights)
  return list(weights.values())


def _dien_twin(q, keys, attention, kernel, recurrent, bias, *cell, att_type):
  state, outputs = np.zeros_like(q), []
  for t in range(keys.shape[1]):
    x, h = np.split(keys[:, t] @ kernel + bias[0], 3, 1), np.split(state @ recurrent + bias[1], 3, 1)
    z, r = _sigmoid(x[0] + h[0]), _sigmoid(x[1] + h[1])
    state = z * state + (1 - z) * np.tanh(x[2] + r * h[2])
    outputs.append(state)
  outputs = np.stack(outputs, 1)
  scores = _softmax(np.einsum("btu,bu->bt", outputs, q @ attention.T), 1)
  gates_kernel, gates_bias, candidate_kernel, candidate_bias = cell
  state = np.zeros_like(q)
  for t in range(keys.shape[1]):
    x, a = outputs[:, t], scores[:, t : t + 1]
    r, u = np.split(_sigmoid(np.concatenate([x, state], 1) @ gates_kernel + gates_bias), 2, 1)
    c = np.tanh(np.concatenate([x, r * state], 1) @ candidate_kernel + candidate_bias)
    u = 1 - a if att_type == "AGRU" else (1 - a) * u
    state = u * state + (1 - u) * c
  return state, outputs, scores


_DIEN_CASES = [
  ("AGRU", [[0.051000, -0.300931], [0.046586, -0.290692]]),
  ("AUGRU", [[0.068513, -0.454281], [0.068494, -0.447958]]),
]


@pytest.mark.parametrize("att_type, expected", _DIEN_CASES)
def test_dien_published_values_and_gradients(run_layer, wave, derive, att_type, expected):
  inputs = [wave((2, 2), 1), wave((2, 3, 2), 4)]
  made = []

  def make():
    made.append(DIEN(2, att_type, "tanh"))
    return made[-1]

  probe = DIEN(2)
  probe(inputs)
  weights = _dien_weights(probe, wave)
  outputs, input_gradients, weight_gradients = run_layer(make, inputs, weights)
  np.testing.assert_allclose(outputs, expected, atol=1e-5)
  wanted = derive(lambda *a: _weighted(_dien_twin(*a, att_type=att_type)[0]), [*inputs, *weights])
  for f, w in zip([*input_gradients, *weight_gradients], wanted, strict=True):
    np.testing.assert_allclose(f, w, atol=1e-4)


def test_dien_parts_are_published(wave):
  inputs = [wave((2, 2), 1), wave((2, 3, 2), 4)]
  layer = DIEN(2, activation="tanh")
  layer(inputs)
  layer.set_weights(_dien_weights(layer, wave))
  interests = layer._interests(tf.transpose(inputs[1], [1, 0, 2]), tf.zeros([2, 2]))
  np.testing.assert_allclose(
    interests[:, 0], [[0.268104, 0.013451], [0.357655, -0.068115], [0.381715, -0.187056]], atol=1e-5
  )
  scores = layer._scores(tf.constant(inputs[0]), interests)
  np.testing.assert_allclose(scores[:, 0], [0.331161, 0.331602, 0.337237], atol=1e-5)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_dien_interests_are_those_of_the_keras_cell(activation):
  q, keys = _random([(3, 4), (3, 5, 2)])
  layer = DIEN(4, activation=activation)
  layer([q, keys])
  layer.set_weights(_random([w.shape for w in layer.weights]))
  expected = tf.keras.layers.RNN(layer.gru_cell, return_sequences=True)(keys)
  found = layer._interests(tf.transpose(keys, [1, 0, 2]), tf.zeros([3, 4]))
  np.testing.assert_allclose(tf.transpose(found, [1, 0, 2]), expected, atol=1e-5)


def test_dien_unknown_length(in_graph, wave):
  q, keys = tf.compat.v1.placeholder(tf.float32, [None, 2]), tf.compat.v1.placeholder(tf.float32, [None, None, 2])
  layer = DIEN(2, activation="tanh")
  outputs = layer([q, keys])
  gradients = tf.gradients(outputs, layer.trainable_weights)
  assert outputs.shape.as_list() == [None, 2]
  weights = _dien_weights(layer, wave)
  in_graph.run([v.assign(w) for v, w in zip(layer.weights, weights, strict=True)])
  for length in (3, 1, 0):
    feed = {q: wave((2, 2), 1), keys: wave((2, length, 2), 4)}
    found, *rest = in_graph.run([outputs, *gradients], feed)
    wanted = _dien_twin(*feed.values(), *weights, att_type="AGRU")[0] if length else np.zeros((2, 2))
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    assert all(np.isfinite(r).all() for r in rest)


def test_dien_forms_of_inputs(wave):
  q, keys = tf.constant(wave((2, 2), 1)), tf.constant(wave((2, 3, 2), 4))
  layer = DIEN(2)
  expected = layer([q, keys])
  for found in (layer((q, keys)), layer(q, keys=keys), layer([q, keys, tf.zeros([2, 3], tf.int32)])):
    np.testing.assert_array_equal(found, expected)
  assert DIEN(2)(q, keys=keys).shape == (2, 2), "also when it is the first call"


def test_dien_names_are_the_same_in_graphs_and_eagerly():
  def names():
    layer = DIEN(2, name="d", regularizer="l2")
    layer([tf.ones([1, 2]), tf.ones([1, 3, 4])])
    assert len(layer.losses) == 6
    return {w.name: w.shape.as_list() for w in layer.trainable_weights}

  eager = names()
  with keras_versions.keep_eager_layers(), tf.Graph().as_default():
    assert names() == eager
  assert eager["d/gru_cell/kernel:0"] == [4, 6] and eager["d/augru_cell/gates/kernel:0"] == [4, 4]


# DMR_U2I.


def _dmr_weights(wave):
  return [
    wave((3, 3), 0), wave((2, 3), 1), wave((3, 1), 2), wave((3,), 3), wave((2, 2), 4), wave((2,), 5),
  ]  # fmt: skip


def _dmr_twin(items, sequence, pos_emb, emb_weight, z, bias, kernel, dense_bias):
  alpha = _softmax((pos_emb + sequence @ emb_weight + bias) @ z, 1)
  return _sigmoid((alpha * sequence).sum(1) @ kernel + dense_bias) * items


def test_dmr_published_values_and_gradients(run_layer, wave, derive):
  inputs, weights = [wave((2, 2), 1), wave((2, 3, 2), 4)], _dmr_weights(wave)
  outputs, input_gradients, weight_gradients = run_layer(lambda: DMR_U2I(3, activation="sigmoid"), inputs, weights)
  np.testing.assert_allclose(outputs, [[-0.193930, 0.116453], [-0.050242, -0.202011]], atol=1e-5)
  wanted = derive(lambda *a: _weighted(_dmr_twin(*a)), [*inputs, *weights])
  for f, w in zip([*input_gradients, *weight_gradients], wanted, strict=True):
    np.testing.assert_allclose(f, w, atol=1e-4)


def test_dmr_alpha_is_published(wave):
  layer = DMR_U2I(3, activation="sigmoid")
  inputs = [wave((2, 2), 1), wave((2, 3, 2), 4)]
  layer(inputs)
  layer.set_weights(_dmr_weights(wave))
  alpha = tf.nn.softmax(layer._logits(tf.constant(inputs[1])), axis=1)
  np.testing.assert_allclose(alpha[0], [0.363133, 0.297606, 0.339261], atol=1e-5)


def test_dmr_weights_and_losses():
  layer = DMR_U2I(3, regularizer="l2", name="d")
  layer([tf.ones([2, 4]), tf.ones([2, 5, 6])])
  assert {w.name: w.shape.as_list() for w in layer.trainable_weights} == {
    "d/pos_emb:0": [5, 3], "d/emb_weight:0": [6, 3], "d/z_weight:0": [3, 1], "d/bias:0": [3],
    "d/dense/kernel:0": [6, 4], "d/dense/bias:0": [4], "d/p_re_lu/alpha:0": [4],
  }  # fmt: skip
  assert (layer.z_weight.numpy() == 1).all() and not layer.bias.numpy().any()
  assert len(layer.losses) == 3


# Arguments, and the sizes that upstream's own tests use.


def test_smoke(in_graph):
  q, keys = tf.ones([100, 10]), tf.ones([100, 15, 10])
  made = DIN([10, 1]), DIEN(10), DMR_U2I(10, "relu", tf.initializers.HeUniform())
  sums = [tf.reduce_sum(layer([q, keys])) for layer in made]
  in_graph.run(tf.compat.v1.global_variables_initializer())
  assert np.isfinite(in_graph.run(sums)).all()


def test_din_unknown_length(in_graph, wave):
  q, keys = tf.compat.v1.placeholder(tf.float32, [None, 2]), tf.compat.v1.placeholder(tf.float32, [None, None, 2])
  layer = DIN([2, 1], "sigmoid")
  outputs = layer([q, keys])
  gradients = tf.gradients(outputs, layer.trainable_weights)
  in_graph.run([v.assign(w) for v, w in zip(layer.weights, _din_weights(wave), strict=True)])
  for length in (3, 1, 0):
    feed = {q: wave((2, 2), 1), keys: wave((2, length, 2), 4)}
    found, *rest = in_graph.run([outputs, *gradients], feed)
    np.testing.assert_allclose(found, _din_twin(*feed.values(), *_din_weights(wave)), atol=1e-5)
    assert all(np.isfinite(r).all() for r in rest)


def test_no_keys_at_all(wave):
  q, none = wave((2, 2), 1), np.zeros((2, 0, 2), np.float32)
  np.testing.assert_array_equal(DIN([2, 1])([q, none]), np.zeros((2, 2)))
  np.testing.assert_array_equal(DIEN(2)([q, none]), np.zeros((2, 2)))


@pytest.mark.parametrize(
  "make, message",
  [
    (lambda: DIN([2, 3]), r"hidden_units is \[2, 3\]; the last must be 1"),
    (lambda: DIN([]), r"hidden_units is \[\]"),
    (lambda: DIN([1], mode="mean"), "mode is 'mean'; it must be 'sum' or 'elementwise'"),
    (lambda: DIN([1])([tf.ones([2, 3]), tf.ones([2, 4, 5])]), "give both the same width"),
    (lambda: DIN([1])(tf.ones([2, 3])), r"pass a pair of \[B, width\] and \[B, T, width\]"),
    (lambda: DIN([1])([tf.ones([2, 3]), tf.ones([2, 3])]), r"the inputs are \(2, 3\) and \(2, 3\)"),
    (lambda: DIEN(0), "num_units is 0; it must be > 0"),
    (lambda: DIEN(2, "GRU"), "att_type is 'GRU'"),
    (lambda: DIEN(2)([tf.ones([2, 3]), tf.ones([2, 4, 5])]), "but num_units is 2; make them equal"),
    (lambda: DMR_U2I(0), "cmp_dim is 0; it must be > 0"),
    (lambda: DMR_U2I(2).build([(None, 2), (None, None, 2)]), "its length must be known"),
  ],
)
def test_wrong_arguments(make, message):
  with pytest.raises(ValueError, match=message):
    make()


def test_dmr_refuses_another_length():
  layer = DMR_U2I(2)
  layer([tf.ones([2, 3]), tf.ones([2, 4, 5])])
  with pytest.raises(ValueError, match=r"the layer was built for \[4, 5\] per row; pad or cut it"):
    layer([tf.ones([2, 3]), tf.ones([2, 6, 5])])


@pytest.mark.parametrize("module", [_din, _dien, _dmr])
def test_examples(run_examples, module):
  run_examples(module)
