# SPDX-License-Identifier: Apache-2.0
"""BatchNorm, LayerNorm and GradNorm: published numbers, NumPy twins, moving statistics, summaries."""

import numpy as np
import pytest

from monolith.native_training.layers import _grad_norm, _layer_norm
from monolith.native_training.layers.norms import BatchNorm, GradNorm, LayerNorm

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


# LayerNorm.

# What a caller would write, with inputs: (class, settings, shapes of inputs).
EXAMPLES = {"BatchNorm": (BatchNorm, {}, (6, 3)), "LayerNorm": (LayerNorm, {"initializer": None}, (6, 3))}


@pytest.mark.parametrize("shape", [(3, 4), (2, 3, 5)])
def test_layer_norm_is_what_every_layer_promises(check_layer, wave, shape):
  check_layer(LayerNorm, {"initializer": "ones", "regularizer": "l2"}, wave(shape, 1))


def _layer_norm_twin(x, beta, gamma):
  mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
  return (x - mean) / np.sqrt(variance + 1e-6) * gamma + beta


def test_layer_norm_published_values_and_gradients(run_layer, derive):
  x = np.array([[1, 2, 4], [0, -1, 0.5]], np.float32)
  weights = [np.array([0.1, 0.2, 0.3], np.float32), np.array([1, 2, 0.5], np.float32)]
  outputs, input_gradient, weight_gradients = run_layer(lambda: LayerNorm(None), x, weights)
  np.testing.assert_allclose(outputs, [[-0.969044, -0.334522, 0.968153], [0.367261, -2.472609, 0.834522]], atol=1e-5)
  wanted = derive(lambda *a: (_layer_norm_twin(*a).ravel() * np.arange(1, 7)).sum(), [x, *weights])
  for found, w in zip([input_gradient, *weight_gradients], wanted, strict=True):
    np.testing.assert_allclose(found, w, atol=1e-3)


def test_layer_norm_of_constant_rows_is_zero(run_layer):
  x = np.repeat(np.array([[3.0], [-2.0], [0.0]], np.float32), 5, 1)
  outputs, gradient, _ = run_layer(lambda: LayerNorm("ones"), x)
  np.testing.assert_array_equal(outputs, np.zeros_like(x))
  assert np.isfinite(gradient).all()


def test_layer_norm_weights_and_losses():
  layer = LayerNorm(None, "l2", name="n")
  layer(tf.ones([2, 3]))
  assert [(w.name, w.numpy().tolist()) for w in layer.weights] == [("n/beta:0", [0] * 3), ("n/gamma:0", [1] * 3)]
  assert len(layer.losses) == 2
  with pytest.raises(ValueError, match="last dimension must be known"):
    LayerNorm(None).build((None, None))
  with pytest.raises(TypeError, match="initializer"):
    LayerNorm()


# GradNorm.

_SHARED = np.array([[1.0, 2.0]], np.float32)


def _two_losses(x):
  return [tf.reduce_sum(x), 2.0 * tf.reduce_sum(x)]


def _balanced(layer, shared=_SHARED, losses_of=_two_losses):
  with tf.GradientTape(persistent=True) as tape:
    shared = [tf.constant(s) for s in (shared if isinstance(shared, list) else [shared])]
    tape.watch(shared)
    losses = losses_of(*shared)
  return layer(losses, shared, tape=tape)


@pytest.mark.parametrize("relative, expected", [(False, 0.25), (True, 0.222222)])
def test_grad_norm_published_values(in_graph, relative, expected):
  layer = GradNorm(["a", "b"], relative_diff=relative)
  x = tf.constant(_SHARED)
  found = layer(_two_losses(x), [x])
  in_graph.run(tf.compat.v1.global_variables_initializer())
  np.testing.assert_allclose(in_graph.run(found), [expected, 4.5], atol=1e-5)


@pytest.mark.parametrize("relative, expected", [(False, 0.25), (True, 0.222222)])
def test_grad_norm_with_a_tape_or_gradients(relative, expected):
  layer = GradNorm(["a", "b"], relative_diff=relative)
  np.testing.assert_allclose(_balanced(layer), [expected, 4.5], atol=1e-5)
  gradients = [[tf.ones([1, 2])], [tf.fill([1, 2], 2.0)]]
  np.testing.assert_allclose(layer(_two_losses(tf.constant(_SHARED)), gradients=gradients), [expected, 4.5], atol=1e-5)


def test_grad_norm_in_a_function():
  layer = GradNorm(["a", "b"])

  @tf.function
  def step(x):
    return layer(_two_losses(x), [x])

  np.testing.assert_allclose(step(tf.constant(_SHARED)), [0.25, 4.5], atol=1e-5)


