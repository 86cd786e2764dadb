# SPDX-License-Identifier: Apache-2.0
"""The stacked layout of multi-table ops: one ragged row of ids a table, and all values flat."""

from __future__ import annotations

from collections.abc import Sequence

import monolith  # noqa: F401  (selects Keras 2 before TensorFlow is imported)
import tensorflow as tf


def concat_1d_tensors(*tensors: tf.Tensor) -> tf.RaggedTensor:
  """Makes every 1-D tensor a row of one ragged tensor."""
  if not tensors:
    raise ValueError("concat_1d_tensors: no tensors; pass at least one.")
  lengths = tf.stack([tf.size(t, out_type=tf.int64) for t in tensors])
  return tf.RaggedTensor.from_row_lengths(tf.concat(tensors, axis=0), lengths, validate=False)


def flatten_n_tensors(*tensors: tf.Tensor) -> tf.Tensor:
  """Concatenates tensors of any shapes as one flat tensor."""
  if not tensors:
    raise ValueError("flatten_n_tensors: no tensors; pass at least one.")
  return tf.concat([tf.reshape(t, [-1]) for t in tensors], axis=0)


def get_list_from_flat_value(key: tf.RaggedTensor, dims: Sequence[int], flat_value: tf.Tensor) -> list[tf.Tensor]:
  """Cuts a flat tensor into the rows of each table.

  Args:
    key: int64 ids, one row a table.
    dims: embedding width of each table.
    flat_value: float32, the rows of all ids one after another.

  Returns:
    For each table `[ids of the row, dim]`.
  """
  sizes = key.row_lengths() * tf.constant(list(dims), tf.int64)
  parts = tf.split(flat_value, sizes, num=len(dims))
  return [tf.reshape(part, [-1, dim]) for part, dim in zip(parts, dims, strict=True)]
