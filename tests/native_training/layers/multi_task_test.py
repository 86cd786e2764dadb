# SPDX-License-Identifier: Apache-2.0
"""MMoE and SNR: published numbers, NumPy twins, losses, forms of arguments, names, configs."""

import numpy as np
import pytest

from monolith.core import keras_versions
from monolith.native_training.layers import _mmoe, _snr
from monolith.native_training.layers.multi_task import SNR, MMoE, hard_concrete_ste

import tensorflow as tf  # isort: skip

_MIXED_DIMS = [[12, 6, 4], [6, 4], [8, 4]]

# What a caller would write, with inputs: (class, settings, shapes of inputs).
EXAMPLES = {
  "MMoE": (MMoE, {"num_tasks": 2, "expert_output_dims": [4], "expert_activations": "relu", "num_experts": 3}, (5, 6)),
  "MMoE topk": (MMoE, {"num_tasks": 2, "expert_output_dims": _MIXED_DIMS, "expert_activations": "tanh",
                       "gate_type": "topk", "top_k": 2}, (5, 6)),
  "MMoE two inputs": (MMoE, {"num_tasks": 1, "expert_output_dims": [3, 4],
                             "expert_activations": ["prelu", ["tanh", "sigmoid2"]]}, [(5, 6), (5, 2)]),
  "SNR": (SNR, {"num_out_subnet": 3, "out_subnet_dim": 4, "mode": "infer"}, [(5, 2), (5, 2)]),
  "SNR aver": (SNR, {"num_out_subnet": 2, "out_subnet_dim": 4, "snr_type": "aver", "mode": "eval", "use_ste": True},
               [(5, 4), (5, 4), (5, 4)]),
}  # fmt: skip


def _random(shapes):
  if isinstance(shapes, list):
    return [_random(s) for s in shapes]
  return np.random.default_rng(sum(shapes)).normal(0, 0.5, shapes).astype(np.float32)


@pytest.mark.parametrize("name", EXAMPLES)
def test_what_every_layer_promises(check_layer, name):
  cls, settings, shapes = EXAMPLES[name]
  check_layer(cls, settings, _random(shapes))


def _weighted(values):
  return (np.ravel(values) * np.arange(1, np.size(values) + 1)).sum()


def _assert_all_close(found, wanted, atol):
  for f, w in zip(found, wanted, strict=True):
    np.testing.assert_allclose(f, w, atol=atol)


# MMoE.


def _softmax(v):
  e = np.exp(v - v.max(-1, keepdims=True))
  return e / e.sum(-1, keepdims=True)


def _gates_twin(x, gate_weight, count, k):
  gates = _softmax((x @ gate_weight).reshape(len(x), -1, count))
  if k is not None:
    gates = np.where(gates >= np.sort(gates, -1)[..., -k, None], gates, 0)
    gates = gates / gates.sum(-1, keepdims=True)
  return gates


def _mmoe_twin(x, gate_weight, *experts, count, k=None):
  outputs = np.stack([x @ experts[2 * e] + experts[2 * e + 1] for e in range(count)], 1)
  gates = _gates_twin(x, gate_weight, count, k)
  return [np.einsum("be,bed->bd", gates[:, t], outputs) for t in range(gates.shape[1])]


def _mmoe_weights(wave, count):
  experts = [w for e in range(count) for w in (wave((3, 2), e), wave((2,), e + 3))]
  return [wave((3, 2 * count), 1), *experts]


_MMOE_CASES = [
  ("softmax", 2, None,
   [[[-0.085060, 0.055786], [-0.039231, 0.080768]], [[-0.076100, -0.060702], [-0.028401, -0.101986]]]),
  ("topk", 3, 2,
   [[[-0.085060, 0.055786], [-0.001127, 0.053324]], [[-0.085060, 0.055786], [-0.037123, 0.045205]]]),
]  # fmt: skip


def _make_mmoe(gate_type, count):
  return MMoE(2, [2], "relu", gate_type=gate_type, top_k=2, num_experts=count, use_weight_norm=False)


@pytest.mark.parametrize("gate_type, count, k, expected", _MMOE_CASES)
def test_mmoe_published_values_and_gradients(run_layer, wave, derive, gate_type, count, k, expected):
  x, weights = wave((2, 3), 2), _mmoe_weights(wave, count)
  outputs, input_gradient, weight_gradients = run_layer(lambda: _make_mmoe(gate_type, count), x, weights)
  np.testing.assert_allclose(outputs, expected, atol=1e-5)
  wanted = derive(lambda *a: _weighted(_mmoe_twin(*a, count=count, k=k)), [x, *weights])
  _assert_all_close([input_gradient, *weight_gradients], wanted, 1e-3)


