# SPDX-License-Identifier: Apache-2.0
"""Towers, layers of several tasks, and what stands between them, as registry.py has them: rows of 416 numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.layers.registry import DIM, FIELDS, WIDTH, arrays, case, dense

from monolith.core.mixed_emb_op_comb_nws import MixedEmbedOpComb
from monolith.native_training import layers
from monolith.native_training.layers import norms

import tensorflow as tf

GATE_WIDTH = 32


def _rows(batch: int) -> Any:
  return arrays(batch, (WIDTH,))


def _tower(x: tf.Tensor, weights: Sequence[tf.Tensor], last: Any = tf.identity) -> tf.Tensor:
  """Dense layers with normalized kernels, relu between them."""
  for i in range(0, len(weights), 3):
    x = dense(x, *weights[i : i + 3])
    x = tf.nn.relu(x) if i + 3 < len(weights) else last(x)
  return x


@case("dense", _rows, lambda: layers.Dense(256, "relu"))
def _dense(inputs, weights):
  return tf.nn.relu(tf.matmul(inputs, weights[0]) + weights[1])


@case("dense_norm", _rows, lambda: layers.Dense(256, "relu", allow_kernel_norm=True, kernel_norm_trainable=True))
def _dense_norm(inputs, weights):
  return tf.nn.relu(dense(inputs, *weights))


@case("dense_3d", lambda batch: arrays(batch, (FIELDS, DIM)), lambda: layers.Dense(64, "relu"))
def _dense_3d(inputs, weights):
  return tf.nn.relu(tf.tensordot(inputs, weights[0], 1) + weights[1])


@case("mlp", _rows, lambda: layers.MLP([256, 128, 64]))
def _mlp(inputs, weights):
  return _tower(inputs, weights)


@case("mlp_plain", _rows, lambda: layers.MLP([256, 128, 64], use_weight_norm=False))
def _mlp_plain(inputs, weights):
  x = inputs
  for i in range(0, len(weights), 2):
    x = tf.matmul(x, weights[i]) + weights[i + 1]
    x = tf.nn.relu(x) if i + 2 < len(weights) else x
  return x


@case(
  "lhuc_tower",
  lambda batch: arrays(batch, (WIDTH,), (GATE_WIDTH,)),
  lambda: layers.LHUCTower([256, 128, 64], lhuc_output_dims=[16]),
)
def _lhuc_tower(inputs, weights):
  x, of_gates = inputs
  for i in range(3):
    gate = _tower(of_gates, weights[9 + 6 * i : 15 + 6 * i], lambda logits: 2 * tf.sigmoid(logits))
    x = dense(x, *weights[3 * i : 3 * i + 3])
    x = (tf.nn.relu(x) if i < 2 else x) * gate
  return x


# Several tasks.

_EXPERTS, _TASKS = 4, 3


def _experts(inputs: tf.Tensor, weights: Sequence[tf.Tensor]) -> tf.Tensor:
  return tf.stack([_tower(inputs, weights[6 * e : 6 * e + 6]) for e in range(_EXPERTS)], axis=1)


@case("mmoe", _rows, lambda: layers.MMoE(_TASKS, [128, 64], "relu", num_experts=_EXPERTS))
def _mmoe(inputs, weights):
  outputs, kernels = _experts(inputs, weights[1:]), tf.split(weights[0], _TASKS, axis=1)
  gates = [tf.nn.softmax(tf.matmul(inputs, kernel)) for kernel in kernels]
  return [tf.reduce_sum(gate[:, :, tf.newaxis] * outputs, axis=1) for gate in gates]


@case("mmoe_topk", _rows, lambda: layers.MMoE(_TASKS, [128, 64], "relu", gate_type="topk", top_k=2, num_experts=4))
def _mmoe_topk(inputs, weights):
  outputs, tasks = _experts(inputs, weights[1:]), []
  for kernel in tf.split(weights[0], _TASKS, axis=1):
    gate = tf.nn.softmax(tf.matmul(inputs, kernel))
    gate = tf.where(gate >= tf.math.top_k(gate, 2).values[:, 1:], gate, tf.zeros_like(gate))
    gate /= tf.reduce_sum(gate, axis=1, keepdims=True)
    tasks.append(tf.reduce_sum(gate[:, :, tf.newaxis] * outputs, axis=1))
  return tasks


def _subnets(batch: int) -> Any:
  return arrays(batch, *[(64,)] * _EXPERTS)


def _routes(weights: Sequence[tf.Tensor]) -> list[list[tf.Tensor]]:
  """The gates from each input to each output."""
  gates = tf.clip_by_value(tf.sigmoid(weights[0]) * 1.2 - 0.1, 0.0, 1.0)
  return [tf.unstack(row) for row in tf.unstack(tf.reshape(gates, [_EXPERTS, _TASKS]))]


@case("snr_trans", _subnets, lambda: layers.SNR(_TASKS, 64, mode="infer"))
def _snr_trans(inputs, weights):
  gates, kernels = _routes(weights), tf.reshape(weights[1], [_EXPERTS, _TASKS, 64, 64])
  return [tf.add_n([gates[i][j] * tf.matmul(x, kernels[i, j]) for i, x in enumerate(inputs)]) for j in range(_TASKS)]


@case("snr_aver", _subnets, lambda: layers.SNR(_TASKS, 64, "aver", mode="infer"))
def _snr_aver(inputs, weights):
  gates = _routes(weights)
  return [tf.add_n([gates[i][j] * x for i, x in enumerate(inputs)]) for j in range(_TASKS)]


class _GradNorm(tf.keras.layers.Layer):
  """GradNorm of two sums, whose gradients by what they share come in."""

  def __init__(self):
    super().__init__()
    self.norm = norms.GradNorm(["a", "b"])

  def call(self, inputs):
    a, b, of_a, of_b = inputs
    return tf.stack(self.norm([tf.reduce_sum(a), tf.reduce_sum(b)], gradients=[[of_a], [of_b]]))


@case("grad_norm", lambda batch: arrays(batch, *[(WIDTH,)] * 4), _GradNorm)
def _grad_norm(inputs, weights):
  gates = tf.unstack(tf.nn.softmax(weights[0]))
  weighed = [w * tf.norm(tf.stop_gradient(g)) for w, g in zip(gates, inputs[2:], strict=True)]
  balance = tf.add_n([tf.square(n - tf.add_n(weighed) / 2) for n in weighed])
  total = tf.add_n([tf.stop_gradient(w) * tf.reduce_sum(x) for w, x in zip(gates, inputs[:2], strict=True)])
  return tf.stack([balance, total])


def _mixed_embedding() -> MixedEmbedOpComb:
  # A single choice a slot: the draw, which costs the same for more, has one outcome.
  return MixedEmbedOpComb([str(i) for i in range(FIELDS)], [[DIM]] * FIELDS, warmup_steps=0, pretraining_steps=0)


@case("mixed_embedding", _rows, _mixed_embedding)
def _mixed_embedding_slots(inputs, weights):
  masks = []
  for logits in tf.split(weights[0], FIELDS):
    p = tf.nn.softmax(logits)
    chosen = tf.one_hot(tf.random.categorical([tf.math.log(p)], 1)[0, 0], 1) * (1 + p - tf.stop_gradient(p))
    masks.append(tf.repeat(chosen, [DIM]))
  return inputs * tf.concat(masks, axis=0)


# Normalization, and single operations.


@case("layer_norm", _rows, lambda: layers.LayerNorm(None))
def _layer_norm(inputs, weights):
  mean, variance = tf.nn.moments(inputs, axes=[1], keepdims=True)
  return weights[1] * (inputs - mean) / tf.sqrt(variance + 1e-6) + weights[0]


@case("batch_norm", _rows, norms.BatchNorm)
def _batch_norm(inputs, weights):
  beta, gamma, moving_mean, moving_variance = weights
  mean, variance = tf.nn.moments(inputs, axes=[0])
  for moving, batch in ((moving_mean, mean), (moving_variance, variance)):
    moving.assign(0.99 * moving + 0.01 * tf.stop_gradient(batch))
  return gamma * (inputs - mean) / tf.sqrt(variance + 1e-6) + beta


def _logits_and_rates(batch: int) -> Any:
  logits, rates = arrays(batch, (16,), (1,))
  return [logits, 1 / (1.01 + abs(rates))]


@case("logit_correction", _logits_and_rates, lambda: layers.LogitCorrection(sample_bias=True))
def _logit_correction(inputs, weights):
  return -tf.nn.softplus(-inputs[0]) - tf.math.log(inputs[1])


@case("add_bias", _rows, layers.AddBias)
def _add_bias(inputs, weights):
  return inputs + weights[0]


# Crosses with a tower inside.


@case("c_dot", lambda batch: arrays(batch, (FIELDS, DIM)), lambda: layers.CDot(4, [64]))
def _c_dot(inputs, weights):
  mixtures = tf.matmul(inputs, tf.tile(weights[0][tf.newaxis], [tf.shape(inputs)[0], 1, 1]), transpose_a=True)
  compressed = _tower(tf.reshape(mixtures, [-1, DIM * 4]), weights[1:])
  crossed = tf.matmul(inputs, tf.reshape(compressed, [-1, DIM, 4]))
  return tf.concat([tf.reshape(crossed, [-1, FIELDS * 4]), compressed], axis=1)


def _groups(batch: int) -> Any:
  features = arrays(batch, *[(DIM,)] * 12)
  return [features[:6], features[6:]]


@case("group_int", _groups, layers.GroupInt, target=2.0)
def _group_int(inputs, weights):
  return tf.concat([left * right for left in inputs[0] for right in inputs[1]], axis=1)


@case("group_int_attention", _groups, lambda: layers.GroupInt(use_attention=True, attention_units=[16, 1]))
def _group_int_attention(inputs, weights):
  pairs = tf.reshape(tf.stack([left * right for left in inputs[0] for right in inputs[1]], axis=1), [-1, DIM])
  return tf.reshape(pairs * _tower(pairs, weights), [-1, 36 * DIM])


@case("dcn_vector", _rows, lambda: layers.DCN(2, "vector"))
def _dcn_vector(inputs, weights):
  x = inputs
  for kernel, bias in zip(weights[::2], weights[1::2], strict=True):
    x = inputs * tf.matmul(x, kernel) + bias + x
  return x


@case("senet_list", lambda batch: arrays(batch, *[(DIM,)] * FIELDS), lambda: layers.SeNet(FIELDS, 8))
def _senet_list(inputs, weights):
  means = tf.concat([tf.reduce_mean(x, axis=1, keepdims=True) for x in inputs], axis=1)
  gates = _tower(means, weights, tf.sigmoid)
  return tf.concat([x * gates[:, i : i + 1] for i, x in enumerate(inputs)], axis=1)
