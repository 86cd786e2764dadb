# SPDX-License-Identifier: Apache-2.0
"""What `build` and `compute_output_shape` are told of layers that take one tensor or several."""

from __future__ import annotations

from typing import Any

import tensorflow as tf


def shapes_of(input_shape: Any) -> list[tf.TensorShape]:
  """Returns the shapes of all inputs, for the shape of a tensor or the shapes of a list of tensors."""
  # The shape of a single tensor may be a sequence too, but one of numbers.
  single = not isinstance(input_shape, (list, tuple)) or any(s is None or isinstance(s, int) for s in input_shape)
  return [tf.TensorShape(input_shape)] if single else [tf.TensorShape(s) for s in input_shape]


def one_or_two(owner: str, input_shape: Any) -> tuple[tf.TensorShape, tf.TensorShape]:
  """Returns the shapes of a pair of inputs, or twice the shape of one that stands for both.

  Args:
    owner: name of the layer, for the error.
    input_shape: of one input or of two.

  Raises:
    ValueError: there are more, or the width of one is unknown.
  """
  shapes = shapes_of(input_shape)
  if len(shapes) > 2 or any(s.rank in (None, 0, 1) or s[-1] is None for s in shapes):
    raise ValueError(
      f"{owner}: the input is {', '.join(str(s) for s in shapes)}; pass one [B, width], or a pair of them, with known "
      "widths."
    )
  return shapes[0], shapes[-1]


def query_and_keys(owner: str, input_shape: Any) -> tuple[tf.TensorShape, tf.TensorShape]:
  """Returns the shapes of the first two inputs.

  Args:
    owner: name of the layer, for the error.
    input_shape: shapes of at least two inputs.

  Raises:
    ValueError: they are not `[B, width]` and `[B, T, width]` with known widths and one batch.
  """
  shapes = shapes_of(input_shape)
  if len(shapes) < 2:
    raise ValueError(f"{owner}: the input is {shapes[0]}; pass a pair of [B, width] and [B, T, width].")
  query, keys = shapes[:2]
  fits = query.rank == 2 and keys.rank == 3 and query[:1].is_compatible_with(keys[:1])
  if not fits or query[-1] is None or keys[-1] is None:
    raise ValueError(
      f"{owner}: the inputs are {query} and {keys}; pass [B, width] and [B, T, width], the widths known beforehand."
    )
  return query, keys
