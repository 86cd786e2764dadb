# SPDX-License-Identifier: Apache-2.0
"""Lists of scored items: which are valid, how they sort, what ranks they have.

A list is a row of a `[batch, list]` tensor. An item whose label is negative is invalid: it fills up a short list.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

# What an invalid item scores where valid ones score between 0 and 1, so that it sorts behind them.
_INVALID_SCORE = -1e-6


def label_valid_fn(labels: Any) -> tf.Tensor:
  """Returns which items are valid, those of `labels >= 0`; bool, in the shape of `labels`."""
  labels = tf.convert_to_tensor(labels)
  return tf.greater_equal(labels, tf.zeros([], labels.dtype))


def require_lists(name: str, tensor: tf.Tensor) -> None:
  """Raises ValueError unless a tensor is `[batch, list]`."""
  if not tensor.shape.is_compatible_with([None, None]):
    raise ValueError(f"{name} is {tensor.shape}; it must be [batch, list].")


def sort_by_scores(scores: Any, features_list: Sequence[Any], topn: int | tf.Tensor | None = None) -> list[tf.Tensor]:
  """Sorts the items of every list by descending score; of equal scores the first stays first.

  Args:
    scores: `[batch, list]`.
    features_list: tensors `[batch, list]`.
    topn: how many items to keep; None, or more than there are, keeps all.

  Returns:
    The features, `[batch, topn]` each.

  Raises:
    ValueError: `scores` is not of rank 2, or `features_list` is no list or tuple.
  """
  scores = tf.convert_to_tensor(scores)
  require_lists("sort_by_scores: scores", scores)
  if not isinstance(features_list, (list, tuple)):
    raise ValueError(f"sort_by_scores: features_list is a {type(features_list).__name__}; pass a list of tensors.")
  list_size = tf.shape(scores)[1]
  k = list_size if topn is None else tf.minimum(topn, list_size)
  _, indices = tf.math.top_k(scores, k, sorted=True)
  return [tf.gather(feature, indices, batch_dims=1) for feature in features_list]


def organize_valid_indices(is_valid: Any, shuffle: bool = True, seed: int | None = None) -> tf.Tensor:
  """Returns indices that bring the valid items of every list to the front.

  Args:
    is_valid: bool `[batch, list]`.
    shuffle: put the valid items into a random order instead of keeping theirs.
    seed: of the random order, beside TensorFlow's own seed.

  Returns:
    int32 `[batch, list, 2]` of (list, item), for `tf.gather_nd` and `tf.scatter_nd`.

  Raises:
    ValueError: `is_valid` is not of rank 2.
  """
  is_valid = tf.convert_to_tensor(is_valid)
  require_lists("organize_valid_indices: is_valid", is_valid)
  shape = tf.shape(is_valid)
  if shuffle:
    order = tf.random.uniform(shape, seed=seed)
  else:
    order = tf.broadcast_to(tf.cast(tf.range(shape[1] - 1, -1, -1), tf.float32), shape)
  scores = tf.where(is_valid, order, tf.fill(shape, _INVALID_SCORE))
  _, items = tf.math.top_k(scores, shape[1], sorted=True)
  lists = tf.broadcast_to(tf.range(shape[0])[:, tf.newaxis], shape)
  return tf.stack([lists, items], axis=2)


def shuffle_valid_indices(is_valid: Any, seed: int | None = None) -> tf.Tensor:
  """Returns indices that bring the valid items to the front in random order; see `organize_valid_indices`."""
  return organize_valid_indices(is_valid, shuffle=True, seed=seed)


def reshape_first_ndims(tensor: Any, first_ndims: int, new_shape: Any) -> Any:
  """Reshapes the first axes of a dense or sparse tensor and keeps the others.

  Args:
    tensor: a tensor or SparseTensor.
    first_ndims: how many axes are replaced.
    new_shape: what replaces them.

  Raises:
    ValueError: the tensor has fewer axes.
  """
  rank = tensor.shape.rank
  if rank is not None and rank < first_ndims:
    raise ValueError(f"reshape_first_ndims: the tensor is {tensor.shape}; it needs at least {first_ndims} axes.")
  if isinstance(tensor, tf.SparseTensor):
    kept = tensor.dense_shape[first_ndims:]
    return tf.sparse.reshape(tensor, tf.concat([tf.cast(new_shape, tf.int64), kept], axis=0))
  tensor = tf.convert_to_tensor(tensor)
  reshaped = tf.reshape(tensor, tf.concat([new_shape, tf.shape(tensor)[first_ndims:]], axis=0))
  if tensor.shape.rank is not None:
    static = tf.get_static_value(tf.convert_to_tensor(new_shape))
    if static is not None:
      head = [None if size == -1 else int(size) for size in static]
      reshaped.set_shape(reshaped.shape.merge_with([*head, *tensor.shape[first_ndims:]]))
  return reshaped


def approx_ranks(logits: Any, alpha: float = 10.0, is_valid: tf.Tensor | None = None) -> tf.Tensor:
  """Returns smooth ranks, from 1: `rank_i = 0.5 + sum over j of sigmoid(alpha * (s_j - s_i))`.

  Source: Qin, Liu and Li, "A general approximation framework for direct optimization of information retrieval
  measures", Information Retrieval 13 (2010), equation 9; j runs over i too, whose sigmoid is 0.5.
  Takes memory for `[batch, list, list]`.

  Args:
    logits: float `[batch, list]`.
    alpha: sharpness; the larger, the nearer to true ranks and the smaller the gradients.
    is_valid: bool `[batch, list]`; other items rank nobody down. None is all.

  Example:

  >>> print(approx_ranks([[2.0, 1.0, 3.0]]).numpy().round(3))
  [[2. 3. 1.]]
  """
  logits = tf.convert_to_tensor(logits)
  above = tf.sigmoid(alpha * (logits[:, tf.newaxis, :] - logits[:, :, tf.newaxis]))
  if is_valid is not None:
    above = tf.where(is_valid[:, tf.newaxis, :], above, tf.zeros_like(above))
  return tf.reduce_sum(above, axis=2) + 0.5


def exponential_gain(labels: tf.Tensor) -> tf.Tensor:
  """Returns `2^label - 1`, the gain of NDCG."""
  return tf.pow(2.0, labels) - 1.0


def logarithmic_discount(ranks: tf.Tensor) -> tf.Tensor:
  """Returns `1 / ln(1 + rank)`, the discount of NDCG up to a factor."""
  return 1.0 / tf.math.log1p(ranks)


def ranks_of(lists: tf.Tensor) -> tf.Tensor:
  """Returns the ranks 1, 2, ..., `[1, list]` in the lists' dtype, of sorted lists."""
  return tf.cast(tf.range(1, tf.shape(lists)[1] + 1), lists.dtype)[tf.newaxis, :]


