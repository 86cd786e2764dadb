# SPDX-License-Identifier: Apache-2.0
"""Losses over whole lists, and over items one by one."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from monolith.native_training.losses import _ranking_utils as utils
from monolith.native_training.losses._lambda_weights import DCGLambdaWeight, ListMLELambdaWeight, _LambdaWeight
from monolith.native_training.losses._pairwise_losses import as_lists, item_weights, _sort_and_normalize

_Reduction = tf.compat.v1.losses.Reduction

# The share that an invalid item has in a softmax whose best item has the share 1.
_EPSILON = 1e-10


def _list_weights(name: str, weights: Any, labels: tf.Tensor) -> tf.Tensor:
  """Returns weights, None for 1, a scalar, `[batch]` or `[batch, 1]`, as `[batch]`.

  Raises:
    ValueError: weights have a number an item.
  """
  weights = tf.cast(1.0 if weights is None else weights, labels.dtype)
  shape = weights.shape
  if shape.rank is not None and (shape.rank > 2 or (shape.rank == 2 and shape[1] not in (1, None))):
    raise ValueError(f"{name}: weights are {shape}; pass one number a list, [batch, 1], or a scalar.")
  return tf.broadcast_to(tf.reshape(weights, [-1]), tf.shape(labels)[:1])


def _softmax_loss(
  labels: Any,
  logits: Any,
  weights: Any = None,
  lambda_weight: _LambdaWeight | None = None,
  reduction: str = _Reduction.SUM_BY_NONZERO_WEIGHTS,
) -> tf.Tensor:
  """Cross-entropy of the labels, brought to a sum of 1, with the softmax of a list, weighted by the sum of its labels.

  ListNet's (Cao et al., ICML 2007). Lists whose labels are all 0 do not count.

  Args:
    labels: number `[batch, list]`; negative is invalid.
    logits: float `[batch, list]`.
    weights: None, a scalar, `[batch, 1]` or `[batch, list]`; multiply the labels.
    lambda_weight: a `DCGLambdaWeight` replaces labels by its weights of items; others are ignored.
    reduction: one of `tf.compat.v1.losses.Reduction`.
  """
  with tf.name_scope("softmax_loss"):
    sorted_labels, sorted_logits, sorted_weights = _sort_and_normalize(labels, logits, weights)
    targets, _, is_valid = as_lists(sorted_labels, sorted_logits)
    if isinstance(lambda_weight, DCGLambdaWeight):
      targets = tf.cast(lambda_weight.individual_weights(sorted_labels), targets.dtype)
    targets *= sorted_weights
    sums = tf.reduce_sum(targets, axis=1)
    some = sums > 0
    sums = tf.boolean_mask(sums, some)
    shares = tf.stop_gradient(tf.boolean_mask(targets, some) / sums[:, tf.newaxis])
    logits = tf.boolean_mask(_below_the_best(sorted_logits, is_valid), some)
    # Written out, since the op for it takes no lists without items.
    entropy = -tf.reduce_sum(tf.math.multiply_no_nan(tf.nn.log_softmax(logits), shares), axis=1)
    return tf.compat.v1.losses.compute_weighted_loss(entropy, weights=sums, reduction=reduction)


def _below_the_best(logits: tf.Tensor, is_valid: tf.Tensor) -> tf.Tensor:
  """Returns logits less the best valid one of their list, and for invalid items one with a share of almost 0."""
  lowest = tf.fill(tf.shape(logits), logits.dtype.min)
  best = tf.reduce_max(tf.where(is_valid, logits, lowest), axis=1, keepdims=True)
  shifted = tf.where(is_valid, logits - tf.stop_gradient(best), tf.zeros_like(logits))
  return tf.where(is_valid, shifted, tf.fill(tf.shape(logits), tf.math.log(tf.constant(_EPSILON, logits.dtype))))


def _flat_valid_items(labels: Any, logits: Any, weights: Any) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
  """Returns labels, logits and weights of the valid items of all lists, `[?]` each."""
  labels, logits, is_valid = as_lists(labels, logits)
  weights = item_weights(weights, labels)
  return tf.boolean_mask(labels, is_valid), tf.boolean_mask(logits, is_valid), tf.boolean_mask(weights, is_valid)


def _sigmoid_cross_entropy_loss(
  labels: Any, logits: Any, weights: Any = None, reduction: str = _Reduction.SUM_BY_NONZERO_WEIGHTS
) -> tf.Tensor:
  """Binary cross-entropy of every valid item by itself; arguments as of `_softmax_loss`."""
  with tf.name_scope("sigmoid_cross_entropy_loss"):
    labels, logits, weights = _flat_valid_items(labels, logits, weights)
    return tf.compat.v1.losses.sigmoid_cross_entropy(labels, logits, weights=weights, reduction=reduction)


def _mean_squared_loss(
  labels: Any, logits: Any, weights: Any = None, reduction: str = _Reduction.SUM_BY_NONZERO_WEIGHTS
) -> tf.Tensor:
  """`(label - logit)^2` of every valid item by itself; arguments as of `_softmax_loss`."""
  with tf.name_scope("mean_squared_loss"):
    labels, logits, weights = _flat_valid_items(labels, logits, weights)
    squares = tf.math.squared_difference(logits, labels)
    return tf.compat.v1.losses.compute_weighted_loss(squares, weights=weights, reduction=reduction)


def _list_mle_loss(
  labels: Any,
  logits: Any,
  weights: Any = None,
  lambda_weight: _LambdaWeight | None = None,
  reduction: str = _Reduction.SUM_BY_NONZERO_WEIGHTS,
  seed: int | None = None,
) -> tf.Tensor:
  """Minus the log-likelihood of the order of labels, if items are drawn one after another by the softmax of the rest.

  Xia et al., "Listwise approach to learning to rank", ICML 2008. Items with equal labels are put into random order. A
  list with k invalid items has ln(k!) more, the cost of ordering them among themselves, which no gradient sees.

  Args:
    labels: number `[batch, list]`; negative is invalid.
    logits: float `[batch, list]`.
    weights: None, a scalar or `[batch, 1]`: of the lists.
    lambda_weight: a `ListMLELambdaWeight` weighs the draws by rank; others are ignored.
    reduction: one of `tf.compat.v1.losses.Reduction`.
    seed: of the order of equal labels.
  """
  with tf.name_scope("list_mle_loss"):
    labels, logits, is_valid = as_lists(labels, logits)
    list_weights = _list_weights("list_mle_loss", weights, labels)
    indices = utils.shuffle_valid_indices(is_valid, seed)
    shuffled = [tf.gather_nd(tensor, indices) for tensor in (labels, logits, is_valid)]
    # Invalid items stand last already, and sort behind valid ones of the label 0.
    sorted_labels, sorted_logits, sorted_valid = utils.sort_by_scores(shuffled[0], shuffled)
    costs = _draw_costs(sorted_logits, sorted_valid)
    if isinstance(lambda_weight, ListMLELambdaWeight):
      costs *= tf.cast(lambda_weight.individual_weights(sorted_labels), costs.dtype)
    return tf.compat.v1.losses.compute_weighted_loss(
      tf.reduce_sum(costs, axis=1), weights=list_weights, reduction=reduction
    )


def _draw_costs(logits: tf.Tensor, is_valid: tf.Tensor) -> tf.Tensor:
  """Returns -ln of the share of each item among those from it on, `[batch, list]`; invalid items stand last."""
  # Low enough for no share, high enough for differences to stay finite.
  lowest = tf.fill(tf.shape(logits), logits.dtype.min / 8)
  masked = tf.where(is_valid, logits, lowest)
  costs = tf.math.cumulative_logsumexp(masked, axis=1, reverse=True) - masked
  invalid = tf.cumsum(tf.cast(tf.logical_not(is_valid), logits.dtype), axis=1, reverse=True)
  return tf.where(is_valid, costs, tf.math.log(tf.maximum(invalid, 1.0)))


def _approx_ndcg_loss(
  labels: Any, logits: Any, weights: Any = None, reduction: str = _Reduction.SUM, alpha: float = 10.0
) -> tf.Tensor:
  """Minus NDCG with smooth ranks; lists whose labels are all 0 do not count.

  Qin, Liu and Li, Information Retrieval 13 (2010); see `approx_ranks`.

  Args:
    labels: number `[batch, list]`; negative is invalid.
    logits: float `[batch, list]`.
    weights: None, a scalar or `[batch, 1]`: of the lists.
    reduction: one of `tf.compat.v1.losses.Reduction`.
    alpha: sharpness of the ranks.
  """
  with tf.name_scope("approx_ndcg_loss"):
    labels, logits, is_valid = as_lists(labels, logits)
    list_weights = _list_weights("approx_ndcg_loss", weights, labels)
    some = tf.reduce_sum(labels, axis=1) > 0
    labels, logits, is_valid, list_weights = (
      tf.boolean_mask(tensor, some) for tensor in (labels, logits, is_valid, list_weights)
    )
    ranks = utils.approx_ranks(logits, alpha, is_valid)
    dcg = tf.reduce_sum(utils.exponential_gain(labels) * utils.logarithmic_discount(ranks), axis=1)
    costs = -dcg * utils.inverse_max_dcg(labels)[:, 0]
    return tf.compat.v1.losses.compute_weighted_loss(costs, weights=list_weights, reduction=reduction)
