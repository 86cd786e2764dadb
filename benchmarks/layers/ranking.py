# SPDX-License-Identifier: Apache-2.0
"""Ranking losses as registry.py has them: a batch of lists of 20 items with labels 0 to 4.

The first compositions do less than the losses: they know neither invalid items nor weights. Those of `..._padded` do
the same: a quarter of the items is invalid, and items or lists have weights.
"""

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


def _padded(shape: tuple[int, ...]) -> Callable[[int], list[np.ndarray]]:
  """The same with invalid items, and weights of a shape a list."""

  def inputs(batch: int) -> list[np.ndarray]:
    labels, logits = _lists(batch)
    generator = np.random.default_rng(4)
    labels[generator.random(labels.shape) < 0.25] = -1
    return [labels, logits, generator.uniform(0.5, 2, (batch, *shape)).astype(np.float32)]

  return inputs


def _loss(key: str, **settings: Any) -> Callable[[], Any]:
  def make() -> Any:
    plain = ltr_losses.make_loss_fn(key, seed=1, **settings)
    weighted = ltr_losses.make_loss_fn(key, seed=1, weights_feature_name="w", **settings)
    return lambda inputs: (weighted(*inputs[:2], {"w": inputs[2]}) if inputs[2:] else plain(*inputs))[tf.newaxis]

  return make


def _register(name: str, inputs: Callable[[int], list[np.ndarray]], make: Callable[[], Any]) -> Any:
  """Registers a composition, in which labels and weights are data as they are in the losses."""

  def register(composition: Callable[[Any, Any], tf.Tensor]) -> Any:
    case(name, inputs, make)(
      lambda inputs, weights: composition([x if i == 1 else tf.stop_gradient(x) for i, x in enumerate(inputs)], weights)
    )
    return composition

  return register


def _case(key: str) -> Any:
  return _register(key.removesuffix("_loss"), _lists, _loss(key))


def _padded_case(key: str) -> Any:
  shape = (1,) if key in ("list_mle_loss", "approx_ndcg_loss") else (ITEMS,)
  return _register(key.removesuffix("_loss") + "_padded", _padded(shape), _loss(key))


def _pairs(inputs: Any, cost: Callable[[tf.Tensor], tf.Tensor]) -> tf.Tensor:
  """The mean cost of the pairs whose first has the higher label, times the difference of the labels."""
  labels, logits = inputs
  above = tf.nn.relu(labels[:, :, tf.newaxis] - labels[:, tf.newaxis, :])
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


# The same with invalid items and weights.


