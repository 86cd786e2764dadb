# SPDX-License-Identifier: Apache-2.0
"""How surely a batch ranks its positives above its negatives."""

from __future__ import annotations

from typing import Any

from monolith.native_training.losses._second_derivatives import refuse_second_derivatives
from monolith.native_training.runtime.ops import gen_monolith_ops

import tensorflow as tf


def inbatch_auc_loss(label: Any, logit: Any, neg_weight: float = 1.0) -> tf.Tensor:
  """Returns the sum of `ln sigmoid(logit_i - logit_j)` over all pairs of a positive i and a negative j.

  In spite of its name the value is a log-likelihood, at most 0: maximise it, or minimise its negative. It is the smooth
  stand-in for the area under the ROC curve, which counts the pairs in order (Gao and Zhou, "On the Consistency of AUC
  Pairwise Optimization", IJCAI 2015; the same pairs as BPR's, https://arxiv.org/abs/1205.2618, equation 5). It sums
  over pairs and so grows with the square of the batch: divide by the number of pairs where batches differ in size.

  Positives are the rows with `label > 0`, negatives those with `-10000 < label <= 0`; a label of -10000 or less takes a
  row out. A difference of -87 or less counts as itself, one of 88 or more as 0. The memory taken grows with the batch,
  not with the pairs, and a result has the same bits for any number of threads.

  A pair's gradient is `1 - sigmoid(logit_i - logit_j)`: added to the positive's logit, and taken `neg_weight` times
  from the negative's.

  Args:
    label: number tensor, one element a row. It gets no gradient.
    logit: float tensor with as many elements, of any shape.
    neg_weight: in (0, 1]; below 1 it damps what moves the negatives down, without a change of the value.

  Returns:
    float32 scalar; 0 where one of the sides is empty.

  Raises:
    InvalidArgumentError: `neg_weight` is out of range, or the sizes differ; where a graph knows them, the latter is a
      ValueError.
    LookupError: its gradient is differentiated; second derivatives are not defined.

  Example:

  >>> value = inbatch_auc_loss([1, 0, 0, 1], [0.5, -0.2, -0.4, 0.8])
  >>> print(f"{-value.numpy():.4f}")
  1.3209
  """
  return gen_monolith_ops.inbatch_auc_loss(
    tf.cast(label, tf.float32), tf.cast(logit, tf.float32), neg_weight=neg_weight
  )


@tf.RegisterGradient("InbatchAucLoss")
def _inbatch_auc_loss_grad(op: tf.Operation, grad: tf.Tensor) -> tuple[None, tf.Tensor]:
  label, logit = op.inputs
  return None, gen_monolith_ops.inbatch_auc_loss_grad(label, logit, grad, neg_weight=op.get_attr("neg_weight"))


refuse_second_derivatives("InbatchAucLossGrad", "inbatch_auc_loss")