def test_mmoe_gates_and_loss_are_published(wave):
  x, layer = wave((2, 3), 2), _make_mmoe("topk", 3)
  layer(x)
  layer.set_weights(_mmoe_weights(wave, 3))
  layer(x)
  gates = layer.calc_gate(tf.constant(x)).numpy()
  assert gates.shape == (2, 3, 2)
  np.testing.assert_allclose(gates[0].T, [[0.591459, 0.408541, 0]] * 2, atol=1e-5)
  np.testing.assert_allclose(gates[1].T, [[0.569546, 0, 0.430454], [0.589040, 0.410960, 0]], atol=1e-5)
  (loss,) = layer.losses
  assert loss.shape == () and float(loss) == pytest.approx(0.275097 + 0.548870, abs=1e-5)


def test_mmoe_loss_against_its_twin(derive, wave):
  x, weight = wave((2, 3), 2), wave((3, 6), 1)

  def twin(x, weight):
    importance = _gates_twin(x, weight, 3, 2).sum(0)
    return (importance.var(-1) / importance.mean(-1) ** 2).sum()

  layer = _make_mmoe("topk", 3)
  layer(x)
  layer.gate_weight.assign(weight)
  with tf.GradientTape() as tape:
    inputs = tf.constant(x)
    tape.watch(inputs)
    layer(inputs)
    (loss,) = layer.losses
  assert float(loss) == pytest.approx(twin(x, weight), abs=1e-5)
  _assert_all_close(tape.gradient(loss, [inputs, layer.gate_weight]), derive(twin, [x, weight]), 1e-4)


def test_mmoe_softmax_has_no_loss(wave):
  layer = _make_mmoe("softmax", 2)
  layer(wave((2, 3), 2))
  assert layer.losses == []


def test_mmoe_equal_gates_all_stay():
  layer = _make_mmoe("topk", 3)
  np.testing.assert_allclose(_mmoe.keep_top_k(tf.constant([[0.25, 0.25, 0.5], [0.4, 0.3, 0.3]]), 2),
                             [[0.25, 0.25, 0.5], [0.4, 0.3, 0.3]])  # fmt: skip
  layer(tf.ones([4, 3]))
  np.testing.assert_allclose(layer.calc_gate(tf.ones([4, 3])), np.full((4, 3, 2), 1 / 3), rtol=1e-6)


def test_mmoe_loss_of_an_empty_batch_is_zero():
  layer = _make_mmoe("topk", 3)
  layer(tf.ones([0, 3]))
  assert float(layer.losses[0]) == 0


def test_mmoe_noise_widens_the_gates(wave):
  tf.random.set_seed(1)
  layer = MMoE(1, [2], "relu", gate_type="noise_topk", top_k=2, num_experts=3)
  x = np.repeat(wave((1, 3), 2), 4000, 0)
  layer(x)
  noise = np.zeros((3, 3), np.float32)
  noise[0] = [20, 0, -200]  # x[0] is -.3: spreads of softplus(-6), softplus(0), softplus(60)
  layer.gate_noise.assign(noise)
  layer.gate_weight.assign(np.zeros((3, 3)))
  gates = layer.calc_gate(tf.constant(x)).numpy()[:, :, 0]
  # The widest decides, and is first or last half of the time each.
  assert (gates[:, 2] > 0.99).mean() == pytest.approx(0.5, abs=0.05)
  assert (gates[:, 2] == 0).mean() == pytest.approx(0.5, abs=0.05)
  assert ((gates > 0).sum(1) <= 2).all()
  left = gates[gates[:, 2] == 0]
  logits = np.log(left[:, 1]) - np.log(left[:, 0])
  assert logits.std() == pytest.approx(np.log(2), rel=0.1)
  assert [w.name.split("/")[-1] for w in layer.weights if "gate" in w.name] == ["gate_weight:0", "gate_noise:0"]


def test_mmoe_noise_trains_its_spread(wave):
  layer = MMoE(2, [2], "relu", gate_type="noise_topk", top_k=2, num_experts=3)
  with tf.GradientTape() as tape:
    loss = tf.reduce_sum(layer(wave((4, 3), 2))[0] ** 2)
  assert np.abs(tape.gradient(loss, layer.gate_noise)).max() > 0


