# SPDX-License-Identifier: Apache-2.0
"""The area under the ROC curve over all batches since the session began."""

from __future__ import annotations

from typing import Tuple

import tensorflow as tf

__all__ = ["streaming_auc"]

# Predictions that fall into one of the equal buckets between 0 and 1 count as tied. Click rates crowd near 0, where
# tf.metrics' 200 buckets are too few.
_NUM_BUCKETS = 4096


def streaming_auc(labels: tf.Tensor, predictions: tf.Tensor, name: str) -> Tuple[tf.Tensor, tf.Operation]:
  """Streaming AUC from two histograms in local variables.

  Args:
    labels: bool [B].
    predictions: float [B]; clipped to [0, 1].
    name: name of the ops' scope.

  Returns:
    (value, update op): a float32 scalar, 0.5 while one of the classes is missing, and the op that counts the batch.
  """
  with tf.name_scope(name):
    positives = _local_zeros("positives")
    negatives = _local_zeros("negatives")
    clipped = tf.clip_by_value(tf.cast(predictions, tf.float32), 0.0, 1.0)
    buckets = tf.minimum(tf.cast(clipped * _NUM_BUCKETS, tf.int32), _NUM_BUCKETS - 1)
    is_positive = tf.cast(labels, tf.float64)
    updates = []
    for histogram, ones in ((positives, is_positive), (negatives, 1.0 - is_positive)):
      counts = tf.math.unsorted_segment_sum(ones, buckets, _NUM_BUCKETS)
      updates.append(histogram.assign_add(counts, read_value=False))
    return _auc(positives.read_value(), negatives.read_value()), tf.group(*updates)


def _auc(positives: tf.Tensor, negatives: tf.Tensor) -> tf.Tensor:
  """Share of the (positive, negative) pairs in the right order; a tied pair counts half."""
  negatives_below = tf.cumsum(negatives, exclusive=True)
  ordered = tf.reduce_sum(positives * (negatives_below + 0.5 * negatives))
  pairs = tf.reduce_sum(positives) * tf.reduce_sum(negatives)
  return tf.cast(tf.where(pairs > 0, ordered / tf.maximum(pairs, 1.0), 0.5), tf.float32)


def _local_zeros(name: str) -> tf.Variable:
  return tf.compat.v1.Variable(
    tf.zeros([_NUM_BUCKETS], tf.float64),
    trainable=False,
    collections=[tf.compat.v1.GraphKeys.LOCAL_VARIABLES, tf.compat.v1.GraphKeys.METRIC_VARIABLES],
    use_resource=True,
    name=name,
  )
