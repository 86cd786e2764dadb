# SPDX-License-Identifier: Apache-2.0
"""Crosses: published numbers, NumPy twins with their gradients, shapes, configs, and what the layers refuse."""

from monolith.native_training import layers
from monolith.native_training.layers import (
  _all_int, _can, _cdot, _cin, _dcn, _group_int, feature_cross,
)  # fmt: skip
from monolith.native_training.layers.feature_cross import CAN, CIN, DCN, AllInt, CDot, GroupInt

import doctests
import numpy as np
import pytest
import tensorflow as tf


def wave(shape, s):
  """W(shape, s), row-major, element i = (((7i + s) mod 11) - 5) / 10."""
  return ((((7 * np.arange(int(np.prod(shape))) + s) % 11) - 5) / 10).reshape(shape).astype(np.float32)


def _floats(*values):
  return [np.array(v, np.float32) for v in values]


# NumPy twins: arrays in the order inputs, weights.


def sigmoid(x):
  return 1 / (1 + np.exp(-x))


def relu(x):
  return np.maximum(x, 0)


def softmax(x):
  e = np.exp(x - x.max(-1, keepdims=True))
  return e / e.sum(-1, keepdims=True)


def mlp_twin(x, weights, *activations):
  """Dense layers with normalized kernels; weights are kernel, norms and bias of each."""
  for activation, kernel, norms, bias in zip(activations, weights[::3], weights[1::3], weights[2::3], strict=True):
    x = activation(x @ (kernel / np.sqrt(np.maximum((kernel**2).sum(0), 1e-6)) * norms) + bias)
  return x


def _identity(x):
  return x


def group_int_twin(num_left, interaction_type):
  def twin(*arrays):
    left, right = np.stack(arrays[:num_left], 1), np.stack(arrays[num_left:4], 1)
    products = (left[:, :, None] * right[:, None]).reshape(len(left), -1, left.shape[-1])
    if interaction_type == "dot":
      return products.sum(-1)
    if len(arrays) > 4:
      products = products * mlp_twin(products, arrays[4:], relu, _identity)
    return products.reshape(len(left), -1)

  return twin


def all_int_twin(x, kernel, bias):
  return (x @ (x.transpose(0, 2, 1) @ kernel + bias)).reshape(len(x), -1)


def cdot_twin(x, project, *tower):
  projected = x.transpose(0, 2, 1) @ project
  compressed = mlp_twin(projected.reshape(len(x), -1), tower, np.tanh, _identity)
  crossed = x @ compressed.reshape(projected.shape)
  return np.concatenate([crossed.reshape(len(x), -1), compressed], 1)


def can_twin(user, item, layer_num=2, is_seq=False, is_stacked=True):
  dim, u = user.shape[-1], user
  for part in np.split(item, layer_num, axis=1):
    shape = (len(user), *([1] * (user.ndim - 3)), dim, dim)
    kernel, bias = part[:, : dim * dim].reshape(shape), part[:, dim * dim :]
    u = u[:, None] if user.ndim == 2 else u
    u = np.tanh(u @ kernel + bias.reshape((len(user), *([1] * (u.ndim - 2)), dim)))
    u = u[:, 0] if user.ndim == 2 else u
  return u.sum(-2) if is_seq else u


def dcn_twin(dcn_type, layer_num, num_experts=2, norm=False):
  def twin(x0, *weights):
    weights, x = list(weights), x0

    def kernel():
      k = weights.pop(0)
      return k / np.sqrt(np.maximum((k**2).sum(0), 1e-6)) * weights.pop(0) if norm else k

    for _ in range(layer_num):
      if dcn_type == "mixed":
        u, v, c, g = ([kernel() for _ in range(num_experts)] for _ in range(4))
        bias = weights.pop(0)
        gates = softmax(np.concatenate([x @ g_e for g_e in g], -1))
        experts = [x0 * (np.tanh(np.tanh(x @ v_e) @ c_e) @ u_e.T + bias) for u_e, v_e, c_e in zip(u, v, c, strict=True)]
        x = sum(gates[..., e : e + 1] * experts[e] for e in range(num_experts)) + x
      elif dcn_type == "vector":
        x = x0 * (x @ kernel()) + weights.pop(0) + x
      else:
        x = x0 * (x @ kernel() + weights.pop(0)) + x
    return x

  return twin


