# SPDX-License-Identifier: Apache-2.0
"""The ops of ranking losses: one pass over the lists, which leaves invalid items out and stores no pair.

Labels and weights are data: they get no gradient. Nor has the gradient one: second derivatives are refused.
"""

from __future__ import annotations

from typing import Any

from monolith.native_training.losses import _ranking_utils as utils
from monolith.native_training.losses._second_derivatives import refuse_second_derivatives
from monolith.native_training.runtime.ops import gen_monolith_ops

import tensorflow as tf


def float_lists(labels: Any, logits: Any) -> tuple[tf.Tensor, tf.Tensor]:
  """Returns labels and logits as float32 or, if the logits are, float64 `[batch, list]`.

  Raises:
    ValueError: not of rank 2, or of two shapes.
  """
  logits = tf.convert_to_tensor(logits)
  logits = tf.cast(logits, tf.float64 if logits.dtype == tf.float64 else tf.float32)
  labels = tf.cast(labels, logits.dtype)
  utils.require_lists("logits", logits)
  if not labels.shape.is_compatible_with(logits.shape):
    raise ValueError(f"labels are {labels.shape} but logits {logits.shape}; both are [batch, list].")
  return labels, logits


def weights_of_items(weights: Any, labels: tf.Tensor) -> tf.Tensor:
  """Returns weights, None for 1 or what broadcasts to the labels, with two axes; each may be of size 1."""
  weights = tf.cast(1.0 if weights is None else weights, labels.dtype)
  rank = weights.shape.rank
  if rank is None or rank > 2:
    return weights * tf.ones_like(labels)
  return weights if rank == 2 else tf.reshape(weights, [1, -1])


def weights_of_lists(name: str, weights: Any, labels: tf.Tensor) -> tf.Tensor:
  """Returns weights, None for 1, a scalar, `[batch]` or `[batch, 1]`, as `[batch, 1]` or `[1, 1]`.

  Raises:
    ValueError: weights have a number an item.
  """
  weights = tf.cast(1.0 if weights is None else weights, labels.dtype)
  shape = weights.shape
  if shape.rank is not None and (shape.rank > 2 or (shape.rank == 2 and shape[1] not in (1, None))):
    raise ValueError(f"{name}: weights are {shape}; pass one number a list, [batch, 1], or a scalar.")
  return tf.reshape(weights, [-1, 1])


def list_loss(
  name: str, labels: tf.Tensor, logits: tf.Tensor, weights: tf.Tensor, reduction: str, alpha: float = 10.0
) -> tf.Tensor:
  """Returns one of the losses but ListMLE, reduced, and puts it among the losses of the graph.

  Args:
    name: as in `RankingLossKey`.
    labels: float `[batch, list]`; negative is invalid.
    logits: `[batch, list]`, of the labels' dtype.
    weights: `[batch, list]`, or of size 1 along an axis that shares them.
    reduction: one of `tf.compat.v1.losses.Reduction`.
    alpha: sharpness of approx_ndcg_loss.
  """
  loss, _ = gen_monolith_ops.ranking_loss(
    labels, logits, weights, loss_name=name, reduction=_reduction(reduction), alpha=alpha
  )
  return _collect(loss)


def list_mle_loss(
  labels: tf.Tensor, logits: tf.Tensor, weights: tf.Tensor, ties: tf.Tensor, rank_weights: tf.Tensor, reduction: str
) -> tf.Tensor:
  """Returns ListMLE, reduced, and puts it among the losses of the graph.

  Args:
    labels: as of `list_loss`.
    logits: as of `list_loss`.
    weights: `[batch, 1]` or `[1, 1]`.
    ties: `[batch, list]`; of equal labels, the item with the larger number comes first.
    rank_weights: weights of the ranks, `[batch, list]` or of size 1 along an axis that shares them.
    reduction: one of `tf.compat.v1.losses.Reduction`.
  """
  loss, _ = gen_monolith_ops.list_mle_loss(labels, logits, weights, ties, rank_weights, reduction=_reduction(reduction))
  return _collect(loss)


def reduce_loss(losses: tf.Tensor, weights: tf.Tensor, reduction: str) -> tf.Tensor:
  """Does for losses and weights of one shape what `tf.compat.v1.losses.compute_weighted_loss` does, in their dtype."""
  total = tf.reduce_sum(losses * weights)
  reductions = tf.compat.v1.losses.Reduction
  if reduction == reductions.SUM:
    return _collect(total)
  if reduction == reductions.MEAN:
    divisor = tf.reduce_sum(weights)
  elif reduction == reductions.SUM_OVER_BATCH_SIZE:
    divisor = tf.cast(tf.size(weights), weights.dtype)
  else:
    divisor = tf.reduce_sum(tf.cast(tf.not_equal(weights, 0), weights.dtype))
  return _collect(tf.math.divide_no_nan(total, divisor))


def _reduction(name: str) -> str:
  """The two names for the weights that are not 0 are one to the ops."""
  reductions = tf.compat.v1.losses.Reduction
  return reductions.SUM_BY_NONZERO_WEIGHTS if name == reductions.SUM_OVER_NONZERO_WEIGHTS else name


def _collect(loss: tf.Tensor) -> tf.Tensor:
  """`tf.compat.v1.losses.get_losses` finds the losses of a graph, as those that TensorFlow reduces."""
  tf.compat.v1.losses.add_loss(loss)
  return loss


@tf.RegisterGradient("RankingLoss")
def _ranking_loss_grad(op: tf.Operation, grad: tf.Tensor, _: Any) -> tuple[None, tf.Tensor, None]:
  settings = {name: op.get_attr(name) for name in ("loss_name", "alpha")}
  if isinstance(settings["loss_name"], bytes):
    settings["loss_name"] = settings["loss_name"].decode()
  gradient = gen_monolith_ops.ranking_loss_grad(*op.inputs, divisor=op.outputs[1], grad=grad, **settings)
  return None, gradient, None


@tf.RegisterGradient("ListMleLoss")
def _list_mle_loss_grad(op: tf.Operation, grad: tf.Tensor, _: Any) -> tuple[None, tf.Tensor, None, None, None]:
  gradient = gen_monolith_ops.list_mle_loss_grad(*op.inputs, divisor=op.outputs[1], grad=grad)
  return None, gradient, None, None, None


refuse_second_derivatives("RankingLossGrad", "ranking losses")
refuse_second_derivatives("ListMleLossGrad", "list_mle_loss")
