# SPDX-License-Identifier: Apache-2.0
"""Ops that attention stands on: what a tower's first layer makes of keys beside a query, and sums by scores.

Both have gradients, and these have gradients too.
"""

from __future__ import annotations

import tensorflow as tf

from monolith.native_training.runtime.ops import gen_monolith_ops


def project_keys(
  own: tf.Tensor, queries: tf.Tensor, keys: tf.Tensor, of_key: tf.Tensor, of_product: tf.Tensor
) -> tf.Tensor:
  """Returns `own + k · of_key + (q * k) · of_product` for each query q and each of its keys k.

  >>> one = tf.ones([1, 1])
  >>> project_keys(one, one * 2, tf.constant([[[3.0], [4.0]]]), one * 10, one * 100).numpy().tolist()
  [[[631.0], [841.0]]]

  Args:
    own: float `[B, units]`, added for every key. The op computes in float32; for another dtype TensorFlow's own ops
      do, with all products `q * k` in memory.
    queries: `[B, H]`, of the same dtype; H known.
    keys: `[B, T, H]`.
    of_key: `[H, units]`; units known.
    of_product: `[H, units]`.

  Returns:
    `[B, T, units]`.
  """
  if keys.dtype == tf.float32:
    return gen_monolith_ops.monolith_key_projection(
      own=own, queries=queries, keys=keys, of_key=of_key, of_product=of_product
    )
  rows = [tf.size(keys) // of_key.shape[0], of_key.shape[0]]
  of_keys = tf.matmul(tf.reshape(keys, rows), of_key)
  of_products = tf.matmul(tf.reshape(queries[:, tf.newaxis] * keys, rows), of_product)
  shape = tf.concat([tf.shape(keys)[:2], [of_key.shape[1]]], axis=0)
  return tf.reshape(of_keys + of_products, shape) + own[:, tf.newaxis]


@tf.RegisterGradient("MonolithKeyProjection")
def _project_keys_grad(op: tf.Operation, grad: tf.Tensor) -> list[tf.Tensor]:
  return gen_monolith_ops.monolith_key_projection_grad(grad, *op.inputs[1:])


@tf.RegisterGradient("MonolithKeyProjectionGrad")
def _project_keys_grad_grad(
  op: tf.Operation,
  of_own: tf.Tensor,
  of_queries: tf.Tensor,
  of_keys: tf.Tensor,
  of_key_kernel: tf.Tensor,
  of_product_kernel: tf.Tensor,
) -> list[tf.Tensor]:
  # The op is linear in own, in the keys, in both kernels, and in the queries as far as products go. So its derivative
  # along the five gradients is the sum of three calls; each argument gets gradients from the calls that it is in.
  grad, queries, keys, of_key, of_product = op.inputs
  calls = [
    (queries, of_keys, of_key, of_product),
    (queries, keys, of_key_kernel, of_product_kernel),
    (of_queries, keys, tf.zeros_like(of_key), of_product),
  ]
  owns = [of_own, tf.zeros_like(of_own), tf.zeros_like(of_own)]
  of_grad = tf.add_n([
    gen_monolith_ops.monolith_key_projection(own, *call) for own, call in zip(owns, calls, strict=True)
  ])  # fmt: skip
  first, second, third = (gen_monolith_ops.monolith_key_projection_grad(grad, *call) for call in calls)
  return [
    of_grad,
    first.queries_grad + second.queries_grad,
    second.keys_grad + third.keys_grad,
    first.of_key_grad,
    first.of_product_grad + third.of_product_grad,
  ]


def weighted_sum(weights: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
  """Returns the sum of each example's vectors, times their weights.

  >>> weighted_sum(tf.constant([[1.0, 10.0]]), tf.constant([[[1.0, 2.0], [3.0, 4.0]]])).numpy().tolist()
  [[31.0, 42.0]]

  Args:
    weights: float `[B, T]`. The op computes in float32; for another dtype TensorFlow's own ops do.
    values: `[B, T, D]`, of the same dtype.

  Returns:
    `[B, D]`.
  """
  if values.dtype == tf.float32:
    return gen_monolith_ops.monolith_weighted_sum(weights=weights, values=values)
  return tf.squeeze(tf.matmul(weights[:, tf.newaxis], values), axis=1)


@tf.RegisterGradient("MonolithWeightedSum")
def _weighted_sum_grad(op: tf.Operation, grad: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
  weights, values = op.inputs
  return gen_monolith_ops.monolith_weighted_sum_grad(grad=grad, weights=weights, values=values)


@tf.RegisterGradient("MonolithWeightedSumGrad")
def _weighted_sum_grad_grad(
  op: tf.Operation, of_weights: tf.Tensor, of_values: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
  # Both outputs are `grad` times the other factor, so each input meets the gradient of the output that it is not in.
  grad, weights, values = op.inputs
  of_grad = gen_monolith_ops.monolith_weighted_sum(weights=of_weights, values=values)
  of_grad += gen_monolith_ops.monolith_weighted_sum(weights=weights, values=of_values)
  return of_grad, *gen_monolith_ops.monolith_weighted_sum_grad(grad=grad, weights=of_weights, values=of_values)
