# SPDX-License-Identifier: Apache-2.0
"""Ranking losses as registry.py has them: a batch of lists of 20 items with labels 0 to 4."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.layers.registry import arrays, case

from monolith.native_training.losses import ltr_losses

import numpy as np
import tensorflow as tf

ITEMS = 20


def _lists(batch: int) -> list[np.ndarray]:
  labels = np.random.default_rng(3).integers(0, 5, (batch, ITEMS)).astype(np.float32)
  # Fractions order items of one label, since ListMLE draws such an order by lot.
  return [labels + np.linspace(0, 0.5, ITEMS, dtype=np.float32), arrays(batch, (ITEMS,))]


def _loss(key: str) -> Callable[[], Any]:
  def make() -> Any:
    loss = ltr_losses.make_loss_fn(key, seed=1)
    return lambda inputs: loss(*inputs)[tf.newaxis]

  return make


def _case(key: str) -> Any:
  return case(key.removesuffix("_loss"), _lists, _loss(key))


def _pairs(inputs: Any, cost: Callable[[tf.Tensor], tf.Tensor]) -> tf.Tensor:
  """The mean cost of the pairs whose first has the higher label, times the difference of the labels."""
  labels, logits = inputs
  above = tf.stop_gradient(tf.nn.relu(labels[:, :, tf.newaxis] - labels[:, tf.newaxis, :]))
  costs = cost(logits[:, :, tf.newaxis] - logits[:, tf.newaxis, :])
  return (tf.reduce_sum(above * costs) / tf.math.count_nonzero(above, dtype=tf.float32))[tf.newaxis]


@_case("pairwise_hinge_loss")
def _pairwise_hinge(inputs, weights):
  return _pairs(inputs, lambda d: tf.nn.relu(1 - d))


@_case("pairwise_logistic_loss")
def _pairwise_logistic(inputs, weights):
  return _pairs(inputs, lambda d: tf.nn.softplus(-d))


@_case("pairwise_soft_zero_one_loss")
def _pairwise_soft_zero_one(inputs, weights):
  return _pairs(inputs, lambda d: 1 - tf.sigmoid(d))


@_case("softmax_loss")
def _softmax(inputs, weights):
  labels, logits = inputs
  sums = tf.reduce_sum(labels, axis=1)
  entropy = tf.nn.softmax_cross_entropy_with_logits(labels / sums[:, tf.newaxis], logits)
  return tf.reduce_mean(entropy * sums)[tf.newaxis]


@_case("sigmoid_cross_entropy_loss")
def _sigmoid_cross_entropy(inputs, weights):
  return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels=inputs[0], logits=inputs[1]))[tf.newaxis]


@_case("mean_squared_loss")
def _mean_squared(inputs, weights):
  return tf.reduce_mean(tf.math.squared_difference(*inputs))[tf.newaxis]


@_case("list_mle_loss")
def _list_mle(inputs, weights):
  labels, logits = inputs
  ordered = tf.gather(logits, tf.argsort(labels, direction="DESCENDING"), batch_dims=1)
  rest = tf.math.cumulative_logsumexp(ordered, axis=1, reverse=True)
  return tf.reduce_mean(tf.reduce_sum(rest - ordered, axis=1))[tf.newaxis]


@_case("approx_ndcg_loss")
def _approx_ndcg(inputs, weights):
  labels, logits = inputs
  ranks = 0.5 + tf.reduce_sum(tf.sigmoid(10 * (logits[:, tf.newaxis, :] - logits[:, :, tf.newaxis])), axis=2)
  gains, ideal = tf.pow(2.0, labels) - 1, tf.sort(tf.pow(2.0, labels) - 1, direction="DESCENDING")
  best = tf.reduce_sum(ideal / tf.math.log1p(tf.range(1.0, ITEMS + 1)), axis=1)
  return -tf.reduce_mean(tf.reduce_sum(gains / tf.math.log1p(ranks), axis=1) / best)[tf.newaxis]
