# SPDX-License-Identifier: Apache-2.0
"""Shapes that layers over several features ask for and return."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from monolith.native_training.layers.utils import MergeType


def known_dims(owner: str, shape: Any, rank: int, meaning: str) -> list[int]:
  """Returns the sizes of all axes but the batch.

  Args:
    owner: who asks, for the error.
    shape: of the input.
    rank: how many axes it must have.
    meaning: what they are, such as `[B, num_feature, dim]`.

  Raises:
    ValueError: another rank, or a size that is not known.
  """
  shape = tf.TensorShape(shape)
  if shape.rank != rank or None in shape.as_list()[1:]:
    raise ValueError(f"{owner}: the input is {shape}; it must be {meaning}, and only the batch may be unknown.")
  return shape.as_list()[1:]


def check_out_type(owner: str, out_type: str | None) -> None:
  """Raises ValueError unless `merge_tensor_list` knows the type."""
  if out_type not in (MergeType.CONCAT, MergeType.STACK, MergeType.NONE):
    raise ValueError(f"{owner}: out_type is {out_type!r}; it must be 'concat', 'stack' or None.")


def merged_shape(batch: int | None, dims: list[int], out_type: str | None, keep_list: bool) -> Any:
  """Returns the static shape of what `merge_tensor_list` makes of features of widths `dims`."""
  if out_type == MergeType.NONE:
    return [tf.TensorShape([batch, dim]) for dim in dims]
  shape = tf.TensorShape([batch, sum(dims)] if out_type == MergeType.CONCAT else [batch, len(dims), dims[0]])
  return [shape] if keep_list else shape
