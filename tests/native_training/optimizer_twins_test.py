# SPDX-License-Identifier: Apache-2.0
"""Every optimizer of a table slice against a twin in NumPy, over 100 steps and several slices.

The twins are written from the formulas in float64, one weight vector at a time, and share nothing with the C++ code.
"""

from __future__ import annotations

from monolith.native_training import _feature_collect
from monolith.native_training import entry
from monolith.native_training import learning_rate_functions
from monolith.native_training import multi_hash_table_ops
from monolith.native_training.runtime.hash_table import embedding_hash_table_pb2

import numpy as np
import pytest
import tensorflow as tf

STEPS = 100
IDS = np.array([0, 3, -7, 1 << 50, (5 << 48) + 11], np.int64)


def sgd(w, g, eta, s):
  return w - eta * g


def adagrad(w, g, eta, s, acc=0.1, decay=0.0):
  g = g + decay * w
  s["norm"] = s.get("norm", acc) + g**2
  return w - eta * g / np.sqrt(s["norm"])


def decoupled_adagrad(w, g, eta, s, acc, decay):
  return adagrad(w, g, eta, s, acc) - eta * decay * w


def adadelta(w, g, eta, s, rho=0.9, eps=0.01, decay=0.0):
  g = g + decay * w
  s["accum"] = rho * s.get("accum", 0) + (1 - rho) * g**2
  u = np.sqrt(s.get("updates", 0) + eps) / np.sqrt(s["accum"] + eps) * g
  s["updates"] = rho * s.get("updates", 0) + (1 - rho) * u**2
  return w - eta * u


def adam(w, g, eta, s, b1=0.9, b2=0.99, eps=0.01, decay=0.0, nesterov=False, keep_largest=False):
  g = g + decay * w
  s["t"] = s.get("t", 0) + 1
  s["m"] = b1 * s.get("m", 0) + (1 - b1) * g
  s["v"] = b2 * s.get("v", 0) + (1 - b2) * g**2
  s["largest"] = np.maximum(s.get("largest", 0), s["v"])
  m = b1 * s["m"] + (1 - b1) * g if nesterov else s["m"]
  v = s["largest"] if keep_largest else s["v"]
  return w - eta * np.sqrt(1 - b2 ** s["t"]) / (1 - b1 ** s["t"]) * m / (np.sqrt(v) + eps)


def momentum(w, g, eta, s, mu=0.9, decay=0.0, nesterov=False):
  before = s.get("n", 0)
  s["n"] = mu * before - eta * (g + decay * w)
  return w + ((1 + mu) * s["n"] - mu * before if nesterov else s["n"])


def moving_average(w, g, eta, s, mu=0.9):
  return mu * w + (1 - mu) * g


def rmsprop(w, g, eta, s, mu=0.9, decay=0.0, share=0.1):
  g = g + decay * w
  s["n"] = mu * s.get("n", 0) + share * g**2
  return w - eta / (np.sqrt(s["n"]) + 1) * g


def _ftrl_sums(w, g, eta, s, acc):
  before = s.get("norm", acc)
  s["norm"] = before + g**2
  s["zero"] = s.get("zero", 0) + g - (np.sqrt(s["norm"]) - np.sqrt(before)) / eta * w
  return s["zero"], np.sqrt(s["norm"])


def ftrl(w, g, eta, s, acc=0.1, beta=0.0, l1=0.0, l2=0.0):
  zero, root = _ftrl_sums(w, g, eta, s, acc)
  return np.where(np.abs(zero) > l1, eta * (np.sign(zero) * l1 - zero) / (root + beta + l2 * eta), 0)


def group_ftrl(w, g, eta, s, acc=0.0, beta=1.0, l1=0.0, l2=0.0):
  zero, root = _ftrl_sums(w, g, eta, s, acc)
  length = np.linalg.norm(zero)
  return eta * zero * (l1 - length) / length / (beta + root + l2 * eta) if length > l1 else 0 * w


def group_adagrad(w, g, eta, s, acc=0.1, beta=0.0, l2=0.0, decay=0.0):
  g = g + decay * w
  s["sum"] = s.get("sum", acc) + np.max(g**2)
  alpha = eta / (beta + np.sqrt(s["sum"]))
  z = g - w / alpha
  length = np.linalg.norm(z)
  return 0 * w if length < l2 else -alpha * (length - l2) / length * z