def cin_twin(x0, *weights, activation=sigmoid):
  """As the paper has it: the outer product of all layers is made."""
  x, pooled = x0, []
  for i in range(0, len(weights), 2):
    pairs = np.einsum("bhd,bmd->bdhm", x, x0).reshape(len(x0), x0.shape[2], -1)
    y = pairs @ weights[i][0] + weights[i + 1]
    x = (activation(y) if i + 2 < len(weights) else y).transpose(0, 2, 1)
    pooled.append(x.sum(2))
  return np.concatenate(pooled, 1)


# What every layer is put through: how it is made, inputs, weights, its twin, and published outputs if there are any.

X, E = wave((2, 3), 2), wave((1, 3, 2), 4)
_PAIR = (_floats([[-0.4, 0.3]], [[-0.2, 0.5]]), _floats([[0, -0.4]], [[0.3, -0.1]]))
_CIN_WEIGHTS = [wave((1, 9, 2), 1), wave((2,), 3), wave((1, 6, 1), 2), wave((1,), 6)]
_ATTENTION = [wave((2, 2), 0), *_floats([1, 0.5]), wave((2,), 3), wave((2, 1), 1), *_floats([1.5]), wave((1,), 6)]
_TOWER = [
  wave((4, 3), 0),
  *_floats([1, 0.5, 2]),
  wave((3,), 3),
  wave((3, 4), 1),
  *_floats([1, 0.5, 2, 1.5]),
  wave((4,), 6),
]
_MIXED = [
  *(wave((3, 2), s) for s in (0, 1, 2, 3)),
  *(wave((2, 2), s) for s in (4, 5)),
  *(wave((3, 1), s) for s in (6, 7)),
]