@pytest.mark.parametrize("gate_type", ["softmax", "topk", "noise_topk"])
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mmoe_gates_are_float32_under_a_mixed_policy(policy, gate_type):
  mmoe = MMoE(
    2, [4], "relu", gate_type=gate_type, top_k=2, num_experts=3, dtype=tf.keras.mixed_precision.Policy(policy)
  )
  x = tf.cast(_random((500, 6)), policy.removeprefix("mixed_"))
  mmoe(x)
  mmoe.gate_weight.assign(_random((6, 6)))
  outputs = mmoe(x)
  gates = mmoe.calc_gate(x)
  assert gates.dtype == tf.float32 and {o.dtype for o in outputs} == {x.dtype}
  np.testing.assert_allclose(tf.reduce_sum(gates, axis=1), np.ones((500, 2)), atol=1e-6)
  assert {loss.dtype for loss in mmoe.losses} <= {tf.float32}
  if gate_type == "softmax":
    logits = tf.cast(tf.matmul(x, tf.cast(mmoe.gate_weight, x.dtype)), tf.float64)
    wanted = tf.nn.softmax(tf.reshape(logits, [-1, 2, 3]))
    np.testing.assert_allclose(gates, tf.transpose(wanted, [0, 2, 1]), atol=1e-6)


def test_mmoe_mixed_experts_at_full_size(in_graph):
  layer = MMoE(2, [[128, 64, 64], [64, 64], [128, 64]], "relu", "glorot_normal", gate_type="topk", top_k=2, name="m")
  outputs = layer(tf.ones([100, 128]))
  assert [o.shape.as_list() for o in outputs] == [[100, 64]] * 2
  assert len(layer.weights) == 22
  in_graph.run(tf.compat.v1.global_variables_initializer())
  assert np.isfinite(in_graph.run(tf.reduce_sum(outputs)))
  assert [loss.shape.as_list() for loss in layer.losses] == [[]]


def _named():
  layer = MMoE(2, [3, 4], "prelu", num_experts=2, gate_type="noise_topk", name="m")
  layer(tf.ones([2, 5]))
  return layer


def test_mmoe_weights_and_their_names():
  eager = {w.name: w.shape.as_list() for w in _named().trainable_weights}
  with keras_versions.keep_eager_layers(), tf.Graph().as_default():
    assert {w.name: w.shape.as_list() for w in _named().weights} == eager
  assert {n: s for n, s in eager.items() if "expert_1" not in n} == {
    "m/gate_weight:0": [5, 4], "m/gate_noise:0": [5, 4],
    "m/expert_0/dense_0/kernel:0": [5, 3], "m/expert_0/dense_0/trainable_kernel_norm:0": [3],
    "m/expert_0/dense_0/bias:0": [3], "m/expert_0/p_re_lu/alpha:0": [3],
    "m/expert_0/dense_1/kernel:0": [3, 4], "m/expert_0/dense_1/trainable_kernel_norm:0": [4],
    "m/expert_0/dense_1/bias:0": [4],
  }  # fmt: skip


@pytest.mark.parametrize("initializers", [tf.keras.initializers.RandomNormal(), ["random_normal", "random_normal"]])
def test_mmoe_experts_are_drawn_apart(initializers):
  layer = MMoE(1, [3], "relu", initializers, num_experts=2)
  layer(tf.ones([1, 3]))
  first, second = (e.get_layer(0).kernel_var.numpy() for e in layer.experts)
  assert np.abs(first - second).max() > 1e-4


def test_mmoe_activation_object_is_no_experts_neighbours():
  prelu = tf.keras.layers.PReLU()
  layer = MMoE(1, [3, 2], prelu, num_experts=2)
  layer(tf.ones([1, 3]))
  assert len(layer.weights) == 1 + 2 * 7
  assert layer.experts[0].activations[0] is not layer.experts[1].activations[0]


@pytest.mark.parametrize(
  "settings, count",
  [
    ({"expert_output_dims": [[2], [2], [2]], "expert_activations": "relu"}, 3),
    ({"expert_output_dims": [2], "expert_activations": ["relu", None]}, 2),
    ({"expert_output_dims": [2], "expert_activations": None, "expert_initializers": ["ones"] * 4}, 4),
    ({"expert_output_dims": (2, 3), "expert_activations": None, "num_experts": 5}, 5),
  ],
)
def test_mmoe_number_of_experts(settings, count):
  layer = MMoE(1, **settings)
  assert len(layer.experts) == layer.num_experts == count
  assert layer(tf.ones([1, 3]))[0].shape[0] == 1