@pytest.mark.parametrize("relative", [False, True])
def test_grad_norm_trains_weights_and_the_rest_apart(derive, relative):
  values, norms = np.array([3.0, 6.0]), np.array([2.0, 8.0]) ** 0.5
  start = np.array([0.3, -0.2], np.float32)

  def twin(v):
    weighed = np.exp(v) / np.exp(v).sum() * norms
    difference = np.abs(weighed - weighed.mean()) / (weighed.mean() + 1e-6 if relative else 1)
    return 2.0 * (difference**1.5).sum()

  layer = GradNorm(["a", "b"], scale=2.0, loss_pow=1.5, relative_diff=relative)
  _balanced(layer)
  layer.grad_norm_weights.assign(start)
  with tf.GradientTape(persistent=True) as outer:
    x = tf.constant(_SHARED)
    outer.watch(x)
    balance, weighed = layer(_two_losses(x), gradients=[[tf.ones([1, 2])], [tf.fill([1, 2], 2.0)]])
  assert float(balance) == pytest.approx(twin(start), abs=1e-5)
  weights = np.exp(start) / np.exp(start).sum()
  assert float(weighed) == pytest.approx((values * weights).sum(), abs=1e-5)
  np.testing.assert_allclose(outer.gradient(balance, layer.grad_norm_weights), derive(twin, [start])[0], atol=1e-4)
  assert outer.gradient(weighed, layer.grad_norm_weights) is None
  assert outer.gradient(balance, x) is None
  np.testing.assert_allclose(outer.gradient(weighed, x), np.full((1, 2), weights[0] + 2 * weights[1]), rtol=1e-5)


def test_grad_norm_of_shared_tensors_of_any_rank():
  layer = GradNorm(["a", "b"])
  shared = [np.ones((2,), np.float32), np.ones((2, 3, 2), np.float32)]
  balance, _ = _balanced(layer, shared, lambda x, y: [tf.reduce_sum(x) + tf.reduce_sum(y), tf.reduce_sum(x) * 3.0])
  norms = np.array([14**0.5, 18**0.5]) / 2
  assert float(balance) == pytest.approx(((norms - norms.mean()) ** 2).sum(), abs=1e-5)


def test_grad_norm_balances():
  layer = GradNorm(["a", "b"])
  for _ in range(100):
    with tf.GradientTape() as tape:
      balance, _ = layer([1.0, 1.0], gradients=[[tf.ones([4])], [tf.fill([4], 3.0)]])
    layer.grad_norm_weights.assign_sub(0.1 * tape.gradient(balance, layer.grad_norm_weights))
  np.testing.assert_allclose(layer.get_loss_weights(), [0.75, 0.25], atol=1e-2)
  assert len(layer.get_weights()) == 1, "Keras' own"


def test_grad_norm_summaries(in_graph):
  x = tf.constant(_SHARED)
  GradNorm(["a", "b"], name="g")(_two_losses(x), [x])
  names = {s.name for s in tf.compat.v1.get_collection(tf.compat.v1.GraphKeys.SUMMARIES)}
  assert {n.removeprefix("g/").removesuffix(":0") for n in names} == {
    f"{kind}/{loss}" for kind in ("gradnorm_weight", "gnorm", "wgnorm") for loss in "ab"
  }


def test_grad_norm_config_and_params():
  layer = GradNorm(["a", "b"], 2.0, 1.5, True, 1e-3, name="g")
  assert GradNorm.from_config(layer.get_config()).get_config() == layer.get_config()
  p = GradNorm.params()
  p.loss_names = ["a"]
  assert p.instantiate().loss_pow == 2.0


@pytest.mark.parametrize(
  "call, message",
  [
    (lambda: GradNorm([]), r"loss_names is \[\]; give at least one"),
    (lambda: GradNorm(["a", "a"]), "each another"),
    (lambda: GradNorm(["a"], loss_pow=0), "loss_pow is 0; it must be > 0"),
    (lambda: GradNorm(["a"])([1.0, 2.0], [tf.ones([1])]), r"got 2 losses for the names \['a'\]"),
    (lambda: GradNorm(["a"])([1.0]), "pass shared_inputs, or gradients by them"),
    (lambda: GradNorm(["a"])([1.0], [tf.ones([1])]), "outside of a graph pass the persistent tape"),
    (lambda: GradNorm(["a"])([1.0], gradients=[]), "got gradients of 0 losses, but 1 losses"),
    (lambda: GradNorm(["a"])([1.0], gradients=[[None]]), "loss 'a' does not depend on the shared inputs"),
  ],
)
def test_grad_norm_wrong_arguments(call, message):
  with pytest.raises(ValueError, match=message):
    call()


@pytest.mark.parametrize("module", [_layer_norm, _grad_norm])
def test_examples(run_examples, module):
  run_examples(module)