CASES = {
  "group_int": (GroupInt, _PAIR, [], group_int_twin(2, "multiply"), [[0, -0.12, -0.12, -0.03, 0, -0.20, -0.06, -0.05]]),
  "group_int_dot": (
    lambda: GroupInt("dot"), _PAIR, [], group_int_twin(2, "dot"), [[-0.12, -0.15, -0.20, -0.11]]
  ),
  "group_int_attention": (
    lambda: GroupInt(use_attention=True, attention_units=[2, 1]), _PAIR, _ATTENTION, group_int_twin(2, "multiply"),
    [[0, -0.059983, -0.062089, -0.015522, 0, -0.093287, -0.031145, -0.025954]],
  ),
  "group_int_uneven": (
    GroupInt, ([wave((3, 5), 1)], [wave((3, 5), s) for s in (2, 3, 4)]), [], group_int_twin(1, "multiply"), None
  ),
  "all_int": (
    lambda: AllInt(2), E, [wave((3, 2), 1), wave((2,), 2)], all_int_twin,
    [[0.048, -0.182, -0.024, -0.032, -0.096, 0.118]],
  ),
  "cdot": (
    lambda: CDot(2, [3], "tanh"), E, [wave((3, 2), 1), *_TOWER], cdot_twin,
    [[-0.772715, -0.160338, -0.195856, -0.172688, 0.381003, -0.185038, 0.471793, -0.452304, 1.451072, 0.411137]],
  ),
  "can": (
    lambda: CAN(2, "tanh"), (E, wave((1, 12), 2)), [], can_twin,
    [[[-0.071126, -0.203453], [-0.029725, -0.219315], [0.013571, -0.235740]]],
  ),
  "can_sequence": (
    lambda: CAN(2, "tanh", is_seq=True, is_stacked=False), (E, wave((1, 12), 2)), [],
    lambda u, i: can_twin(u, i, is_seq=True), [[-0.087279, -0.658509]],
  ),
  "can_stacked_sequence": (
    lambda: CAN(2, "tanh", is_seq=True), (wave((2, 3, 4, 2), 1), wave((2, 12), 2)), [],
    lambda u, i: can_twin(u, i, is_seq=True), None,
  ),
  "can_single": (
    lambda: CAN(2, "tanh", is_stacked=False), (wave((2, 2), 1), wave((2, 12), 2)), [], can_twin, None
  ),
  "dcn_vector": (
    lambda: DCN(2, "vector"), X, [wave((3, 1), 1), wave((1, 3), 3), wave((3, 1), 2), wave((1, 3), 4)],
    dcn_twin("vector", 2), [[-0.843, 0.724, 0.3], [-1.02896, 0.54672, 0.11776]],
  ),
  "dcn_matrix": (
    lambda: DCN(2), X, [wave((3, 3), 1), wave((1, 3), 3), wave((3, 3), 2), wave((1, 3), 4)],
    dcn_twin("matrix", 2), [[-0.13392, 0.43296, 0], [-0.25404, 0.27447, -0.12893]],
  ),
  "dcn_mixed": (
    lambda: DCN(1, "mixed", num_experts=2, low_rank=2), X, [*_MIXED, wave((1, 3), 8)], dcn_twin("mixed", 1),
    [[-0.399175, 0.366435, 0], [-0.533244, 0.273696, -0.048731]],
  ),
  "dcn_norm": (
    lambda: DCN(1, allow_kernel_norm=True), X, [wave((3, 3), 1), *_floats([1, 0.5, 2], [[0, 0, 0]])],
    dcn_twin("matrix", 1, norm=True), [[-0.270458, 0.394655, 0], [-0.380305, 0.271938, -0.105345]],
  ),
  "dcn_of_features": (
    lambda: DCN(2, "mixed", num_experts=3, low_rank=2), wave((2, 4, 3), 1),
    [w for i in (0, 1) for w in (
      *(wave((3, 2), i + s) for s in range(6)), *(wave((2, 2), i + s) for s in range(3)),
      *(wave((3, 1), i + s) for s in range(3)), wave((1, 3), i),
    )],
    dcn_twin("mixed", 2, 3), None,
  ),
  "cin": (lambda: CIN([2, 1], "sigmoid"), E, _CIN_WEIGHTS, cin_twin, [[0.841874, 1.296250, 0.391482]]),
  "cin_three_layers": (
    lambda: CIN([4, 2, 3], "sigmoid"), wave((2, 3, 5), 4),
    [wave((1, 9, 4), 1), wave((4,), 3), wave((1, 12, 2), 2), wave((2,), 4), wave((1, 6, 3), 5), wave((3,), 1)],
    cin_twin, None,
  ),
  "cin_one_layer": (lambda: CIN([2]), wave((2, 3, 5), 4), [wave((1, 9, 2), 1), wave((2,), 3)], cin_twin, None),
}  # fmt: skip


def _loss(outputs):
  return (outputs.ravel() * np.arange(1, outputs.size + 1)).sum()


@pytest.mark.parametrize("case", CASES)
def test_values_and_gradients(case, run_layer, derive):
  make, inputs, weights, twin, expected = CASES[case]
  outputs, input_gradients, weight_gradients = run_layer(make, inputs, weights)
  flat = tf.nest.flatten(inputs)
  np.testing.assert_allclose(outputs, twin(*flat, *weights), atol=1e-5)
  if expected is not None:
    np.testing.assert_allclose(outputs, expected, atol=1e-5)
  found = [*tf.nest.flatten(input_gradients), *weight_gradients]
  wanted = derive(lambda *arrays: _loss(twin(*arrays)), [*flat, *weights])
  for f, w in zip(found, wanted, strict=True):
    np.testing.assert_allclose(f, w, rtol=1e-4, atol=2e-4)


@pytest.mark.parametrize("case", CASES)
def test_config_goes_round(case):
  layer = CASES[case][0]()
  again = type(layer).from_config(layer.get_config())
  assert again.get_config() == layer.get_config()
  inputs = CASES[case][1]
  assert [w.shape for w in _built(again, inputs).weights] == [w.shape for w in _built(layer, inputs).weights]


def _built(layer, inputs):
  layer(tf.nest.map_structure(tf.constant, inputs))
  return layer


