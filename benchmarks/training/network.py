# SPDX-License-Identifier: Apache-2.0
"""The network of the training benchmark in TensorFlow 1 graphs: DeepFM (Guo et al. 2017) over looked-up embeddings."""

from __future__ import annotations

from typing import Any

from benchmarks.training import workload

import tensorflow as tf


class Network:
  """An MLP of dense layers with rectifiers, the factorization machine's pairs, and the biases."""

  def __init__(self) -> None:
    self._layers = [
      tuple(tf.compat.v1.Variable(value, use_resource=True, name="dense") for value in pair)
      for pair in workload.first_weights()
    ]

  @property
  def variables(self) -> list[Any]:
    return [v for pair in self._layers for v in pair]

  def loss_and_pred(self, deep: tf.Tensor, bias: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The mean logistic loss of a batch, and the probabilities `[B]`.

    Args:
      deep: embeddings side by side, `[B, FIELDS * DIM]`.
      bias: `[B, FIELDS]`.
      labels: `[B]`.
    """
    logits = self._logits(deep, bias)
    losses = tf.nn.sigmoid_cross_entropy_with_logits(labels=labels, logits=logits)
    return tf.reduce_mean(losses), tf.sigmoid(logits)

  def _logits(self, deep: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
    hidden = deep
    for number, (kernel, offset) in enumerate(self._layers):
      hidden = tf.nn.bias_add(tf.matmul(hidden, kernel), offset)
      if number < len(self._layers) - 1:
        hidden = tf.nn.relu(hidden)
    fields = tf.reshape(deep, [-1, workload.FIELDS, workload.DIM])
    pairs = 0.5 * (tf.square(tf.reduce_sum(fields, 1)) - tf.reduce_sum(tf.square(fields), 1))
    return hidden[:, 0] + tf.reduce_sum(pairs, 1) + tf.reduce_sum(bias, 1)


def adagrad() -> tf.compat.v1.train.Optimizer:
  return tf.compat.v1.train.AdagradOptimizer(
    workload.LEARNING_RATE, initial_accumulator_value=workload.INITIAL_ACCUMULATOR
  )


def batches(ids: Any, labels: Any) -> tf.data.Dataset:
  """Endless (ids [FIELDS, BATCH], labels [BATCH]) from arrays with a row for each batch of the pool."""
  return tf.data.Dataset.from_tensor_slices((ids, labels)).repeat()