def inverse_max_dcg(
  labels: Any,
  gain_fn: Callable[[tf.Tensor], tf.Tensor] = exponential_gain,
  rank_discount_fn: Callable[[tf.Tensor], tf.Tensor] = logarithmic_discount,
  topn: int | None = None,
) -> tf.Tensor:
  """Returns 1 over the DCG of the best order, float `[batch, 1]`; 0 for lists without gain.

  Args:
    labels: float `[batch, list]`, not negative.
    gain_fn: label to gain.
    rank_discount_fn: rank, from 1, to discount.
    topn: how many ranks count; None is all.
  """
  labels = tf.convert_to_tensor(labels)
  (ideal,) = sort_by_scores(labels, [labels], topn=topn)
  dcg = tf.reduce_sum(gain_fn(ideal) * rank_discount_fn(ranks_of(ideal)), axis=1, keepdims=True)
  return tf.where(dcg > 0, tf.math.divide_no_nan(tf.ones_like(dcg), dcg), tf.zeros_like(dcg))


def get_batch_idx_size(
  logits: Any, labels: Any, rank_id: Any, name_prefix: str = ""
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
  """Groups the rows of a batch into lists by an id.

  Args:
    logits: float `[batch]`, or with further axes of size 1.
    labels: float, as many.
    rank_id: `[batch]` of any dtype that `tf.unique` takes; rows with the same id make a list.
    name_prefix: prefix of the ops' names.

  Returns:
    logits `[lists, longest]`, filled up with 0; labels in the same shape less 1e-6, so that what fills up is invalid;
    a mask `[batch, batch]`, 1 in the first corner where there is an item; and int64 `[lists]`, the first row of each
    list. Lists come in the order of their first rows.

  Example:

  >>> lists = get_batch_idx_size([0.1, 0.2, 0.3], [1.0, 0.0, 1.0], rank_id=[7, 9, 7])
  >>> print(lists[0].numpy())
  [[0.1 0.3]
   [0.2 0. ]]
  """
  with tf.name_scope(f"{name_prefix}batch_idx_size"):
    logits = tf.reshape(logits, [-1])
    labels = tf.reshape(tf.cast(labels, logits.dtype), [-1])
    rank_id = tf.reshape(rank_id, [-1])
    batch = tf.size(rank_id)
    ids, rows, counts = tf.unique_with_counts(rank_id)
    # Where a row stands in its list: its place among the rows sorted by list, less where the list begins there.
    order = tf.argsort(rows, stable=True)
    places = tf.range(batch) - tf.gather(tf.cumsum(counts, exclusive=True), tf.gather(rows, order))
    columns = tf.scatter_nd(order[:, tf.newaxis], places, [batch])
    indices = tf.stack([rows, columns], axis=1)
    shape = tf.stack([tf.size(ids), tf.reduce_max(tf.concat([counts, [0]], axis=0))])
    first_rows = tf.math.unsorted_segment_min(tf.range(batch, dtype=tf.int64), rows, tf.size(ids))
    return (
      tf.scatter_nd(indices, logits, shape),
      tf.scatter_nd(indices, labels, shape) + _INVALID_SCORE,
      tf.scatter_nd(indices, tf.ones_like(logits), tf.stack([batch, batch])),
      first_rows,
    )