@pytest.mark.parametrize("case", CASES)
def test_unknown_batches_of_any_size(case, in_graph):
  make, inputs, weights, twin, _ = CASES[case]
  feeds = tf.nest.map_structure(lambda a: tf.compat.v1.placeholder(tf.float32, [None, *a.shape[1:]]), inputs)
  layer = make()
  outputs = layer(feeds)
  in_graph.run(tf.compat.v1.global_variables_initializer())
  in_graph.run([v.assign(w) for v, w in zip(layer.weights, weights, strict=True)])
  for repeats in (0, 1, 3):
    arrays = [np.concatenate([a] * repeats) if repeats else a[:0] for a in tf.nest.flatten(inputs)]
    found = in_graph.run(outputs, dict(zip(tf.nest.flatten(feeds), arrays, strict=True)))
    assert outputs.shape.as_list() == [None, *found.shape[1:]]
    inferred = layer.compute_output_shape(tf.nest.map_structure(lambda a: tf.TensorShape([None, *a.shape[1:]]), inputs))
    assert inferred.as_list() == outputs.shape.as_list()
    if repeats:
      np.testing.assert_allclose(found, twin(*arrays, *weights), atol=1e-5)


@pytest.mark.parametrize("case", CASES)
def test_params_make_the_layer(case):
  layer = CASES[case][0]()
  p = type(layer).params()
  config = layer.get_config()
  p.set(**{name: value for name, value in config.items() if name in p and name != "dtype"})
  assert p.instantiate().get_config() == config


@pytest.mark.parametrize("make, inputs", [
  (lambda i: AllInt(3, i), E), (lambda i: CDot(2, [3], initializer=i), E),
  (lambda i: DCN(2, "mixed", i, None, 2, 2), X), (lambda i: CIN([3, 3], initializer=i), E),
  (lambda i: GroupInt(use_attention=True, attention_units=[2, 1], initializer=i), _PAIR),
])  # fmt: skip
def test_every_weight_draws_its_own_values(make, inputs):
  initializer = tf.keras.initializers.GlorotNormal()
  one, two = (_built(make(initializer), inputs).get_weights() for _ in range(2))
  drawn = [w.ravel() for w in one + two if w.ndim > 1 and np.abs(w).max() > 0]
  assert len(drawn) > 1
  assert all(np.abs(a[:2] - b[:2]).max() > 0 for i, a in enumerate(drawn) for b in drawn[:i])


@pytest.mark.parametrize("make, inputs, num_losses", [
  (lambda: AllInt(3, regularizer="l2"), E, 1), (lambda: CDot(2, [3], regularizer="l2"), E, 3),
  (lambda: DCN(2, "mixed", None, "l2", 2, 2), X, 16), (lambda: DCN(1, regularizer="l2", allow_kernel_norm=True), X, 1),
  (lambda: CIN([3, 3], regularizer="l2"), E, 2),
  (lambda: GroupInt(use_attention=True, attention_units=[2, 1], regularizer="l2"), _PAIR, 2),
])  # fmt: skip
def test_regularizers_are_of_kernels(make, inputs, num_losses):
  assert len(_built(make(), inputs).losses) == num_losses


@pytest.mark.parametrize("case", ["group_int_attention", "all_int", "cdot", "dcn_mixed", "dcn_norm", "cin"])
def test_a_step_moves_every_weight(case):
  make, inputs, weights, _, _ = CASES[case]
  layer = _built(make(), inputs)
  layer.set_weights([w + np.float32(0.01) for w in weights])
  before = layer.get_weights()
  with tf.GradientTape() as tape:
    loss = tf.reduce_sum(layer(tf.nest.map_structure(tf.constant, inputs)) ** 2)
  tf.keras.optimizers.legacy.SGD(0.1).apply_gradients(
    zip(tape.gradient(loss, layer.trainable_weights), layer.trainable_weights, strict=True)
  )
  assert all(np.abs(a - b).max() > 1e-7 for a, b in zip(layer.get_weights(), before, strict=True))


# Names of weights are those of checkpoints.


def _names(layer, inputs):
  layer(tf.nest.map_structure(tf.constant, inputs))
  return [w.name for w in layer.weights]


