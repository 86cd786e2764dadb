# SPDX-License-Identifier: Apache-2.0
"""Weights of pairs and items that turn a ranking loss towards a ranking measure."""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from monolith.native_training.losses import _ranking_utils as utils

_Function = Callable[[tf.Tensor], tf.Tensor]

# 2^(list_size - 1) is the largest weight of p-ListMLE, and 2^127 the largest power of two in float32.
_LONGEST_P_LIST = 128


class _LambdaWeight(abc.ABC):
  """Weights of sorted lists: labels come in the order of descending scores, so an item's position is its rank."""

  def _get_valid_pairs_and_clean_labels(self, sorted_labels: Any) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns which pairs have two valid items, bool `[batch, list, list]`, and labels with 0 for invalid items."""
    sorted_labels = tf.convert_to_tensor(sorted_labels)
    utils.require_lists(f"{type(self).__name__}: sorted_labels", sorted_labels)
    is_valid = utils.label_valid_fn(sorted_labels)
    pairs = tf.logical_and(is_valid[:, :, tf.newaxis], is_valid[:, tf.newaxis, :])
    return pairs, tf.where(is_valid, sorted_labels, tf.zeros_like(sorted_labels))

  @abc.abstractmethod
  def pair_weights(self, sorted_labels: Any) -> Any:
    """Returns the weight of each pair, `[batch, list, list]` or what broadcasts to it."""

  def individual_weights(self, sorted_labels: Any) -> tf.Tensor:
    """Returns the weight of each item, `[batch, list]`; the label unless a subclass says otherwise."""
    return tf.convert_to_tensor(sorted_labels)

  def valid_pair_weights(self, sorted_labels: tf.Tensor) -> Any:
    """`pair_weights` for who leaves out pairs with an invalid item: theirs may be anything finite."""
    return self.pair_weights(sorted_labels)


class IdentityLambdaWeight(_LambdaWeight):
  """Weighs all pairs alike."""

  def pair_weights(self, sorted_labels: Any) -> float:
    return 1.0


class DCGLambdaWeight(_LambdaWeight):
  """Weighs a pair by how much DCG changes when its items change places.

  With G the gain of a label, D the discount of a rank and s the smooth_fraction, the weight is
  `|G_i - G_j| * ((1 - s) * |D(|i - j|) - D(|i - j| + 1)| + s * |D(i) - D(j)|)`. The
  first term is LambdaLoss (Wang et al., "The LambdaLoss Framework for Ranking Metric Optimization", CIKM 2018), the
  second LambdaMART.

  Args:
    topn: ranks beyond it are worth nothing, and a pair needs an item within; None is all.
    gain_fn: label to gain.
    rank_discount_fn: rank, from 1, to discount.
    normalized: divide gains by the DCG of the best order.
    smooth_fraction: in [0, 1]; how much of LambdaMART.

  Raises:
    ValueError: `smooth_fraction` is out of range, or `topn` not positive.
  """

  def __init__(
    self,
    topn: int | None = None,
    gain_fn: _Function = lambda label: label,
    rank_discount_fn: _Function = lambda rank: 1.0 / rank,
    normalized: bool = False,
    smooth_fraction: float = 0.0,
  ):
    if not 0.0 <= smooth_fraction <= 1.0:
      raise ValueError(f"DCGLambdaWeight: smooth_fraction is {smooth_fraction}; it must be in [0, 1].")
    if topn is not None and topn <= 0:
      raise ValueError(f"DCGLambdaWeight: topn is {topn}; it must be > 0, or None for all ranks.")
    self._topn = topn
    self._gain_fn = gain_fn
    self._rank_discount_fn = rank_discount_fn
    self._normalized = normalized
    self._smooth_fraction = smooth_fraction

  def pair_weights(self, sorted_labels: Any) -> tf.Tensor:
    pairs, labels = self._get_valid_pairs_and_clean_labels(sorted_labels)
    weights = self._all_pair_weights(labels)
    return weights * tf.cast(pairs, weights.dtype)

  def valid_pair_weights(self, sorted_labels: tf.Tensor) -> Any:
    if type(self).pair_weights is not DCGLambdaWeight.pair_weights:
      return self.pair_weights(sorted_labels)
    return self._all_pair_weights(tf.maximum(sorted_labels, tf.zeros_like(sorted_labels)))

  def _all_pair_weights(self, labels: tf.Tensor) -> tf.Tensor:
    gain = self._gain(labels)
    pair_gain = tf.abs(gain[:, :, tf.newaxis] - gain[:, tf.newaxis, :])
    ranks = utils.ranks_of(labels)
    topn = tf.cast(tf.shape(labels)[1] if self._topn is None else self._topn, ranks.dtype)
    discount = (1.0 - self._smooth_fraction) * self._relative_discount(ranks, topn)
    if self._smooth_fraction > 0:
      discount += self._smooth_fraction * self._absolute_discount(ranks, topn)
    weights = pair_gain * discount
    if self._topn is None:
      return weights
    within = ranks <= topn
    return weights * tf.cast(tf.logical_or(within[:, :, tf.newaxis], within[:, tf.newaxis, :]), weights.dtype)

  def _gain(self, labels: tf.Tensor) -> tf.Tensor:
    gain = self._gain_fn(labels)
    if self._normalized:
      gain *= utils.inverse_max_dcg(labels, self._gain_fn, self._rank_discount_fn, self._topn)
    return gain

  def _relative_discount(self, ranks: tf.Tensor, topn: tf.Tensor) -> tf.Tensor:
    """What LambdaLoss gives to ranks that lie so far apart; beyond topn all ranks are one."""
    capped = tf.minimum(ranks, topn + 1.0)
    apart = tf.abs(capped[:, :, tf.newaxis] - capped[:, tf.newaxis, :])
    some = tf.maximum(apart, 1.0)
    discount = tf.abs(self._rank_discount_fn(some) - self._rank_discount_fn(some + 1.0))
    return tf.where(apart > 0, discount, tf.zeros_like(discount))

  def _absolute_discount(self, ranks: tf.Tensor, topn: tf.Tensor) -> tf.Tensor:
    """What LambdaMART gives to two ranks."""
    discount = tf.where(ranks > topn, tf.zeros_like(ranks), self._rank_discount_fn(ranks))
    return tf.abs(discount[:, :, tf.newaxis] - discount[:, tf.newaxis, :])

  def individual_weights(self, sorted_labels: Any) -> tf.Tensor:
    _, labels = self._get_valid_pairs_and_clean_labels(sorted_labels)
    return self._gain(labels) * self._rank_discount_fn(utils.ranks_of(labels))


class PrecisionLambdaWeight(_LambdaWeight):
  """Weighs a pair 1 if changing its places changes precision at `topn`, else 0.

  Args:
    topn: how many ranks count.
    positive_fn: labels to bool; what counts as relevant.
  """

  def __init__(self, topn: int, positive_fn: _Function = lambda label: tf.greater_equal(label, 1.0)):
    if topn <= 0:
      raise ValueError(f"PrecisionLambdaWeight: topn is {topn}; it must be > 0.")
    self._topn = topn
    self._positive_fn = positive_fn

  def pair_weights(self, sorted_labels: Any) -> tf.Tensor:
    pairs, labels = self._get_valid_pairs_and_clean_labels(sorted_labels)
    positive = self._positive_fn(labels)
    differs = tf.math.logical_xor(positive[:, :, tf.newaxis], positive[:, tf.newaxis, :])
    within = utils.ranks_of(labels) <= tf.cast(self._topn, labels.dtype)
    crosses = tf.math.logical_xor(within[:, :, tf.newaxis], within[:, tf.newaxis, :])
    return tf.cast(pairs & differs & crosses, tf.float32)


class ListMLELambdaWeight(_LambdaWeight):
  """Weighs the ranks of ListMLE.

  Args:
    rank_discount_fn: rank, from 1, to weight.
  """

  def __init__(self, rank_discount_fn: _Function):
    self._rank_discount_fn = rank_discount_fn

  def pair_weights(self, sorted_labels: Any) -> Any:
    return sorted_labels

  def individual_weights(self, sorted_labels: Any) -> tf.Tensor:
    sorted_labels = tf.convert_to_tensor(sorted_labels)
    utils.require_lists("ListMLELambdaWeight: sorted_labels", sorted_labels)
    return tf.broadcast_to(self._rank_discount_fn(utils.ranks_of(sorted_labels)), tf.shape(sorted_labels))


def create_ndcg_lambda_weight(topn: int | None = None, smooth_fraction: float = 0.0) -> DCGLambdaWeight:
  """Returns weights for NDCG: gain `2^label - 1`, discount `1 / ln(1 + rank)`; see `DCGLambdaWeight`.

  Example:

  >>> weights = create_ndcg_lambda_weight().pair_weights([[1.0, 0.0]])
  >>> print(weights.numpy().round(4))
  [[[0.     0.3691]
    [0.3691 0.    ]]]
  """
  return DCGLambdaWeight(topn, utils.exponential_gain, utils.logarithmic_discount, True, smooth_fraction)


def create_reciprocal_rank_lambda_weight(topn: int | None = None, smooth_fraction: float = 0.0) -> DCGLambdaWeight:
  """Returns weights for the mean reciprocal rank: gain `label`, discount `1 / rank`; see `DCGLambdaWeight`."""
  return DCGLambdaWeight(topn, lambda label: label, lambda rank: 1.0 / rank, True, smooth_fraction)


def create_p_list_mle_lambda_weight(list_size: int) -> ListMLELambdaWeight:
  """Returns the weights of p-ListMLE, `2^(list_size - rank) - 1` (Lan et al., "Position-Aware ListMLE", UAI 2014).

  Args:
    list_size: items in a list, at most 128: weights of longer lists exceed float32.

  Raises:
    ValueError: `list_size` is out of range.
  """
  if not 0 < list_size <= _LONGEST_P_LIST:
    raise ValueError(
      f"create_p_list_mle_lambda_weight: list_size is {list_size}; it must be in [1, {_LONGEST_P_LIST}], since the "
      "weights are powers of two up to 2^(list_size - 1)."
    )
  return ListMLELambdaWeight(lambda rank: tf.pow(2.0, list_size - rank) - 1.0)