def test_mmoe_batch_norm_of_experts_follows_training():
  x = np.random.default_rng(0).normal(5, 3, (16, 3)).astype(np.float32)
  layer = MMoE(1, [2], None, num_experts=1, use_weight_norm=False, enable_batch_normalization=True)
  layer(x)
  kernel = layer.experts[0].get_layer(1).kernel_var.numpy()
  expected = (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-3) @ kernel
  np.testing.assert_allclose(layer(x, training=True)[0], expected, atol=1e-4)
  assert np.abs(layer(x, training=False)[0] - expected).max() > 0.1


def test_mmoe_config_keeps_activations():
  layer = MMoE(
    2, [[3, 2], [2]], ["leakyrelu", "tanh"], ["ones", ["zeros"]], "topk", 2, None, "l2", True, False, False, "l1",
    True, 0.9, True, {"rmax": 2.0}, 0.8, name="m", trainable=False,
  )  # fmt: skip
  config = layer.get_config()
  assert config["expert_activations"][0] == ["{'name': 'LeakyReLU', 'alpha': 0.3}", None]
  again = MMoE.from_config(config)
  assert again.get_config() == config
  assert type(again.experts[0].activations[0]) is tf.keras.layers.LeakyReLU and again.name == "m"


def test_mmoe_instantiate():
  p = MMoE.params()
  p.num_tasks, p.num_experts, p.expert_output_dims, p.expert_activations = 2, 3, [128, 64, 64], "relu"
  p.expert_initializers = tf.initializers.GlorotNormal()
  assert len(p.instantiate().experts) == 3


@pytest.mark.parametrize(
  "make, message",
  [
    (lambda: MMoE(1, [2], "relu"), "num_experts not set; give it, or a list"),
    (lambda: MMoE(1, [2], ["relu"] * 2, num_experts=3), "expert_activations has 2 elements for 3 experts"),
    (lambda: MMoE(1, [[2], [2]], None, ["ones"]), "expert_initializers has 1 elements for 2 experts"),
    (lambda: MMoE(1, [[2], [3]], None), r"end in widths \[2, 3\]; give all the same last width"),
    (lambda: MMoE(1, [2], None, num_experts=0), "num_experts is 0; it must be > 0"),
    (lambda: MMoE(0, [2], None, num_experts=1), "num_tasks is 0; it must be > 0"),
    (lambda: MMoE(1, [2], None, num_experts=1, gate_type="soft"), "gate_type is 'soft'; it must be one of softmax"),
    (lambda: MMoE(1, [2], None, num_experts=2, gate_type="topk", top_k=3), "top_k is 3; it must be from 1 to the 2"),
    (lambda: MMoE(1, [2], None, num_experts=2)(tf.ones([2, 3, 4])), r"pass \[B, width\], flattened"),
    (lambda: MMoE(1, [2], None, num_experts=2)([tf.ones([2, 3])] * 3), r"pass one \[B, width\], or a pair"),
  ],
)
def test_mmoe_wrong_arguments(make, message):
  with pytest.raises(ValueError, match=message):
    make()


# SNR.

_GAMMA, _ZETA, _BETA = -0.1, 1.1, 0.5


def _sigmoid(v):
  return 1 / (1 + np.exp(-v))


def _snr_gates(log_alpha):
  return np.clip(_sigmoid(log_alpha) * (_ZETA - _GAMMA) + _GAMMA, 0, 1)


def _snr_twin(first, second, log_alpha, weight=None, num_out=3):
  z, outputs = _snr_gates(log_alpha).reshape(2, num_out), []
  for j in range(num_out):
    total = 0
    for i, x in enumerate((first, second)):
      matrix = np.eye(2) if weight is None else weight[i * num_out + j].reshape(2, 2)
      total = total + z[i, j] * (x @ matrix)
    outputs.append(total)
  return outputs


_SNR_CASES = [
  ("trans", 4, [
    [[0.045457, -0.057140], [0.032252, 0.033015]], [[0.038223, 0.181049], [-0.291908, 0.104604]],
    [[0.121052, -0.197236], [0.076052, 0.057106]]]),
  ("aver", 4, [
    [[-0.081266, 0.002542], [0.002539, -0.109201]], [[-0.441592, -0.141588], [0.074604, -0.613657]],
    [[-0.238157, -0.040787], [0.026315, -0.326315]]]),
  ("aver", 0, [[[-0.25, -0.10], [0.05, -0.35]]] * 3),
]  # fmt: skip