@pytest.mark.parametrize("make, inputs, expected", [
  (lambda: AllInt(2, name="n"), E, ["n/allint_kernel", "n/allint_bias"]),
  (lambda: CDot(2, [], name="n"), E, [
    "n/project_weight", "n/compress_tower/dense_0/kernel", "n/compress_tower/dense_0/trainable_kernel_norm",
    "n/compress_tower/dense_0/bias",
  ]),
  (lambda: GroupInt(use_attention=True, attention_units=[1], name="n"), _PAIR, [
    f"n/groupint_attention_mlp/dense_0/{w}" for w in ("kernel", "trainable_kernel_norm", "bias")
  ]),
  (lambda: DCN(2, "vector", name="n"), X, ["n/kernel_0", "n/bias_0", "n/kernel_1", "n/bias_1"]),
  (lambda: DCN(1, allow_kernel_norm=True, name="n"), X, ["n/kernel_0", "n/kernel_0/trainable_norm", "n/bias_0"]),
  (lambda: DCN(1, "mixed", num_experts=2, low_rank=1, name="n"), X, [
    *(f"n/{letter}_0_{e}" for letter in "UVCG" for e in (0, 1)), "n/bias_0"
  ]),
  (lambda: CIN([2, 1], name="n"), E, [f"n/conv1d_{i}/{w}" for i in (0, 1) for w in ("kernel", "bias")]),
])  # fmt: skip
@pytest.mark.parametrize("graph", [False, True])
def test_weight_names(make, inputs, expected, graph, in_graph):
  if graph:
    found = _names(make(), inputs)
  else:
    with tf.init_scope():
      found = _names(make(), inputs)
  assert found == [f"{name}:0" for name in expected]


# GroupInt.


@pytest.mark.parametrize("interaction_type", ["multiply", "dot"])
def test_group_int_gradient_of_the_sum(interaction_type):
  left, right = tf.nest.map_structure(tf.constant, _PAIR)
  with tf.GradientTape() as tape:
    tape.watch([left, right])
    loss = tf.reduce_sum(GroupInt(interaction_type)((left, right)))
  for found, expected in zip(tape.gradient(loss, [left, right]), ([[0.3, -0.5]], [[-0.6, 0.8]]), strict=True):
    for gradient in found:
      np.testing.assert_allclose(gradient, expected, atol=1e-6)


@pytest.mark.parametrize("interaction_type, width", [("multiply", 2), ("dot", 1)])
@pytest.mark.parametrize("keep_list", [False, True])
def test_group_int_out_types(interaction_type, width, keep_list):
  pair = tf.nest.map_structure(tf.constant, _PAIR)
  flat = GroupInt(interaction_type)(pair).numpy()
  for out_type, expected in [("concat", flat), ("stack", flat.reshape(1, 4, width))]:
    layer = GroupInt(interaction_type, out_type=out_type, keep_list=keep_list)
    found = layer(pair)
    assert isinstance(found, list) == keep_list
    np.testing.assert_array_equal(found[0] if keep_list else found, expected)
    inferred = layer.compute_output_shape(tf.nest.map_structure(lambda a: a.shape, pair))
    assert (inferred[0] if keep_list else inferred) == expected.shape
  pieces = GroupInt(interaction_type, out_type=None)(pair)
  assert [p.shape for p in pieces] == [(1, width)] * 4
  np.testing.assert_array_equal(np.concatenate(pieces, 1), flat)


def test_group_int_of_one_pair_is_stacked_too():
  one = [tf.ones([2, 3])]
  assert GroupInt(out_type="stack")((one, one)).shape == (2, 1, 3)


def test_group_int_of_ones():
  left, right = [tf.ones([100, 10])] * 5, [tf.ones([100, 10])] * 3
  assert float(tf.reduce_sum(GroupInt()((left, right)))) == 15000
  assert feature_cross.FFM is GroupInt


def test_group_int_refuses():
  with pytest.raises(ValueError, match="interaction_type is 'sum'; it must be 'multiply' or 'dot'"):
    GroupInt("sum")
  with pytest.raises(ValueError, match="out_type is 'sum'; it must be 'concat', 'stack' or None"):
    GroupInt(out_type="sum")
  with pytest.raises(ValueError, match="but interaction_type is 'dot'; use 'multiply'"):
    GroupInt("dot", use_attention=True, attention_units=[1])
  for units in (None, [], [4, 2]):
    with pytest.raises(ValueError, match="attention_units is .*; the last must be 1, one weight a pair"):
      GroupInt(use_attention=True, attention_units=units)
  ones = tf.ones([2, 3])
  with pytest.raises(ValueError, match=r"features of widths \[3, 4\]; all must have the same"):
    GroupInt()(([ones], [tf.ones([2, 4])]))
  with pytest.raises(ValueError, match="1 features on the left and 0 on the right"):
    GroupInt().build(([(2, 3)], []))
  with pytest.raises(ValueError, match=r"pass a pair \(left, right\) of lists"):
    GroupInt()(ones)


