# SPDX-License-Identifier: Apache-2.0
"""Layers of sequences as registry.py has them: 20 steps of 32 numbers."""

from __future__ import annotations

from benchmarks.layers.registry import arrays, case

from monolith.native_training import layers

import tensorflow as tf

STEPS, WIDTH = 20, 32


def _query_and_keys(batch: int) -> list:
  return arrays(batch, (WIDTH,), (STEPS, WIDTH))


@case("din", _query_and_keys, lambda: layers.DIN([32, 1], "sigmoid"), target=2.0)
def _din(inputs, weights):
  queries, keys = inputs
  queries = tf.tile(queries[:, tf.newaxis], [1, STEPS, 1])
  parts = tf.concat([queries, keys, queries - keys, queries * keys], axis=-1)
  hidden = tf.sigmoid(_dense_3d(parts, *weights[:3]))
  scores = _dense_3d(hidden, *weights[3:])
  return tf.reduce_sum(scores * keys, axis=1)


def _dense_3d(x: tf.Tensor, kernel: tf.Tensor, norms: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
  return tf.tensordot(x, tf.nn.l2_normalize(kernel, axis=0, epsilon=1e-6) * norms, 1) + bias


def _loop(step, sequences: list[tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
  """The states `[T, B, units]` after every step over sequences `[T, B, ...]`, and the last; as Keras' RNN loops."""
  arrays_ = [tf.TensorArray(s.dtype, STEPS).unstack(s) for s in sequences]
  state = tf.zeros([tf.shape(sequences[0])[1], WIDTH])

  def body(t, state, outputs):
    state = step([array.read(t) for array in arrays_], state)
    return t + 1, state, outputs.write(t, state)

  _, state, outputs = tf.while_loop(
    lambda t, *_: t < STEPS, body, (0, state, tf.TensorArray(tf.float32, STEPS)), maximum_iterations=STEPS
  )
  return outputs.stack(), state


def _agru_step(inputs, state, score, weights, att_type):
  gates_kernel, gates_bias, candidate_kernel, candidate_bias = weights
  gates = tf.sigmoid(tf.matmul(tf.concat([inputs, state], 1), gates_kernel) + gates_bias)
  reset, update = tf.split(gates, 2, axis=1)
  candidate = tf.tanh(tf.matmul(tf.concat([inputs, reset * state], 1), candidate_kernel) + candidate_bias)
  if att_type == "AGRU":
    return (1 - score) * state + score * candidate
  update = (1 - score) * update
  return update * state + (1 - update) * candidate


@case("dien", _query_and_keys, lambda: layers.DIEN(WIDTH, "AUGRU", "tanh"))
def _dien(inputs, weights):
  queries, keys = inputs
  attention, kernel, recurrent, bias, *augru = weights

  def gru(at, state):
    x = tf.split(tf.matmul(at[0], kernel) + bias[0], 3, axis=1)
    s = tf.split(tf.matmul(state, recurrent) + bias[1], 3, axis=1)
    update, reset = tf.sigmoid(x[0] + s[0]), tf.sigmoid(x[1] + s[1])
    return update * state + (1 - update) * tf.tanh(x[2] + reset * s[2])

  interests, _ = _loop(gru, [tf.transpose(keys, [1, 0, 2])])
  scores = tf.nn.softmax(tf.reduce_sum(tf.tensordot(interests, attention, 1) * queries, axis=2), axis=0)
  return _loop(lambda at, state: _agru_step(at[0], state, at[1][:, tf.newaxis], augru, "AUGRU"), [interests, scores])[1]


class _Agru(tf.keras.layers.Layer):
  """An AGRUCell with its loop."""

  def __init__(self):
    super().__init__()
    self.cell = layers.AGRUCell(WIDTH)

  def call(self, inputs):
    return layers.dynamic_rnn_with_attention(self.cell, *inputs)[0]


@case("agru", lambda batch: arrays(batch, (STEPS, WIDTH), (STEPS,)), _Agru)
def _agru(inputs, weights):
  sequence, scores = tf.transpose(inputs[0], [1, 0, 2]), tf.transpose(inputs[1])
  outputs, _ = _loop(
    lambda at, state: _agru_step(at[0], state, at[1][:, tf.newaxis], weights, "AGRU"), [sequence, scores]
  )
  return tf.transpose(outputs, [1, 0, 2])


@case("dmr_u2i", _query_and_keys, lambda: layers.DMR_U2I(16, "relu"))
def _dmr_u2i(inputs, weights):
  items, sequence = inputs
  position, embedding, z, bias, kernel, dense_bias = weights
  logits = tf.tensordot(position + tf.tensordot(sequence, embedding, 1) + bias, z, 1)
  user = tf.reduce_sum(tf.nn.softmax(logits, axis=1) * sequence, axis=1)
  return tf.nn.relu(tf.matmul(user, kernel) + dense_bias) * items


# Pooling of 26 tensors.


def _list(batch: int) -> list:
  return arrays(batch, *[(WIDTH,)] * 26)


@case("sum_pooling", _list, layers.SumPooling)
def _sum_pooling(inputs, weights):
  return tf.reduce_sum(tf.stack(inputs), axis=0)


@case("avg_pooling", _list, layers.AvgPooling)
def _avg_pooling(inputs, weights):
  return tf.reduce_mean(tf.stack(inputs), axis=0)


@case("max_pooling", _list, layers.MaxPooling)
def _max_pooling(inputs, weights):
  return tf.reduce_max(tf.stack(inputs), axis=0)