# name: the optimizer, its twin, the twin's settings.
CASES = {
  "sgd": (entry.SgdOptimizer(), sgd, {}),
  "adagrad": (entry.AdagradOptimizer(), adagrad, {}),
  "adagrad_decay": (
    entry.AdagradOptimizer(initial_accumulator_value=1, weight_decay_factor=0.1), adagrad, {"acc": 1, "decay": 0.1}
  ),
  "dynamic_wd_adagrad": (
    entry.DynamicWdAdagradOptimizer(
      initial_accumulator_value=1, weight_decay_factor=0.1, decouple_weight_decay=False, enable_dynamic_wd=False
    ),
    adagrad, {"acc": 1, "decay": 0.1},
  ),
  "dynamic_wd_adagrad_decoupled": (
    entry.DynamicWdAdagradOptimizer(initial_accumulator_value=1, weight_decay_factor=0.1, enable_dynamic_wd=False),
    decoupled_adagrad, {"acc": 1, "decay": 0.1},
  ),
  "adadelta": (entry.AdadeltaOptimizer(), adadelta, {}),
  "adadelta_decay": (
    entry.AdadeltaOptimizer(averaging_ratio=0.8, epsilon=0.1, weight_decay_factor=0.05), adadelta,
    {"rho": 0.8, "eps": 0.1, "decay": 0.05},
  ),
  "adam": (entry.AdamOptimizer(), adam, {}),
  "adam_nesterov_decay": (
    entry.AdamOptimizer(beta1=0.8, beta2=0.95, epsilon=0.1, use_nesterov=True, weight_decay_factor=0.05), adam,
    {"b1": 0.8, "b2": 0.95, "eps": 0.1, "nesterov": True, "decay": 0.05},
  ),
  "amsgrad": (entry.AmsgradOptimizer(), adam, {"keep_largest": True}),
  "amsgrad_nesterov": (entry.AmsgradOptimizer(use_nesterov=True), adam, {"keep_largest": True, "nesterov": True}),
  "momentum": (entry.MomentumOptimizer(), momentum, {}),
  "momentum_nesterov_decay": (
    entry.MomentumOptimizer(momentum=0.5, use_nesterov=True, weight_decay_factor=0.1), momentum,
    {"mu": 0.5, "nesterov": True, "decay": 0.1},
  ),
  "moving_average": (entry.MovingAverageOptimizer(momentum=0.7), moving_average, {"mu": 0.7}),
  "rmsprop": (entry.RmspropOptimizer(weight_decay_factor=0.1), rmsprop, {"decay": 0.1}),
  "rmspropv2": (entry.RmspropV2Optimizer(weight_decay_factor=0.1), rmsprop, {"decay": 0.1, "share": 1}),
  "ftrl": (entry.FtrlOptimizer(), ftrl, {}),
  "ftrl_regularised": (
    entry.FtrlOptimizer(initial_accumulator_value=0.5, beta=1, l1_regularization=0.5, l2_regularization=0.2), ftrl,
    {"acc": 0.5, "beta": 1, "l1": 0.5, "l2": 0.2},
  ),
  "group_ftrl": (
    entry.FTRLWithGroupSparsityOptimizer(l1_regularization=1.5, l2_regularization=0.2), group_ftrl,
    {"l1": 1.5, "l2": 0.2},
  ),
  "group_adagrad": (entry.AdaGradWithGroupLassoOptimizer(), group_adagrad, {}),
  "group_adagrad_lasso": (
    entry.AdaGradWithGroupLassoOptimizer(
      initial_accumulator_value=1, beta=0.5, l2_regularization=0.4, weight_decay_factor=0.02
    ),
    group_adagrad, {"acc": 1, "beta": 0.5, "l2": 0.4, "decay": 0.02},
  ),
}  # fmt: skip


def _table(slices, rates, compressor=None):
  """A table of slices (dim, optimizer), all starting at 0.25."""
  config = embedding_hash_table_pb2.EmbeddingHashTableConfig()
  entry.CuckooHashTableConfig().mutate_table(config)
  compressors = compressor or [entry.Fp32Compressor()] * len(slices)
  for (dim, optimizer), one in zip(slices, compressors, strict=True):
    config.entry_config.segments.append(entry.CombineAsSegment(dim, entry.ConstantsInitializer(0.25), optimizer, one))
  instance = entry.HashTableConfigInstance(config, rates)
  return multi_hash_table_ops.MultiHashTable.from_configs({"slot": instance})