# AllInt and CDot.


@pytest.mark.parametrize("out_type, shape", [("concat", (1, 6)), ("stack", (1, 3, 2)), (None, (1, 2))])
def test_all_int_out_types(out_type, shape):
  layer = AllInt(2, out_type=out_type)
  found = layer(E)
  assert [f.shape for f in (found if out_type is None else [found])] == [shape] * (3 if out_type is None else 1)
  assert layer.compute_output_shape(E.shape) == ([shape] * 3 if out_type is None else shape)
  assert isinstance(AllInt(2, out_type="stack", keep_list=True)(E), list)


def test_all_int_without_bias():
  layer = AllInt(2, use_bias=False)
  layer(E)
  assert len(layer.weights) == 1
  np.testing.assert_allclose(layer(E), all_int_twin(E, layer.get_weights()[0], 0), atol=1e-6)


def test_all_int_and_cdot_refuse():
  with pytest.raises(ValueError, match="cmp_dim is 0; it must be > 0"):
    AllInt(0)
  with pytest.raises(ValueError, match="out_type is 'x'"):
    AllInt(1, out_type="x")
  with pytest.raises(ValueError, match="project_dim is -1; it must be > 0"):
    CDot(-1, [2])
  for layer in (AllInt(2), CDot(2, [2])):
    with pytest.raises(ValueError, match=r"the input is \(2, 3\); it must be \[B, num_feature, dim\]"):
      layer(X)


# CAN.


def test_can_of_ones():
  assert float(tf.reduce_sum(CAN()((tf.ones([128, 10, 10]), tf.ones([128, 220]))))) == 1420800
  layer = CAN(is_seq=True)
  assert float(tf.reduce_sum(layer((tf.ones([128, 10, 12, 10]), tf.ones([128, 220]))))) == 17049600


def test_can_of_one_example_keeps_its_batch():
  assert CAN(is_stacked=False)((tf.ones([1, 2]), tf.ones([1, 12]))).shape == (1, 2)


def test_can_takes_sequences_of_unknown_length(in_graph):
  user, item = (
    tf.compat.v1.placeholder(tf.float32, [None, 3, None, 2]),
    tf.compat.v1.placeholder(tf.float32, [None, 12]),
  )
  outputs = CAN(2, "tanh", is_seq=True)((user, item))
  arrays = wave((2, 3, 4, 2), 1), wave((2, 12), 2)
  assert outputs.shape.as_list() == [None, 3, 2]
  found = in_graph.run(outputs, {user: arrays[0], item: arrays[1]})
  np.testing.assert_allclose(found, can_twin(*arrays, is_seq=True), atol=1e-6)


def test_can_refuses():
  with pytest.raises(ValueError, match="layer_num is 0; it must be > 0"):
    CAN(0)
  with pytest.raises(ValueError, match=r"pass a pair \(user, item\)"):
    CAN()(tf.ones([2, 3, 2]))
  with pytest.raises(ValueError, match="with is_seq=True and is_stacked=True it must have 4 axes"):
    CAN(is_seq=True)((tf.ones([2, 3, 2]), tf.ones([2, 12])))
  with pytest.raises(ValueError, match=r"item is \(2, 11\); 2 layers of 2 units take .* = 12 columns"):
    CAN()((tf.ones([2, 3, 2]), tf.ones([2, 11])))


# DCN.