def _mean(costs: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
  """The weighted sum over how many weights are not 0."""
  return (tf.reduce_sum(costs * weights) / tf.math.count_nonzero(weights, dtype=tf.float32))[tf.newaxis]


def _weighted_pairs(inputs: Any, cost: Callable[[tf.Tensor], tf.Tensor]) -> tf.Tensor:
  labels, logits, weights = inputs
  valid = labels >= 0
  above = tf.nn.relu(labels[:, :, tf.newaxis] - labels[:, tf.newaxis, :])
  above = tf.where(valid[:, :, tf.newaxis] & valid[:, tf.newaxis, :], above, tf.zeros_like(above))
  costs = cost(logits[:, :, tf.newaxis] - logits[:, tf.newaxis, :])
  return _mean(costs, above * weights[:, :, tf.newaxis])


@_padded_case("pairwise_hinge_loss")
def _pairwise_hinge_padded(inputs, weights):
  return _weighted_pairs(inputs, lambda d: tf.nn.relu(1 - d))


@_padded_case("pairwise_logistic_loss")
def _pairwise_logistic_padded(inputs, weights):
  return _weighted_pairs(inputs, lambda d: tf.nn.softplus(-d))


@_padded_case("pairwise_soft_zero_one_loss")
def _pairwise_soft_zero_one_padded(inputs, weights):
  return _weighted_pairs(inputs, lambda d: 1 - tf.sigmoid(d))


@_padded_case("softmax_loss")
def _softmax_padded(inputs, weights):
  labels, logits, items = inputs
  targets = tf.nn.relu(labels) * items
  sums = tf.reduce_sum(targets, axis=1)
  shares = tf.math.divide_no_nan(targets, sums[:, tf.newaxis])
  masked = tf.where(labels >= 0, logits, tf.fill(tf.shape(logits), -1e9))
  return _mean(tf.nn.softmax_cross_entropy_with_logits(shares, masked), sums)


def _valid_weights(inputs: Any) -> tf.Tensor:
  return tf.where(inputs[0] >= 0, inputs[2], tf.zeros_like(inputs[2]))


@_padded_case("sigmoid_cross_entropy_loss")
def _sigmoid_cross_entropy_padded(inputs, weights):
  costs = tf.nn.sigmoid_cross_entropy_with_logits(labels=inputs[0], logits=inputs[1])
  return _mean(costs, _valid_weights(inputs))


@_padded_case("mean_squared_loss")
def _mean_squared_padded(inputs, weights):
  return _mean(tf.math.squared_difference(*inputs[:2]), _valid_weights(inputs))


@_padded_case("list_mle_loss")
def _list_mle_padded(inputs, weights):
  labels, logits, lists = inputs
  order = tf.argsort(labels, direction="DESCENDING")
  ordered, valid = tf.gather(logits, order, batch_dims=1), tf.gather(labels, order, batch_dims=1) >= 0
  masked = tf.where(valid, ordered, tf.fill(tf.shape(ordered), -1e9))
  costs = tf.math.cumulative_logsumexp(masked, axis=1, reverse=True) - masked
  costs = tf.reduce_sum(tf.where(valid, costs, tf.zeros_like(costs)), axis=1)
  # Invalid items are put into order among themselves.
  return _mean(costs + tf.math.lgamma(1.0 + tf.math.count_nonzero(~valid, axis=1, dtype=tf.float32)), lists[:, 0])


@_padded_case("approx_ndcg_loss")
def _approx_ndcg_padded(inputs, weights):
  labels, logits, lists = inputs
  valid, labels = labels >= 0, tf.nn.relu(labels)
  above = tf.sigmoid(10 * (logits[:, tf.newaxis, :] - logits[:, :, tf.newaxis]))
  ranks = 0.5 + tf.reduce_sum(above * tf.cast(valid, tf.float32)[:, tf.newaxis, :], axis=2)
  gains, ideal = tf.pow(2.0, labels) - 1, tf.sort(tf.pow(2.0, labels) - 1, direction="DESCENDING")
  best = tf.reduce_sum(ideal / tf.math.log1p(tf.range(1.0, ITEMS + 1)), axis=1)
  dcg = tf.reduce_sum(gains / tf.math.log1p(ranks), axis=1)
  some = tf.reduce_sum(labels, axis=1) > 0
  return _mean(tf.math.divide_no_nan(-dcg, best), tf.where(some, lists[:, 0], tf.zeros_like(best)))


# With weights of pairs that depend on ranks.


@_register(
  "pairwise_logistic_ndcg_padded",
  _padded((ITEMS,)),
  _loss("pairwise_logistic_loss", lambda_weight=ltr_losses.create_ndcg_lambda_weight()),
)
def _pairwise_logistic_ndcg_padded(inputs, weights):
  labels, logits, items = inputs
  _, order = tf.math.top_k(tf.where(labels >= 0, logits, tf.fill(tf.shape(logits), -1e9)), ITEMS)
  labels, logits, items = (tf.gather(x, order, batch_dims=1) for x in (labels, logits, items))
  valid, ranks = labels >= 0, tf.range(1.0, ITEMS + 1)
  gains = tf.pow(2.0, tf.nn.relu(labels)) - 1
  best = tf.reduce_sum(tf.sort(gains, direction="DESCENDING") / tf.math.log1p(ranks), axis=1, keepdims=True)
  gains = tf.math.divide_no_nan(gains, best)
  apart = tf.abs(ranks[:, tf.newaxis] - ranks)
  discount = tf.where(apart > 0, 1 / tf.math.log1p(tf.maximum(apart, 1)) - 1 / tf.math.log1p(apart + 1), 0.0)
  above = labels[:, :, tf.newaxis] > labels[:, tf.newaxis, :]
  above = tf.cast(above & valid[:, :, tf.newaxis] & valid[:, tf.newaxis, :], tf.float32)
  pairs = above * discount * tf.abs(gains[:, :, tf.newaxis] - gains[:, tf.newaxis, :])
  costs = tf.nn.softplus(logits[:, tf.newaxis, :] - logits[:, :, tf.newaxis])
  return _mean(costs, ITEMS * pairs * items[:, :, tf.newaxis])