@pytest.mark.parametrize("snr_type, scale, expected", _SNR_CASES)
@pytest.mark.parametrize("mode", ["eval", "infer"])
def test_snr_published_values_and_gradients(run_layer, wave, derive, snr_type, scale, expected, mode):
  inputs = [wave((2, 2), 1), wave((2, 2), 4)]
  weights = [scale * wave((6, 1), 2)] + ([wave((6, 4), 1)] if snr_type == "trans" else [])
  outputs, input_gradients, weight_gradients = run_layer(lambda: SNR(3, 2, snr_type, mode=mode), inputs, weights)
  np.testing.assert_allclose(outputs, expected, atol=1e-5)
  wanted = derive(lambda *a: _weighted(_snr_twin(*a)), [*inputs, *weights])
  _assert_all_close([*input_gradients, *weight_gradients], wanted, 1e-4)


def _built(wave, **settings):
  layer = SNR(3, 2, **settings)
  layer([wave((2, 2), 1), wave((2, 2), 4)])
  return layer


def test_snr_gates_and_loss_are_published(wave):
  layer = _built(wave, mode="infer")
  assert float(layer.losses[0]) == pytest.approx(4.610025, abs=1e-5)
  layer.log_alpha.assign(4 * wave((6, 1), 2))
  np.testing.assert_allclose(layer.sample()[:, 0], [0.177770, 0.898422, 0.5, 0.101578, 0.822230, 0.381575], atol=1e-5)
  (loss,) = layer.losses
  assert loss.shape == () and float(loss) == pytest.approx(4.218249, abs=1e-5)


def test_snr_loss_lives_after_many_calls_and_has_its_gradient(wave, derive):
  layer = _built(wave)
  twin = lambda a: _sigmoid(a - _BETA * np.log(-_GAMMA / _ZETA)).sum()  # noqa: E731
  for _ in range(3):
    layer.log_alpha.assign_add(tf.fill([6, 1], 0.3))
    with tf.GradientTape() as tape:
      layer([wave((2, 2), 1), wave((2, 2), 4)])
      (loss,) = layer.losses
    log_alpha = layer.log_alpha.numpy()
    assert float(loss) == pytest.approx(twin(log_alpha), abs=1e-5)
    np.testing.assert_allclose(tape.gradient(loss, layer.log_alpha), derive(twin, [log_alpha])[0], atol=1e-5)


def test_snr_fit_opens_and_closes_routes(wave):
  inputs = tf.keras.Input([2]), tf.keras.Input([2])
  layer = SNR(1, 2, "aver")
  model = tf.keras.Model(inputs, layer(list(inputs))[0])
  model.compile(tf.keras.optimizers.legacy.SGD(1.0), "mse")
  random = np.random.default_rng(0)
  x = [random.normal(size=(64, 2)).astype(np.float32) for _ in range(2)]
  model.fit(x, x[0], epochs=20, verbose=0)
  wanted, unwanted = layer.log_alpha.numpy()[:, 0]
  assert wanted > unwanted + 1


def test_snr_samples_in_training_only(wave):
  tf.random.set_seed(1)
  layer = _built(wave, mode="train")
  layer.log_alpha.assign(wave((6, 1), 2))
  gates = np.stack([layer.sample().numpy()[:, 0] for _ in range(3000)])
  u = np.random.default_rng(0).uniform(size=(3000, 6))
  s = _sigmoid((np.log(u) - np.log1p(-u) + wave((6,), 2)) / _BETA)
  expected = np.clip(s * (_ZETA - _GAMMA) + _GAMMA, 0, 1)
  np.testing.assert_allclose(gates.mean(0), expected.mean(0), atol=0.03)
  np.testing.assert_allclose((gates == 0).mean(0), (expected == 0).mean(0), atol=0.03)
  np.testing.assert_allclose((gates == 1).mean(0), (expected == 1).mean(0), atol=0.03)
  for mode in ("eval", "infer"):
    quiet = _built(wave, mode=mode)
    np.testing.assert_array_equal(quiet.sample(), quiet.sample())


def test_snr_one_gate_a_route_for_the_whole_batch():
  layer = SNR(1, 1, "aver")
  outputs = layer([tf.ones([50, 1])])[0].numpy()
  assert (outputs == outputs[0]).all()


