# SPDX-License-Identifier: Apache-2.0
"""Learning to rank: losses over lists of items, by name.

    loss_fn = make_loss_fn(RankingLossKey.SOFTMAX_LOSS)
    loss = loss_fn(labels, logits, features)

Labels and logits are `[batch, list]`: lists of the same length, filled up with items of a negative label, which take no
part. `get_batch_idx_size` makes lists of the rows of a batch. The definitions are those of TensorFlow Ranking
(https://arxiv.org/abs/1812.00073).

Logits get gradients; labels and weights are data and get none. Without a lambda weight, a loss is one op that goes
through the lists once: memory grows with the items, not with their pairs, a result has the same bits for any number of
threads, and there is no second derivative (LookupError). Pairwise losses with a lambda weight sort by score and take
memory for `[batch, list, list]`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from monolith.native_training.losses._lambda_weights import (
  DCGLambdaWeight,
  IdentityLambdaWeight,
  ListMLELambdaWeight,
  PrecisionLambdaWeight,
  _LambdaWeight,
  create_ndcg_lambda_weight,
  create_p_list_mle_lambda_weight,
  create_reciprocal_rank_lambda_weight,
)
from monolith.native_training.losses._listwise_losses import (
  _EPSILON,
  _approx_ndcg_loss,
  _list_mle_loss,
  _mean_squared_loss,
  _sigmoid_cross_entropy_loss,
  _softmax_loss,
)
from monolith.native_training.losses._pairwise_losses import (
  _pairwise_comparison,
  _pairwise_hinge_loss,
  _pairwise_logistic_loss,
  _pairwise_loss,
  _pairwise_soft_zero_one_loss,
  _sort_and_normalize,
)
from monolith.native_training.losses._ranking_utils import (
  approx_ranks,
  get_batch_idx_size,
  inverse_max_dcg,
  label_valid_fn,
  organize_valid_indices,
  reshape_first_ndims,
  shuffle_valid_indices,
  sort_by_scores,
)

__all__ = [
  "DCGLambdaWeight", "IdentityLambdaWeight", "ListMLELambdaWeight", "PrecisionLambdaWeight", "RankingLossKey",
  "_EPSILON", "_LambdaWeight", "_approx_ndcg_loss", "_list_mle_loss", "_mean_squared_loss", "_pairwise_comparison",
  "_pairwise_hinge_loss", "_pairwise_logistic_loss", "_pairwise_loss", "_pairwise_soft_zero_one_loss",
  "_sigmoid_cross_entropy_loss", "_softmax_loss", "_sort_and_normalize", "approx_ranks", "create_ndcg_lambda_weight",
  "create_p_list_mle_lambda_weight", "create_reciprocal_rank_lambda_weight", "get_batch_idx_size", "inverse_max_dcg",
  "label_valid_fn", "make_loss_fn", "organize_valid_indices", "reshape_first_ndims", "shuffle_valid_indices",
  "sort_by_scores",
]  # fmt: skip

_Reduction = tf.compat.v1.losses.Reduction


class RankingLossKey:
  """Names of the losses."""

  PAIRWISE_HINGE_LOSS = "pairwise_hinge_loss"
  PAIRWISE_LOGISTIC_LOSS = "pairwise_logistic_loss"
  PAIRWISE_SOFT_ZERO_ONE_LOSS = "pairwise_soft_zero_one_loss"
  SOFTMAX_LOSS = "softmax_loss"
  SIGMOID_CROSS_ENTROPY_LOSS = "sigmoid_cross_entropy_loss"
  MEAN_SQUARED_LOSS = "mean_squared_loss"
  LIST_MLE_LOSS = "list_mle_loss"
  APPROX_NDCG_LOSS = "approx_ndcg_loss"


# Loss -> how it is computed; those that take a lambda_weight or a seed get them.
_LOSSES: dict[str, Callable[..., tf.Tensor]] = {
  RankingLossKey.PAIRWISE_HINGE_LOSS: _pairwise_hinge_loss,
  RankingLossKey.PAIRWISE_LOGISTIC_LOSS: _pairwise_logistic_loss,
  RankingLossKey.PAIRWISE_SOFT_ZERO_ONE_LOSS: _pairwise_soft_zero_one_loss,
  RankingLossKey.SOFTMAX_LOSS: _softmax_loss,
  RankingLossKey.SIGMOID_CROSS_ENTROPY_LOSS: _sigmoid_cross_entropy_loss,
  RankingLossKey.MEAN_SQUARED_LOSS: _mean_squared_loss,
  RankingLossKey.LIST_MLE_LOSS: _list_mle_loss,
  RankingLossKey.APPROX_NDCG_LOSS: _approx_ndcg_loss,
}


def make_loss_fn(
  loss_keys: str | Sequence[str],
  loss_weights: Sequence[float] | None = None,
  weights_feature_name: str | None = None,
  lambda_weight: _LambdaWeight | None = None,
  reduction: str = _Reduction.SUM_BY_NONZERO_WEIGHTS,
  name: str | None = None,
  seed: int | None = None,
  extra_args: dict[str, Any] | None = None,
) -> Callable[..., tf.Tensor]:
  """Returns a loss function of one or more ranking losses.

  Args:
    loss_keys: names of `RankingLossKey`, one or a list.
    loss_weights: one number a loss; None adds the losses as they are.
    weights_feature_name: the feature with the weights: `[batch, 1]`, or `[batch, list]` for losses that weigh items.
    lambda_weight: for pairwise losses, softmax_loss (a `DCGLambdaWeight`) and list_mle_loss (a `ListMLELambdaWeight`).
    reduction: one of `tf.compat.v1.losses.Reduction` but NONE, of every loss. The default divides by how many weights
      are not 0, so that approx_ndcg_loss is a mean over lists.
    name: prefix of the ops' names.
    seed: of the order of equal labels in list_mle_loss.
    extra_args: further arguments, passed to every loss, such as `alpha` of approx_ndcg_loss or `lambda_scale` of
      the pairwise hinge and logistic losses.

  Returns:
    A function of labels `[batch, list]`, logits `[batch, list]` and a dict of features that returns a scalar. It raises
    ValueError for an unknown loss, an argument that a loss does not take, or a missing feature.

  Raises:
    ValueError: there is no loss, the numbers of losses and weights differ, or the reduction is none of these.

  Example:

  >>> loss_fn = make_loss_fn(RankingLossKey.PAIRWISE_HINGE_LOSS)
  >>> labels = [[1.0, 0.0, 2.0], [0.0, 1.0, -1.0]]
  >>> loss = loss_fn(labels, logits=[[0.2, 0.5, 0.1], [0.3, -0.4, 0.9]], features={})
  >>> print(f"{loss.numpy():.3f}")
  1.725
  """
  if reduction not in _Reduction.all() or reduction == _Reduction.NONE:
    raise ValueError(f"Invalid reduction: {reduction}; give one of tf.compat.v1.losses.Reduction but NONE.")
  keys = [loss_keys] if isinstance(loss_keys, str) and loss_keys else list(loss_keys or ())
  if not keys:
    raise ValueError("loss_keys is empty; give one or more names of RankingLossKey.")
  if loss_weights is not None and len(loss_weights) != len(keys):
    raise ValueError(f"loss_weights has {len(loss_weights)} numbers for {len(keys)} loss_keys; give one a loss.")

  def loss_fn(labels: Any, logits: Any, features: dict[str, Any] | None = None) -> tf.Tensor:
    weights = _weights(features, weights_feature_name)
    settings = {"reduction": reduction, **(extra_args or {})}
    with tf.name_scope(name or "ranking_loss"):
      losses = [_compute(key, labels, logits, weights, lambda_weight, seed, settings) for key in keys]
      if loss_weights is not None:
        losses = [loss * weight for loss, weight in zip(losses, loss_weights, strict=True)]
      return tf.add_n(losses)

  return loss_fn


def _weights(features: dict[str, Any] | None, name: str | None) -> Any:
  if name is None:
    return None
  if name not in (features or {}):
    raise ValueError(
      f"weights_feature_name is {name!r}, but the features are {sorted(features or {})}; add it to them."
    )
  return (features or {})[name]


def _compute(
  key: str,
  labels: Any,
  logits: Any,
  weights: Any,
  lambda_weight: _LambdaWeight | None,
  seed: int | None,
  settings: dict[str, Any],
) -> tf.Tensor:
  """Calls one loss with those of the settings that it must have and those that it may have."""
  if key not in _LOSSES:
    raise ValueError(f"Invalid loss_key: {key}; give one of {', '.join(sorted(_LOSSES))}.")
  accepted = set(inspect.signature(_LOSSES[key]).parameters)
  optional = {"lambda_weight": lambda_weight, "seed": seed}
  settings = {**{k: v for k, v in optional.items() if k in accepted}, **settings}
  unknown = sorted(set(settings) - accepted)
  if unknown:
    raise ValueError(f"{key} does not take {', '.join(unknown)}; take it out of extra_args, or out of loss_keys {key}.")
  return _LOSSES[key](labels, logits, weights, **settings)
