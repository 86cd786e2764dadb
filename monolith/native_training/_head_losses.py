# SPDX-License-Identifier: Apache-2.0
"""Losses and predictions of binary and multi-class heads."""

from __future__ import annotations

import math
from typing import Optional, Tuple, Union

import tensorflow as tf

from monolith.core.errors import CallerError
from monolith.native_training._estimator_spec import ModeKeys
from monolith.native_training.layers.logit_correction import LogitCorrection

__all__ = ["get_sigmoid_loss_and_pred", "get_softmax_loss_and_pred"]

LossAndPred = Tuple[Optional[tf.Tensor], tf.Tensor]


def get_sigmoid_loss_and_pred(
  name: str,
  logits: tf.Tensor,
  label: tf.Tensor,
  batch_size: Union[int, tf.Tensor, None] = None,
  sample_rate: Union[float, tf.Tensor, None] = 1.0,
  sample_bias: bool = False,
  mode: str = ModeKeys.TRAIN,
  instance_weight: Optional[tf.Tensor] = None,
  mask: Optional[tf.Tensor] = None,
  logit_clip_threshold: Optional[float] = None,
  predict_before_correction: bool = True,
) -> LossAndPred:
  """Summed sigmoid cross entropy of a binary head, corrected for sampled negatives, and its predictions.

  Args:
    name: prefix of the ops' names.
    logits: any shape with B elements.
    label: B elements in [0, 1].
    batch_size: ignored; B comes from the logits. Kept for existing calls.
    sample_rate: share of the negatives that was kept, a number or [B]; None means 1.
    sample_bias: see `LogitCorrection`.
    mode: in PREDICT there is no loss and no correction.
    instance_weight: B factors of the losses.
    mask: B booleans; False drops a row from the loss.
    logit_clip_threshold: p in (0, 1); corrected logits are clipped to +-log((1 - p) / p).
    predict_before_correction: predict from the raw logits (True) or the corrected ones.

  Returns:
    (loss, pred): a scalar, None in PREDICT, and [B] probabilities.

  Raises:
    CallerError: logit_clip_threshold is out of range.
  """
  del batch_size
  logits = tf.reshape(logits, [-1], name=f"{name}_sigmoid_logits")
  if mode == ModeKeys.PREDICT:
    return None, tf.nn.sigmoid(logits, name=f"{name}_sigmoid_pred")
  correction = LogitCorrection(activation=None, sample_bias=sample_bias, name="sample_rate_correction")
  corrected = correction((logits, _sample_rates(sample_rate, logits)))
  pred = tf.nn.sigmoid(logits if predict_before_correction else corrected, name=f"{name}_sigmoid_pred")
  if logit_clip_threshold is not None:
    limit = _logit_limit(logit_clip_threshold)
    corrected = tf.clip_by_value(corrected, -limit, limit)
  losses = tf.nn.sigmoid_cross_entropy_with_logits(
    labels=tf.reshape(label, [-1]), logits=corrected, name=f"{name}_sigmoid_losses"
  )
  weight = None if instance_weight is None else tf.reshape(instance_weight, [-1])
  if mask is not None:
    mask = tf.reshape(mask, [-1])
    losses = tf.boolean_mask(losses, mask)
    weight = None if weight is None else tf.boolean_mask(weight, mask)
  if weight is not None:
    losses = losses * weight
  return tf.reduce_sum(losses, name=f"{name}_sigmoid_loss"), pred


def _sample_rates(sample_rate: Union[float, tf.Tensor, None], logits: tf.Tensor) -> tf.Tensor:
  if sample_rate is None:
    sample_rate = 1.0
  if isinstance(sample_rate, (int, float)):
    return tf.fill(tf.shape(logits), tf.constant(sample_rate, logits.dtype))
  return tf.reshape(sample_rate, [-1])


def _logit_limit(threshold: float) -> float:
  if not 0 < threshold < 1:
    raise CallerError(f"logit_clip_threshold is {threshold}; it must lie between 0 and 1.")
  return abs(math.log((1 - threshold) / threshold))


def get_softmax_loss_and_pred(name: str, logits: tf.Tensor, label: tf.Tensor, mode: str) -> LossAndPred:
  """Softmax cross entropy of a multi-class head and the classes that it predicts.

  Args:
    name: prefix of the ops' names.
    logits: [B, classes].
    label: [B, classes] probabilities.
    mode: in PREDICT there is no loss.

  Returns:
    (loss, pred): [B], None in PREDICT, and [B] int64 class numbers. Reduce the loss before it goes into an
    EstimatorSpec.
  """
  pred = tf.argmax(tf.nn.softmax(logits, name=f"{name}_softmax_pred"), axis=1)
  if mode == ModeKeys.PREDICT:
    return None, pred
  loss = tf.nn.softmax_cross_entropy_with_logits(labels=label, logits=logits, name=f"{name}_softmax_loss")
  return loss, pred