def test_gate_against_its_formula(derive):
  log_alpha, u = np.array([-1.0, 0.2, 3.0, -4.0]), np.array([0.3, 0.6, 0.9, 0.01])
  twin = lambda a: np.clip(  # noqa: E731
    _sigmoid((np.log(u) - np.log(1 - u) + a) / _BETA) * (_ZETA - _GAMMA) + _GAMMA, 0, 1
  )
  with tf.GradientTape(persistent=True) as tape:
    a = tf.constant(log_alpha)
    tape.watch(a)
    plain, straight = (_snr.hard_concrete_gate(a, tf.constant(u), _BETA, _GAMMA, _ZETA, ste) for ste in (False, True))
  np.testing.assert_allclose(plain, twin(log_alpha), atol=1e-6)
  np.testing.assert_array_equal(plain, straight)
  np.testing.assert_allclose(tape.gradient(plain, a), derive(lambda v: twin(v).sum(), [log_alpha])[0], atol=1e-5)
  s = _sigmoid((np.log(u) - np.log(1 - u) + log_alpha) / _BETA)
  np.testing.assert_allclose(tape.gradient(straight, a), s * (1 - s) / _BETA * (_ZETA - _GAMMA), atol=1e-6)
  assert twin(log_alpha)[2:].tolist() == [1, 0], "the last two are clipped, and only 'straight' has a gradient there"


def test_straight_through_in_a_graph(in_graph):
  x = tf.constant([-0.5, 0.25, 1.5])
  y = hard_concrete_ste(x)
  assert in_graph.run([y, tf.gradients(y * [1.0, 2.0, 3.0], x)[0]])[1].tolist() == [1, 2, 3]
  assert in_graph.run(y).tolist() == [0, 0.25, 1]


def test_snr_of_one_input():
  layer = SNR(2, 3, mode="infer")
  x = tf.ones([4, 5])
  np.testing.assert_array_equal(layer(x)[1], layer([x])[1])
  with pytest.raises(ValueError, match="got 2 inputs, but was built for 1"):
    layer([x, x])


def test_snr_at_full_size(in_graph):
  layer = SNR(3, 128, "aver", mode="infer")
  total = tf.reduce_sum(layer([tf.ones([100, 128])] * 4))
  in_graph.run(tf.compat.v1.global_variables_initializer())
  assert in_graph.run(total) == 76800


def test_snr_weights_and_their_names():
  def named():
    layer = SNR(3, 4, regularizer="l2", name="s")
    layer([tf.ones([2, 5]), tf.ones([2, 5])])
    assert len(layer.losses) == 2
    return {w.name: w.shape.as_list() for w in layer.trainable_weights}

  with keras_versions.keep_eager_layers(), tf.Graph().as_default():
    in_graph = named()
  assert named() == in_graph == {"s/log_alpha:0": [6, 1], "s/weight:0": [6, 20]}


def test_snr_config_and_params():
  layer = SNR(3, 4, "aver", 1.2, -0.2, 0.6, True, "eval", "ones", "l2", name="s")
  assert SNR.from_config(layer.get_config()).get_config() == layer.get_config()
  p = SNR.params()
  p.num_out_subnet, p.out_subnet_dim, p.use_ste = 3, 128, False
  assert p.instantiate().out_subnet_dim == 128


@pytest.mark.parametrize(
  "make, message",
  [
    (lambda: SNR(1, 2, "mean"), "snr_type is 'mean'; it must be 'trans' or 'aver'"),
    (lambda: SNR(0, 2), "0 outputs of width 2; both must be > 0"),
    (lambda: SNR(1, 2, gamma=0.1), "gamma is 0.1, zeta 1.1 and beta 0.5"),
    (lambda: SNR(1, 2, mode="predict"), "mode is 'predict'; it must be one of train, eval, infer"),
    (lambda: SNR(1, 2, "aver")([tf.ones([1, 3])]), "the inputs are 3 wide, but out_subnet_dim is 2"),
    (lambda: SNR(1, 2)([tf.ones([1, 3]), tf.ones([1, 4])]), r"pass a list of \[B, d_in\], all of one known width"),
    (lambda: SNR(1, 2)(tf.ones([1, 3, 4])), r"pass a list of \[B, d_in\]"),
  ],
)
def test_snr_wrong_arguments(make, message):
  with pytest.raises(ValueError, match=message):
    make()


@pytest.mark.parametrize("module", [_mmoe, _snr])
def test_examples(run_examples, module):
  run_examples(module)
