# SPDX-License-Identifier: Apache-2.0
"""Combiners: from one embedding a fid to one tensor a row.

All of them are built from ordinary TensorFlow ops: they work eagerly, in `tf.function` and in TF1 graphs, and gradients
reach the embeddings.
"""

from __future__ import annotations

import abc

import tensorflow as tf


class Combiner(abc.ABC):
  """How the embeddings of one feature's fids in a row become one tensor.

  Args:
    max_seq_length: positions that are kept apart; 0 where the fids are pooled.
  """

  def __init__(self, max_seq_length: int):
    self._max_seq_length = max_seq_length

  @property
  def max_seq_length(self) -> int:
    return self._max_seq_length

  @abc.abstractmethod
  def combine(self, key: tf.RaggedTensor, embedding: tf.Tensor, name: str | None = None) -> tf.Tensor:
    """Combines.

    Args:
      key: fids, int64 `[B, None]`; only the row partition is read.
      embedding: float `[n, D]`, one row a fid, in the order of `key.values`.
      name: name scope of the ops; default the class name.

    Returns:
      float `[B, D]`, or `[B, max_seq_length, D]` for a sequence. A row without fids is all zeros.

    Raises:
      ValueError: `key` is not ragged with one ragged axis, or `embedding` is not a matrix.
    """

  def __str__(self) -> str:
    return f"{type(self).__name__}({self._max_seq_length or ''})"

  def _check(self, key: tf.RaggedTensor, embedding: tf.Tensor) -> tf.Tensor:
    who = type(self).__name__
    if not isinstance(key, tf.RaggedTensor) or key.ragged_rank != 1:
      raise ValueError(
        f"{who}: key is {type(key).__name__}; pass fids as a tf.RaggedTensor [B, None] with one ragged axis."
      )
    embedding = tf.convert_to_tensor(embedding)
    if embedding.shape.rank not in (None, 2):
      raise ValueError(f"{who}: embedding is {embedding.shape}; pass [n, D], one row a fid.")
    return embedding


def _sum_rows(key: tf.RaggedTensor, values: tf.Tensor) -> tf.Tensor:
  """Sums `values` `[n, D]` within each row of `key`; `[B, D]`, with B static where the key's is."""
  total = tf.math.unsorted_segment_sum(values, key.value_rowids(), key.nrows())
  return tf.ensure_shape(total, [key.shape[0], *values.shape[1:]]) if values.shape.rank is not None else total


class ReduceSum(Combiner):
  """The sum of a row's embeddings."""

  def __init__(self) -> None:
    super().__init__(0)

  def combine(self, key: tf.RaggedTensor, embedding: tf.Tensor, name: str | None = None) -> tf.Tensor:
    with tf.name_scope(name or "ReduceSum"):
      return _sum_rows(key, self._check(key, embedding))


class ReduceMean(Combiner):
  """The mean of a row's embeddings."""

  def __init__(self) -> None:
    super().__init__(0)

  def combine(self, key: tf.RaggedTensor, embedding: tf.Tensor, name: str | None = None) -> tf.Tensor:
    with tf.name_scope(name or "ReduceMean"):
      embedding = self._check(key, embedding)
      counts = tf.cast(tf.maximum(key.row_lengths(), 1), embedding.dtype)
      return _sum_rows(key, embedding) / counts[:, tf.newaxis]


class FirstN(Combiner):
  """The first embeddings of a row, one a position; later fids are dropped, missing positions are zeros.

  Args:
    seq_length: positions; > 0.

  Raises:
    ValueError: `seq_length` is not positive.
  """

  def __init__(self, seq_length: int):
    if seq_length <= 0:
      raise ValueError(
        f"FirstN: seq_length is {seq_length}; it must be > 0. To pool all fids of a row use ReduceSum or ReduceMean."
      )
    super().__init__(seq_length)

  def combine(self, key: tf.RaggedTensor, embedding: tf.Tensor, name: str | None = None) -> tf.Tensor:
    with tf.name_scope(name or "FirstN"):
      embedding = self._check(key, embedding)
      if embedding.shape.rank is None or embedding.shape[1] is None:
        raise ValueError(
          f"FirstN: embedding is {embedding.shape}; its last dimension must be known, set it with tf.ensure_shape."
        )
      # Fids beyond the last position meet in one spare position that is cut off. Unlike a gather of the kept fids, the
      # scatter has a dense gradient, which is what the tables take.
      length, rows = self._max_seq_length, key.value_rowids()
      position = tf.range(tf.size(rows, out_type=rows.dtype), dtype=rows.dtype) - tf.gather(key.row_starts(), rows)
      places = tf.stack([rows, tf.minimum(position, tf.constant(length, rows.dtype))], axis=1)
      shape = tf.stack([key.nrows(), *(tf.constant(n, rows.dtype) for n in (length + 1, embedding.shape[1]))])
      padded = tf.scatter_nd(places, embedding, shape)[:, :length]
      return tf.ensure_shape(padded, [key.shape[0], length, embedding.shape[1]])
