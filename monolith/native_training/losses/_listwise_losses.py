# SPDX-License-Identifier: Apache-2.0
"""Losses over whole lists, and over items one by one."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from monolith.native_training.losses import _list_ops
from monolith.native_training.losses._lambda_weights import DCGLambdaWeight, ListMLELambdaWeight, _LambdaWeight
from monolith.native_training.losses._pairwise_losses import _sort_and_normalize

_Reduction = tf.compat.v1.losses.Reduction

# The share that an invalid item has in a softmax whose best item has the share 1.
_EPSILON = 1e-10


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
    labels, logits = _list_ops.float_lists(labels, logits)
    if isinstance(lambda_weight, DCGLambdaWeight):
      sorted_labels, logits, weights = _sort_and_normalize(labels, logits, weights)
      weights *= tf.cast(lambda_weight.individual_weights(sorted_labels), weights.dtype)
      # The weight is the target now; the sign still says which items there are.
      labels = tf.where(sorted_labels < 0, sorted_labels, tf.ones_like(sorted_labels))
    return _list_ops.list_loss("softmax_loss", labels, logits, _list_ops.weights_of_items(weights, labels), reduction)


def _item_loss(name: str, labels: Any, logits: Any, weights: Any, reduction: str) -> tf.Tensor:
  with tf.name_scope(name):
    labels, logits = _list_ops.float_lists(labels, logits)
    return _list_ops.list_loss(name, labels, logits, _list_ops.weights_of_items(weights, labels), reduction)


def _sigmoid_cross_entropy_loss(
  labels: Any, logits: Any, weights: Any = None, reduction: str = _Reduction.SUM_BY_NONZERO_WEIGHTS
) -> tf.Tensor:
  """Binary cross-entropy of every valid item by itself; arguments as of `_softmax_loss`."""
  return _item_loss("sigmoid_cross_entropy_loss", labels, logits, weights, reduction)


def _mean_squared_loss(
  labels: Any, logits: Any, weights: Any = None, reduction: str = _Reduction.SUM_BY_NONZERO_WEIGHTS
) -> tf.Tensor:
  """`(label - logit)^2` of every valid item by itself; arguments as of `_softmax_loss`."""
  return _item_loss("mean_squared_loss", labels, logits, weights, reduction)


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
    labels, logits = _list_ops.float_lists(labels, logits)
    ties = tf.random.uniform(tf.shape(labels), seed=seed, dtype=labels.dtype)
    rank_weights = tf.ones([1, 1], labels.dtype)
    if isinstance(lambda_weight, ListMLELambdaWeight):
      # Labels in the order of draws, in which ties make no difference; invalid items count as 0.
      sorted_labels = tf.sort(tf.maximum(labels, tf.zeros_like(labels)), axis=1, direction="DESCENDING")
      rank_weights = tf.cast(lambda_weight.individual_weights(sorted_labels), labels.dtype)
    list_weights = _list_ops.weights_of_lists("list_mle_loss", weights, labels)
    return _list_ops.list_mle_loss(labels, logits, list_weights, ties, rank_weights, reduction)


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
    labels, logits = _list_ops.float_lists(labels, logits)
    list_weights = _list_ops.weights_of_lists("approx_ndcg_loss", weights, labels)
    return _list_ops.list_loss("approx_ndcg_loss", labels, logits, list_weights, reduction, alpha)
