# SPDX-License-Identifier: Apache-2.0
"""Losses over the pairs of a list whose labels differ: the better item should score higher."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from monolith.native_training.losses import _list_ops
from monolith.native_training.losses import _ranking_utils as utils
from monolith.native_training.losses._lambda_weights import _LambdaWeight

_BY_NONZERO_WEIGHTS = tf.compat.v1.losses.Reduction.SUM_BY_NONZERO_WEIGHTS


def as_lists(labels: Any, logits: Any) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
  """Returns labels and logits as float32 or float64 `[batch, list]`, both 0 in invalid items, and which are valid.

  So nothing that stands in an invalid item's logit, NaN included, reaches a result or a gradient.

  Raises:
    ValueError: not of rank 2, or of two shapes.
  """
  labels, logits = _list_ops.float_lists(labels, logits)
  is_valid = utils.label_valid_fn(labels)
  zeros = tf.zeros_like(logits)
  return tf.where(is_valid, labels, zeros), tf.where(is_valid, logits, zeros), is_valid


def item_weights(weights: Any, labels: tf.Tensor) -> tf.Tensor:
  """Returns weights, None for 1, a scalar, `[batch, 1]` or `[batch, list]`, in the shape of the labels."""
  weights = tf.cast(1.0 if weights is None else weights, labels.dtype)
  return weights * tf.ones_like(labels)


def _sort_and_normalize(labels: Any, logits: Any, weights: Any = None) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
  """Sorts labels, logits and weights by descending logits, invalid items last.

  Returns:
    float `[batch, list]` three times; invalid items keep a negative label and have the logit 0.
  """
  clean, logits, is_valid = as_lists(labels, logits)
  scores = tf.where(is_valid, logits, tf.fill(tf.shape(logits), tf.constant(float("-inf"), logits.dtype)))
  marked = tf.where(is_valid, clean, -tf.ones_like(clean))
  sorted_labels, sorted_logits, sorted_weights = utils.sort_by_scores(
    tf.stop_gradient(scores), [marked, logits, item_weights(weights, clean)]
  )
  return sorted_labels, sorted_logits, sorted_weights


def _pairwise_comparison(
  sorted_labels: tf.Tensor,
  sorted_logits: tf.Tensor,
  sorted_weights: tf.Tensor,
  lambda_weight: _LambdaWeight | None = None,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
  """Compares every item i of a list with every item j.

  Returns:
    Whether i's label is the larger one, `s_i - s_j`, and the weight of the pair: that of i, times the lambda weight or
    else the difference of the labels, 0 where an item is invalid or i's label is not larger. float `[batch, list,
    list]` each; weights have no gradient.
  """
  logit_differences = sorted_logits[:, :, tf.newaxis] - sorted_logits[:, tf.newaxis, :]
  # Nothing is better than an invalid item, and an invalid item better than nothing, as its label is negative.
  is_valid = utils.label_valid_fn(sorted_labels)
  worse = tf.where(is_valid, sorted_labels, tf.fill(tf.shape(sorted_labels), sorted_labels.dtype.max))
  counts = sorted_labels[:, :, tf.newaxis] > worse[:, tf.newaxis, :]
  pair_labels = tf.cast(counts, sorted_logits.dtype)
  weights = pair_labels * sorted_weights[:, :, tf.newaxis]
  if lambda_weight is not None:
    weights *= tf.cast(lambda_weight.valid_pair_weights(sorted_labels), weights.dtype)
  else:
    weights *= tf.abs(sorted_labels[:, :, tf.newaxis] - sorted_labels[:, tf.newaxis, :])
  return pair_labels, logit_differences, tf.stop_gradient(weights)


def _pairwise_loss(
  loss_fn: Callable[[tf.Tensor], tf.Tensor],
  labels: Any,
  logits: Any,
  weights: Any = None,
  lambda_weight: _LambdaWeight | None = None,
  lambda_scale: bool = True,
  reduction: str = _BY_NONZERO_WEIGHTS,
) -> tf.Tensor:
  """Reduces `loss_fn(s_i - s_j)` over the pairs whose i is better.

  Args:
    loss_fn: loss of a difference.
    labels: number `[batch, list]`; negative is invalid.
    logits: float `[batch, list]`.
    weights: None, a scalar, `[batch, 1]` or `[batch, list]`; the weight of a pair is that of its better item.
    lambda_weight: weight of the pairs; None is the difference of the labels.
    lambda_scale: multiply lambda weights by the list size, against their shrinking with it.
    reduction: one of `tf.compat.v1.losses.Reduction`.
  """
  sorted_labels, sorted_logits, sorted_weights = _sort_and_normalize(labels, logits, weights)
  if lambda_weight is not None and lambda_scale:
    sorted_weights *= tf.cast(tf.shape(sorted_weights)[1], sorted_weights.dtype)
  _, differences, pair_weights = _pairwise_comparison(sorted_labels, sorted_logits, sorted_weights, lambda_weight)
  return _list_ops.reduce_loss(loss_fn(differences), pair_weights, reduction)


def _by_name(
  name: str,
  loss_fn: Callable[[tf.Tensor], tf.Tensor],
  labels: Any,
  logits: Any,
  weights: Any,
  lambda_weight: _LambdaWeight | None,
  lambda_scale: bool,
  reduction: str,
) -> tf.Tensor:
  """Without a lambda weight nothing depends on ranks, and the op for it stores no pair."""
  with tf.name_scope(name):
    if lambda_weight is not None:
      return _pairwise_loss(loss_fn, labels, logits, weights, lambda_weight, lambda_scale, reduction)
    labels, logits = _list_ops.float_lists(labels, logits)
    return _list_ops.list_loss(name, labels, logits, _list_ops.weights_of_items(weights, labels), reduction)


def _pairwise_hinge_loss(
  labels: Any,
  logits: Any,
  weights: Any = None,
  lambda_weight: _LambdaWeight | None = None,
  lambda_scale: bool = True,
  reduction: str = _BY_NONZERO_WEIGHTS,
) -> tf.Tensor:
  """`max(0, 1 - (s_i - s_j))`; see `_pairwise_loss`."""
  hinge = lambda d: tf.nn.relu(1.0 - d)  # noqa: E731
  return _by_name("pairwise_hinge_loss", hinge, labels, logits, weights, lambda_weight, lambda_scale, reduction)


def _pairwise_logistic_loss(
  labels: Any,
  logits: Any,
  weights: Any = None,
  lambda_weight: _LambdaWeight | None = None,
  lambda_scale: bool = True,
  reduction: str = _BY_NONZERO_WEIGHTS,
) -> tf.Tensor:
  """`ln(1 + e^-(s_i - s_j))`, RankNet's (Burges et al., ICML 2005); see `_pairwise_loss`."""
  # Spelled with an absolute value, the same function has no gradient where scores are equal, as they first are.
  logistic = lambda d: tf.nn.softplus(-d)  # noqa: E731
  return _by_name("pairwise_logistic_loss", logistic, labels, logits, weights, lambda_weight, lambda_scale, reduction)


def _pairwise_soft_zero_one_loss(
  labels: Any,
  logits: Any,
  weights: Any = None,
  lambda_weight: _LambdaWeight | None = None,
  reduction: str = _BY_NONZERO_WEIGHTS,
) -> tf.Tensor:
  """`1 - sigmoid(s_i - s_j)`, near 1 for a pair in the wrong order; see `_pairwise_loss`."""
  zero_one = lambda d: tf.sigmoid(-d)  # noqa: E731
  return _by_name("pairwise_soft_zero_one_loss", zero_one, labels, logits, weights, lambda_weight, True, reduction)