def _train(table, dim, after_step, seed=1):
  """Steps on changing sets of ids; calls after_step(step, rows of IDS, gradients) for each."""
  random = np.random.default_rng(seed)
  for step in range(STEPS):
    rows = np.flatnonzero(random.random(len(IDS)) < 0.7)
    gradients = random.normal(size=(len(rows), dim)).astype(np.float32) * (0 if step % 9 == 4 else 1)
    update = {"slot": (tf.constant(IDS[rows]), tf.constant(gradients))}
    table = table.apply_gradients(update, tf.constant(step, tf.int64))
    after_step(step, rows, gradients)
  return table.lookup({"slot": tf.constant(IDS)})["slot"].numpy()


@pytest.mark.parametrize("name", CASES)
def test_table_follows_its_twin(name):
  optimizer, twin, settings = CASES[name]
  dims, rates = (3, 17, 1), (0.05, 0.02, 0.1)
  slices = [(dims[0], optimizer), (dims[1], optimizer), (dims[2], optimizer)]
  offsets = np.concatenate([[0], np.cumsum(dims)])
  weights = np.full([len(IDS), sum(dims)], 0.25)
  states = [[{} for _ in dims] for _ in IDS]

  def follow(step, rows, gradients):
    for row, gradient in zip(rows, gradients.astype(np.float64), strict=True):
      for s, rate in enumerate(rates):
        part = slice(offsets[s], offsets[s + 1])
        # The rate as the float32 that the table gets.
        eta = float(np.float32(rate))
        weights[row, part] = twin(weights[row, part], gradient[part], eta, states[row][s], **settings)

  found = _train(_table(slices, rates), sum(dims), follow)
  np.testing.assert_allclose(found, weights, rtol=1e-5, atol=1e-5)
  assert np.ptp(found) > 1e-3


@pytest.mark.parametrize("name", ["adagrad_decay", "adam_nesterov_decay", "ftrl_regularised", "rmsprop"])
def test_rates_that_warm_up_and_decay_reach_every_step(name):
  """One slice warms up from 0 over 30 steps, one decays, one has a constant rate: every step has rates of its own."""
  optimizer, twin, settings = CASES[name]
  decay = learning_rate_functions.PolynomialDecay(0.05, 80, end_learning_rate=0.01, power=2.0)
  warming = entry.AdagradOptimizer(0.04, warmup_steps=30)
  segment = entry.CombineAsSegment(2, entry.ZerosInitializer(), warming, entry.Fp32Compressor())
  warm_up = _feature_collect._default_learning_rate(segment)
  rates = {
    0: lambda step: np.float32(0.04) * min(step, 30) / 30,
    1: lambda step: 0.01 + 0.04 * (1 - min(step, 80) / 80) ** 2,
    2: lambda step: float(np.float32(0.02)),
  }
  parts = (slice(0, 2), slice(2, 5), slice(5, 9))
  weights = np.full([len(IDS), 9], 0.25)
  states = [[{} for _ in parts] for _ in IDS]
  random = np.random.default_rng(5)
  with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    global_step = tf.compat.v1.train.get_or_create_global_step()
    table = _table([(2, optimizer), (3, optimizer), (4, optimizer)], [warm_up, decay, 0.02])
    ids, gradients = tf.compat.v1.placeholder(tf.int64, [None]), tf.compat.v1.placeholder(tf.float32, [None, 9])
    take_step = table.apply_gradients({"slot": (ids, gradients)}, global_step).as_op()
    next_step = tf.compat.v1.assign_add(global_step, 1)
    lookup = table.lookup({"slot": tf.constant(IDS)})["slot"]
    session.run([table.initializer, tf.compat.v1.global_variables_initializer()])
    for step in range(STEPS):
      rows = np.flatnonzero(random.random(len(IDS)) < 0.7)
      values = random.normal(size=(len(rows), 9)).astype(np.float32)
      session.run(take_step, {ids: IDS[rows], gradients: values})
      session.run(next_step)
      for row, gradient in zip(rows, values.astype(np.float64), strict=True):
        for s, part in enumerate(parts):
          if rates[s](step) == 0 and name.startswith("ftrl"):
            continue  # a rate of 0 leaves FTRL's weights and state alone
          weights[row, part] = twin(weights[row, part], gradient[part], rates[s](step), states[row][s], **settings)
    found = session.run(lookup)
  np.testing.assert_allclose(found, weights, rtol=2e-5, atol=2e-5)