def test_dcn_gates_are_a_softmax_over_experts():
  """With gates that are all 1, twice the experts would be twice the cross."""
  weights = [np.concatenate([w]) for w in (wave((3, 2), 0), wave((3, 2), 2), wave((2, 2), 4), wave((3, 1), 6))]
  one = _built(DCN(1, "mixed", num_experts=1, low_rank=2), X)
  one.set_weights([*weights, wave((1, 3), 8)])
  two = _built(DCN(1, "mixed", num_experts=2, low_rank=2), X)
  two.set_weights([w for pair in zip(weights, weights, strict=True) for w in pair] + [wave((1, 3), 8)])
  np.testing.assert_allclose(one(X), two(X), atol=1e-6)


def test_dcn_norms_start_as_the_lengths_of_the_same_draw():
  plain = DCN(1, "mixed", num_experts=2, low_rank=2, allow_kernel_norm=True)
  plain(X)
  by_name = {w.name.split("/", 1)[1]: w.numpy() for w in plain.weights}
  norms = [name for name in by_name if name.endswith("trainable_norm:0")]
  assert len(norms) == 8
  for name in norms:
    kernel = by_name[name.replace("/trainable_norm", "")]
    np.testing.assert_allclose(by_name[name], np.linalg.norm(kernel, axis=0), rtol=1e-5)


def test_dcn_biases_train_with_normalized_kernels():
  layer = _built(DCN(1, allow_kernel_norm=True), X)
  with tf.GradientTape() as tape:
    loss = tf.reduce_sum(layer(X) ** 2)
  bias = next(w for w in layer.weights if "bias" in w.name)
  assert np.abs(tape.gradient(loss, bias)).max() > 0.01


@pytest.mark.parametrize("mode", ["train", "eval", "infer"])
@pytest.mark.parametrize("use_dropout", [False, True])
def test_dcn_drops_in_training_only(mode, use_dropout):
  tf.random.set_seed(1)
  x = tf.ones([2000, 3])
  layer = DCN(1, "vector", "zeros", use_dropout=use_dropout, keep_prob=0.8, mode=mode)
  found = layer(x).numpy()
  if use_dropout and mode == "train":
    assert set(np.unique(found)) == {np.float32(0), np.float32(1.25)}
    assert (found == 0).mean() == pytest.approx(0.2, abs=0.02)
  else:
    np.testing.assert_array_equal(found, x)


def test_dcn_refuses():
  with pytest.raises(ValueError, match="layer_num is 0; it must be > 0"):
    DCN(0)
  with pytest.raises(ValueError, match="dcn_type is 'tensor'; it must be one of vector, matrix, mixed"):
    DCN(1, "tensor")
  with pytest.raises(ValueError, match="num_experts is 2 and low_rank 0; 'mixed' needs both > 0"):
    DCN(1, "mixed", num_experts=2)
  with pytest.raises(ValueError, match=r"keep_prob is 0; it must be in \(0, 1\]"):
    DCN(keep_prob=0)
  with pytest.raises(ValueError, match="mode is 'predict'; it must be one of train, eval, infer"):
    DCN(mode="predict")
  with pytest.raises(ValueError, match=r"the input is \(4,\); it must be \[B, d\] or \[B, n, d\]"):
    DCN()(tf.ones([4]))


# CIN.


def test_cin_refuses():
  for units in ([], None, [3, 0]):
    with pytest.raises(ValueError, match="hidden_uints is .*; give at least one layer, each of at least 1"):
      CIN(units)
  with pytest.raises(ValueError, match=r"the input is \(2, 3\); it must be \[B, num_feature, dim\]"):
    CIN([2])(X)


# All.


@pytest.mark.parametrize("module", [_all_int, _can, _cdot, _cin, _dcn, _group_int])
def test_examples(module):
  doctests.run_examples(module)


def test_the_package_has_them():
  for name in feature_cross.__all__:
    assert getattr(layers, name) is getattr(feature_cross, name) and name in layers.__all__


@pytest.mark.parametrize("case", ["dcn_norm", "cin", "cdot", "all_int"])
def test_saved_models_compute_the_same(case, tmp_path):
  make, inputs, _, _, _ = CASES[case]
  model = tf.keras.Sequential([make()])
  expected = model(inputs).numpy()
  tf.saved_model.save(model, str(tmp_path / "m"))
  np.testing.assert_allclose(tf.saved_model.load(str(tmp_path / "m"))(inputs), expected, rtol=1e-6)
