# SPDX-License-Identifier: Apache-2.0
"""Shapes, merging of per-feature tensors, and sampling of subsets with Gumbel noise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

# The smallest normal float32: keeps logarithms finite.
EPSILON = float(np.finfo(np.float32).tiny)


class MergeType:
  """How per-feature tensors become an output: side by side, on a new axis, or not at all (a list)."""

  CONCAT = "concat"
  STACK = "stack"
  NONE = None


class DCNType:
  """Kinds of `DCN`: a kernel vector, a kernel matrix, or a mixture of low-rank experts."""

  VECTOR = "vector"
  MATRIX = "matrix"
  MIXED = "mixed"


def check_dim(dim: Any) -> int:
  """Returns a dimension as a number: -1 for None, the value of a `tf.compat.v1.Dimension`.

  Raises:
    ValueError: it is none of these.
  """
  if dim is None:
    return -1
  if isinstance(dim, tf.compat.v1.Dimension):
    return check_dim(dim.value)
  if isinstance(dim, (int, np.integer)) and not isinstance(dim, bool):
    return int(dim)
  raise ValueError(f"check_dim: {dim!r} is no dimension; pass an int, None or a tf.compat.v1.Dimension.")


def dim_size(inputs: tf.Tensor, axis: int) -> int | tf.Tensor:
  """Returns the size of an axis: a number where it is static, else an int32 scalar.

  Raises:
    ValueError: the tensor has no such axis.
  """
  shape = inputs.shape
  if shape.rank is not None and not -shape.rank <= axis < shape.rank:
    raise ValueError(f"dim_size: axis is {axis}, but the tensor is {shape}; its axes are 0 to {shape.rank - 1}.")
  size = -1 if shape.rank is None else check_dim(shape[axis])
  return tf.shape(inputs)[axis] if size == -1 else size


def merge_tensor_list(
  tensor_list: tf.Tensor | Sequence[tf.Tensor],
  merge_type: str | None = MergeType.CONCAT,
  num_feature: int | None = None,
  axis: int = 1,
  keep_list: bool = False,
) -> tf.Tensor | list[tf.Tensor]:
  """Merges per-feature tensors.

  Args:
    tensor_list: a list of tensors, or one tensor (or a list of one) with all features in it: `[B, F, D]`, or `[B, F *
      D]` with `num_feature`.
    merge_type: 'concat' gives `[B, F * D]`, 'stack' `[B, F, D]`, None a list of F tensors `[B, D]`.
    num_feature: F, where one `[B, F * D]` is given; without it that comes back as it is.
    axis: where a list is concatenated or stacked, and one tensor taken apart.
    keep_list: return a list also of one tensor.

  Raises:
    ValueError: `merge_type` is unknown, or one tensor has neither two nor three axes.
  """
  if merge_type not in (MergeType.CONCAT, MergeType.STACK, MergeType.NONE):
    raise ValueError(f"merge_tensor_list: merge_type is {merge_type!r}; it must be 'concat', 'stack' or None.")
  tensors = list(tensor_list) if isinstance(tensor_list, (list, tuple)) else [tensor_list]
  if len(tensors) == 1:
    merged = _merge_one(tensors[0], merge_type, num_feature, axis)
  elif merge_type == MergeType.NONE:
    return tensors
  else:
    merged = tf.stack(tensors, axis=axis) if merge_type == MergeType.STACK else tf.concat(tensors, axis=axis)
  if isinstance(merged, list):
    return merged
  return [merged] if keep_list else merged


def _merge_one(x: tf.Tensor, merge_type: str | None, num_feature: int | None, axis: int) -> tf.Tensor | list[tf.Tensor]:
  """Merges the features inside of one tensor."""
  rank = x.shape.rank
  if rank == 3:
    if merge_type == MergeType.STACK:
      return x
    if merge_type == MergeType.NONE:
      return tf.unstack(x, axis=axis)
    return tf.reshape(x, _reshape_to(x, [_product(x, 1)]))
  if rank == 2 and num_feature is not None and num_feature > 1:
    if merge_type == MergeType.CONCAT:
      return x
    width = check_dim(x.shape[1])
    dim = width // num_feature if width != -1 else tf.shape(x)[1] // num_feature
    stacked = tf.reshape(x, _reshape_to(x, [num_feature, dim]))
    return stacked if merge_type == MergeType.STACK else tf.unstack(stacked, axis=axis)
  if rank == 2:
    return x
  raise ValueError(f"shape error: {x.shape}")


def _product(x: tf.Tensor, start: int) -> int | tf.Tensor:
  """Returns the product of the sizes of the axes from `start` on."""
  result: int | tf.Tensor = 1
  for axis in range(start, x.shape.rank):
    result = result * dim_size(x, axis)
  return result


def _reshape_to(x: tf.Tensor, rest: list[int | tf.Tensor]) -> list[int | tf.Tensor]:
  """Returns a shape with the batch of `x` left to be inferred where it is unknown."""
  batch = check_dim(x.shape[0])
  if batch == -1 and any(isinstance(size, tf.Tensor) for size in rest):
    return [tf.shape(x)[0], *rest]
  return [batch, *rest]


def gumbel_keys(w: tf.Tensor) -> tf.Tensor:
  """Adds standard Gumbel noise to log weights; the k largest sums are a sample of k without replacement.

  Args:
    w: float, any shape.

  Returns:
    A tensor like `w`.
  """
  uniform = tf.random.uniform(tf.shape(w), minval=EPSILON, maxval=1.0, dtype=w.dtype)
  return w - tf.math.log(-tf.math.log(uniform))


def continuous_topk(w: tf.Tensor, k: int, t: float | tf.Tensor, separate: bool = False) -> tf.Tensor | list[tf.Tensor]:
  """Picks k positions of the last axis softly: each pick is a softmax that leaves out what was picked before.

  Source: Xie and Ermon, 2019, https://arxiv.org/abs/1901.10517.

  Args:
    w: float `[..., n]`, log weights.
    k: picks.
    t: temperature; towards 0 the picks become one-hot.
    separate: return the picks one by one.

  Returns:
    Their sum, like `w`, or a list of k such tensors.
  """
  picks: list[tf.Tensor] = []
  picked = tf.zeros_like(w)
  for _ in range(k):
    w = w + tf.math.log(tf.maximum(1.0 - picked, tf.constant(EPSILON, w.dtype)))
    picked = tf.nn.softmax(w / t, axis=-1)
    picks.append(picked)
  return picks if separate else tf.add_n(picks)


def sample_subset(w: tf.Tensor, k: int, t: float = 0.1) -> tf.Tensor:
  """Samples k of n softly, in proportion to `exp(w)`, without replacement.

  Args:
    w: float `[..., n]`, log weights.
    k: how many.
    t: temperature.

  Returns:
    Like `w`: near 1 where sampled, near 0 elsewhere.
  """
  return continuous_topk(gumbel_keys(w), k, t)
