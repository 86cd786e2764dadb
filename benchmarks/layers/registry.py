# SPDX-License-Identifier: Apache-2.0
"""The layers that speed.py measures, each beside a straightforward composition that computes the same.

A new layer is one function below:

    @case("my_layer", lambda batch: arrays(batch, (26, 16)), lambda: layers.MyLayer())
    def _my_layer(inputs, weights): ...

which computes the layer's output as one would write it down, from its inputs and weights in the order of
`layer.weights`. Weights that are not trained come as variables, the others as tensors. Crosses and transforms are here,
others in sequences.py and towers.py, losses in losses.py (of a batch) and ranking.py, optimizers in optimizers.py.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

from monolith.native_training import layers
from monolith.native_training.layers import layer_ops

import numpy as np
import tensorflow as tf

FIELDS, DIM = 26, 16  # as many features as Criteo's data have
WIDTH = FIELDS * DIM


# The outputs, and the gradients of inputs and weights too.
PASSES = ("forward", "both")


@dataclasses.dataclass(frozen=True)
class Case:
  """A layer and its composition.

  Attributes:
    name: as the command line has it.
    inputs: batch size -> arrays, in the structure that the layer takes.
    make: makes the layer, or another function of the inputs.
    composition: (inputs, weights) -> outputs.
    target: how many times as fast as the composition, forward and backward, it has to be; None if it only must not be
      slower than it.
    passes: which of PASSES there are.
  """

  name: str
  inputs: Callable[[int], Any]
  make: Callable[[], Any]
  composition: Callable[[Any, list[tf.Tensor]], Any]
  target: float | None = None
  passes: tuple[str, ...] = PASSES


CASES: dict[str, Case] = {}


def case(
  name: str,
  inputs: Callable[[int], Any],
  make: Callable[[], Any],
  target: float | None = None,
  passes: tuple[str, ...] = PASSES,
) -> Any:
  """Registers the decorated composition."""

  def register(composition: Callable[[Any, list[tf.Tensor]], Any]) -> Any:
    if name in CASES:
      raise ValueError(f"benchmark case {name!r} is there already; use another name.")
    CASES[name] = Case(name, inputs, make, composition, target, passes)
    return composition

  return register


def arrays(batch: int, *shapes: tuple[int, ...], seed: int = 0) -> Any:
  """Normal float32 arrays of a batch, one for each shape; a single one as it is."""
  random = np.random.default_rng(seed)
  made = [(random.standard_normal((batch, *shape)) / 4).astype(np.float32) for shape in shapes]
  return made[0] if len(made) == 1 else made


def dense(x: tf.Tensor, kernel: tf.Tensor, norms: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
  """A dense layer with a normalized kernel."""
  return tf.matmul(x, tf.nn.l2_normalize(kernel, axis=0, epsilon=1e-6) * norms) + bias


# FFM, 13 features against 13.

_HALF = FIELDS // 2


def _ffm_inputs(batch: int) -> Any:
  return arrays(batch, (_HALF * DIM,), (_HALF * DIM,))


def _sides(inputs: Any) -> tuple[tf.Tensor, tf.Tensor]:
  return tf.reshape(inputs[0], [-1, _HALF, 1, DIM]), tf.reshape(inputs[1], [-1, 1, _HALF, DIM])


@case("ffm_multiply", _ffm_inputs, lambda: lambda inputs: layer_ops.ffm(*inputs, DIM), target=2.0)
def _ffm_multiply(inputs, weights):
  left, right = _sides(inputs)
  return tf.reshape(left * right, [-1, _HALF * _HALF * DIM])


@case("ffm_dot", _ffm_inputs, lambda: lambda inputs: layer_ops.ffm(*inputs, DIM, "dot"), target=2.0)
def _ffm_dot(inputs, weights):
  left, right = _sides(inputs)
  return tf.reshape(tf.matmul(left[:, :, 0], right[:, 0], transpose_b=True), [-1, _HALF * _HALF])


# Feature insight of a first layer of 64 units.

_SEGMENTS = [DIM] * FIELDS


def _insight_inputs(batch: int) -> Any:
  return [arrays(batch, (WIDTH,)), arrays(WIDTH, (64,), seed=1)]


@case("feature_insight", _insight_inputs, lambda: lambda i: layer_ops.feature_insight(*i, _SEGMENTS), target=2.0)
def _feature_insight(inputs, weights):
  columns, rows = tf.split(inputs[0], _SEGMENTS, axis=1), tf.split(inputs[1], _SEGMENTS, axis=0)
  return tf.concat([tf.matmul(x, w) for x, w in zip(columns, rows, strict=True)], axis=1)


# Crosses and transforms of 26 features of 16 numbers.


def _features(batch: int) -> Any:
  return arrays(batch, (FIELDS, DIM))


def _flat(batch: int) -> Any:
  return arrays(batch, (WIDTH,))


def _cin(inputs, weights):
  x0 = x = tf.transpose(inputs, [0, 2, 1])
  pooled = []
  for i in range(0, len(weights), 2):
    pairs = tf.reshape(x[:, :, :, tf.newaxis] * x0[:, :, tf.newaxis, :], [-1, DIM, x.shape[2] * FIELDS])
    x = tf.nn.conv1d(pairs, weights[i], 1, "VALID") + weights[i + 1]
    x = tf.nn.relu(x) if i + 2 < len(weights) else x
    pooled.append(tf.reduce_sum(x, axis=1))
  return tf.concat(pooled, axis=1)


for _units in ([64, 64], [64, 64, 64], [128, 128]):
  _name = "cin_" + "_".join(map(str, _units))
  case(_name, _features, functools.partial(layers.CIN, _units, "relu"), target=2.0)(_cin)


@case("dcn_matrix", _flat, lambda: layers.DCN(2, "matrix"))
def _dcn_matrix(inputs, weights):
  x = inputs
  for kernel, bias in zip(weights[::2], weights[1::2], strict=True):
    x = inputs * (tf.matmul(x, kernel) + bias) + x
  return x


@case("dcn_mixed", _flat, lambda: layers.DCN(1, "mixed", num_experts=4, low_rank=64))
def _dcn_mixed(inputs, weights):
  u, v, c, g, bias = weights[:4], weights[4:8], weights[8:12], weights[12:16], weights[16]
  gates = tf.nn.softmax(tf.concat([tf.matmul(inputs, g_e) for g_e in g], axis=1))
  experts = [
    inputs * (tf.matmul(tf.tanh(tf.matmul(tf.tanh(tf.matmul(inputs, v_e)), c_e)), u_e, transpose_b=True) + bias)
    for u_e, v_e, c_e in zip(u, v, c, strict=True)
  ]
  return tf.add_n([gates[:, e : e + 1] * expert for e, expert in enumerate(experts)]) + inputs


@case("auto_int", _features, lambda: layers.AutoInt(2))
def _auto_int(inputs, weights):
  x = inputs
  for _ in range(2):
    x = tf.einsum("bij,bjk->bik", tf.nn.softmax(tf.einsum("bik,bjk->bij", x, x)), x)
  return tf.reshape(x, [-1, WIDTH])


@case("senet", _features, lambda: layers.SeNet(FIELDS, 8))
def _senet(inputs, weights):
  hidden = tf.nn.relu(dense(tf.reduce_mean(inputs, axis=2), *weights[:3]))
  return tf.reshape(inputs * tf.sigmoid(dense(hidden, *weights[3:]))[:, :, tf.newaxis], [-1, WIDTH])


@case("irazor", _features, lambda: layers.iRazor([0, 2, 4, 8, 16], t=1.0))
def _irazor(inputs, weights):
  rigid = np.zeros((5, DIM), np.float32)
  for i, (begin, end) in enumerate([(0, 2), (2, 4), (4, 8), (8, 16)], 1):
    rigid[i, begin:end] = 1
  return tf.reshape(inputs * tf.matmul(tf.nn.softmax(weights[0]), rigid), [-1, WIDTH])


@case("all_int", _features, lambda: layers.AllInt(4))
def _all_int(inputs, weights):
  mixtures = tf.tensordot(tf.transpose(inputs, [0, 2, 1]), weights[0], 1) + weights[1]
  return tf.reshape(tf.matmul(inputs, mixtures), [-1, FIELDS * 4])


@case("can", lambda batch: arrays(batch, (4, 20, 8), (144,)), lambda: layers.CAN(2, "tanh", is_seq=True))
def _can(inputs, weights):
  user, item = inputs
  for i in (0, 72):
    kernel = tf.reshape(item[:, i : i + 64], [-1, 1, 8, 8])
    user = tf.tanh(tf.matmul(user, kernel) + item[:, tf.newaxis, tf.newaxis, i + 64 : i + 72])
  return tf.reduce_sum(user, axis=2)
