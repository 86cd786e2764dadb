# SPDX-License-Identifier: Apache-2.0
"""Softmax over the items of a batch, for two-tower retrieval."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

# Products of vectors of length 1 are in [-1, 1], so that from here on e^(-2 / temperature) is far from 0 in float32.
_LEAST_BOUNDED_TEMPERATURE = 0.03


def batch_softmax_loss(
  query: Any, item: Any, item_step_interval: Any, r: Any, normalize: bool = True, temperature: float = 1.0
) -> tf.Tensor:
  """Returns `-sum over b of r_b * ln p_b`: p_b is the share of query b's own item among all items of the batch.

  The exponent of item j for query b is `query_b . item_j / temperature + ln(max(item_step_interval_j, 1))`. The second
  term stands for `-ln(frequency_j)`, the correction for drawing the negatives from the batch, where frequent items are
  met more often (Yi et al., "Sampling-Bias-Corrected Neural Modeling for Large Corpus Item Recommendations", RecSys
  2019, equations 3 to 5). So an item that is met seldom counts for more in every query's denominator.

  Args:
    query: float `[B, k]`.
    item: float `[B, k]`; row b is what query b was answered with.
    item_step_interval: number `[B]`, steps between two sightings of the item; below 1 counts as 1.
    r: float `[B]`, the reward of each row, such as 1 for a click.
    normalize: bring queries and items to length 1 first.
    temperature: > 0; low values sharpen the softmax, which normalized vectors need.

  Returns:
    A scalar: float32, or float64 where `query` is. 0 for a batch of no rows.

  Raises:
    ValueError: `temperature` is not positive, or a shape does not fit.

  Example:

  >>> towers = [[1.0, 0.0], [0.0, 1.0]]
  >>> loss = batch_softmax_loss(towers, towers, item_step_interval=[1, 1], r=[1.0, 1.0], temperature=0.5)
  >>> print(f"{loss.numpy():.4f}")
  0.2539
  """
  if temperature <= 0:
    raise ValueError(f"temperature should be positive, while got {temperature}")
  query = tf.convert_to_tensor(query)
  dtype = tf.float64 if query.dtype == tf.float64 else tf.float32
  query, item = tf.cast(query, dtype), tf.cast(item, dtype)
  interval, r = tf.cast(item_step_interval, dtype), tf.cast(r, dtype)
  _check_shapes(query, item, interval, r)
  if normalize:
    query, item = tf.math.l2_normalize(query, axis=1), tf.math.l2_normalize(item, axis=1)
  # Subtracted, since TensorFlow's graph optimizer fuses a sum with the product, and the fused op ends the process where
  # there are no rows.
  log_frequency = -tf.math.log(tf.maximum(interval, 1.0))
  similarity = tf.matmul(query, item, transpose_b=True) / temperature
  if normalize and temperature >= _LEAST_BOUNDED_TEMPERATURE:
    # No exponent exceeds this, and that of the rarest item is near it in every row: there is no need to look for the
    # largest.
    bound = 1.0 / temperature - tf.stop_gradient(tf.reduce_min(log_frequency))
    exponents = similarity - (log_frequency + bound)
    log_sums = tf.math.log(tf.reduce_sum(tf.exp(exponents), axis=1))
  else:
    exponents = similarity - log_frequency
    log_sums = tf.reduce_logsumexp(exponents, axis=1)
  return -tf.reduce_sum(r * (tf.linalg.diag_part(exponents) - log_sums))


def _check_shapes(query: tf.Tensor, item: tf.Tensor, interval: tf.Tensor, r: tf.Tensor) -> None:
  """Refuses what would broadcast into something else."""
  if not query.shape.is_compatible_with([None, None]) or not query.shape.is_compatible_with(item.shape):
    raise ValueError(f"batch_softmax_loss: query is {query.shape} and item {item.shape}; pass two [B, k] tensors.")
  for name, tensor in (("item_step_interval", interval), ("r", r)):
    if not tensor.shape.is_compatible_with(query.shape[:1]):
      raise ValueError(
        f"batch_softmax_loss: {name} is {tensor.shape} but query is {query.shape}; pass one number a row, [B]."
      )