def test_different_optimizers_in_one_entry():
  slices = [(2, entry.AdamOptimizer()), (3, entry.MovingAverageOptimizer()), (4, entry.FtrlOptimizer())]
  twins, rates = (adam, moving_average, ftrl), (0.01, 1.0, 0.05)
  parts = (slice(0, 2), slice(2, 5), slice(5, 9))
  weights = np.full([len(IDS), 9], 0.25)
  states = [[{} for _ in twins] for _ in IDS]

  def follow(step, rows, gradients):
    for row, gradient in zip(rows, gradients.astype(np.float64), strict=True):
      for s, (part, twin) in enumerate(zip(parts, twins, strict=True)):
        weights[row, part] = twin(weights[row, part], gradient[part], rates[s], states[row][s])

  np.testing.assert_allclose(_train(_table(slices, rates), 9, follow), weights, rtol=1e-5, atol=1e-5)


def test_batch_softmax_counts_steps():
  weights, last = np.full([len(IDS), 1], 0.25), np.zeros(len(IDS))

  def follow(step, rows, gradients):
    weights[rows, 0] = 0.9 * weights[rows, 0] + 0.1 * (step - last[rows])
    last[rows] = step

  found = _train(_table([(1, entry.BatchSoftmaxOptimizer())], [0.1]), 1, follow)
  np.testing.assert_allclose(found, weights, rtol=1e-5, atol=1e-5)


def test_batch_softmax_estimates_how_often_a_fid_is_seen():
  table, gradient = _table([(1, entry.BatchSoftmaxOptimizer())], [0.1]), [[0.1]]
  for step in range(0, 1000, 5):
    for fid in [0] if step % 10 else [0, 1]:
      table = table.apply_gradients({"slot": (tf.constant([fid], tf.int64), tf.constant(gradient))}, step)
  steps = table.lookup({"slot": tf.constant([0, 1], tf.int64)})["slot"].numpy()[:, 0]
  np.testing.assert_allclose(1 / np.maximum(steps, 1), [0.2, 0.1], atol=0.01)


def test_stochastic_rounding_stays_on_halves_and_near_its_base():
  rounded = entry.StochasticRoundingFloat16OptimizerWrapper(entry.AdagradOptimizer())
  found = _train(_table([(8, rounded)], [0.05]), 8, lambda *_: None)
  plain = _train(_table([(8, entry.AdagradOptimizer())], [0.05]), 8, lambda *_: None)
  np.testing.assert_array_equal(found, found.astype(np.float16))
  assert not np.array_equal(found, plain)
  np.testing.assert_allclose(found, plain, atol=0.02)


def test_one_bit_and_fixed_r8_reads_during_training():
  slices = [(2, entry.SgdOptimizer()), (3, entry.SgdOptimizer())]
  compressors = [entry.OneBitCompressor(step_size=30, amplitude=0.5), entry.FixedR8Compressor(2.0)]
  stored = np.full([len(IDS), 5], 0.25)
  scale = [1.0]

  def follow(step, rows, gradients):
    if step % 30 == 0:
      scale[0] = np.sqrt(1 + 0.005 * step)
    through = np.tanh(scale[0] * stored[rows, :2])
    stored[rows, :2] -= 0.1 * 0.5 * scale[0] * (1 - through**2) * gradients[:, :2]
    stored[rows, 2:] -= 0.1 * gradients[:, 2:]

  found = _train(_table(slices, [0.1, 0.1], compressors), 5, follow)
  np.testing.assert_allclose(found[:, :2], 0.5 * np.tanh(scale[0] * stored[:, :2]), atol=1e-5)
  np.testing.assert_array_equal(found[:, 2:], np.round(found[:, 2:] * 64) / 64)
  np.testing.assert_allclose(found[:, 2:], np.clip(stored[:, 2:], -2, 2 * 127 / 128), atol=1 / 128 + 1e-5)


@pytest.mark.parametrize("optimizer, dim, message", [
  (entry.BatchSoftmaxOptimizer(), 2, r"table 'slot', slice 1: batch_softmax: dim_size is 2; it must be 1"),
  (entry.DynamicWdAdagradOptimizer(), 2, r"slice 1: dynamic_wd_adagrad: enable_dynamic_wd is true"),
  (entry.MomentumOptimizer(momentum=1.5), 2, r"slice 1: momentum: momentum is 1.5\d*; it must be in \[0, 1\)"),
])  # fmt: skip
def test_what_a_table_refuses(optimizer, dim, message):
  with pytest.raises(tf.errors.InvalidArgumentError, match=message):
    _table([(1, entry.SgdOptimizer()), (dim, optimizer)], [1.0, 1.0])


@pytest.mark.parametrize("enable_dedup", [False, True])
def test_dc_follows_its_twin_with_lookups_three_steps_old(enable_dedup):
  """Three steps lie between a lookup and its gradients, as with prefetched lookups and postponed pushes."""
  delay, strength = 3, 0.3
  slices = [(3, entry.DcOptimizer(entry.AdagradOptimizer(), strength)), (2, entry.MomentumOptimizer())]
  table, rates = _table(slices, [0.05, 0.02]), np.float32([0.05, 0.02]).astype(np.float64)
  weights, states = np.full([len(IDS), 5], 0.25), [({}, {}) for _ in IDS]
  random, pending = np.random.default_rng(3), []
  for step in range(STEPS):
    rows = np.flatnonzero(random.random(len(IDS)) < 0.7)
    ids = tf.constant(IDS[rows])
    known = weights[rows].copy()
    known[[not states[row][0] for row in rows]] = 0  # no entry yet
    pending.append((ids, rows, table.lookup({"slot": ids})["slot"], known))
    if len(pending) <= delay:
      continue
    ids, rows, found, known = pending.pop(0)
    gradients = random.normal(size=(len(rows), 5)).astype(np.float32)
    table = table.apply_gradients(
      {"slot": (ids, tf.constant(gradients))}, tf.constant(step, tf.int64), enable_dedup=enable_dedup,
      looked_up={"slot": found},
    )  # fmt: skip
    for row, g, before in zip(rows, gradients.astype(np.float64), known, strict=True):
      w, (first, second) = weights[row], states[row]
      compensated = g[:3] + strength * g[:3] ** 2 * (w[:3] - before[:3])
      weights[row, :3] = adagrad(w[:3], compensated, rates[0], first)
      weights[row, 3:] = momentum(w[3:], g[3:], rates[1], second)
  result = table.lookup({"slot": tf.constant(IDS)})["slot"].numpy()
  np.testing.assert_allclose(result, weights, rtol=1e-5, atol=1e-5)


def _dc(size):
  """An SGD table of 1 float compensated with lambda 1, a step of two fids of which has so many looked-up floats."""
  table = _table([(1, entry.DcOptimizer(entry.SgdOptimizer(), 1.0))], [1.0])
  ids = table.get_ragged_id({"slot": tf.constant(IDS[:2])})
  return table.raw_apply_gradients(ids, tf.ones([2]), np.int64(0), looked_up=None if size is None else tf.zeros([size]))


@pytest.mark.parametrize("size, message", [
  (None, "table 'slot': its dc optimizer takes the embeddings that the gradients were computed from; pass them beside"),
  (0, "table 'slot': its dc optimizer takes the embeddings"),
  (3, "looked_up has 3 floats, but the gradients have 2; pass what the same ids were looked up as"),
])  # fmt: skip
def test_dc_says_what_it_lacks(size, message):
  with pytest.raises(tf.errors.InvalidArgumentError, match=message):
    _dc(size)


def test_negative_step_is_refused_where_it_matters():
  table = _table([(1, entry.BatchSoftmaxOptimizer())], [0.1])
  gradients = {"slot": (tf.constant(IDS), tf.zeros([len(IDS), 1]))}
  with pytest.raises(tf.errors.InvalidArgumentError, match="global_step is -1"):
    table.apply_gradients(gradients, tf.constant(-1, tf.int64))
