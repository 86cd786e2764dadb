# SPDX-License-Identifier: Apache-2.0
"""The one check that layers of a query and a sequence make of their inputs."""

from __future__ import annotations

from typing import Any

import tensorflow as tf


def query_and_keys(owner: str, input_shape: Any) -> tuple[tf.TensorShape, tf.TensorShape]:
  """Returns the shapes of the first two inputs.

  Args:
    owner: name of the layer, for the error.
    input_shape: shapes of at least two inputs.

  Raises:
    ValueError: they are not `[B, width]` and `[B, T, width]` with known widths and one batch.
  """
  # The shape of a single tensor is a tuple too, but not of shapes.
  shapes = list(input_shape) if isinstance(input_shape, (list, tuple)) else [input_shape]
  if len(shapes) < 2 or any(s is None or isinstance(s, int) for s in shapes[:2]):
    raise ValueError(f"{owner}: the input is {input_shape}; pass a pair of [B, width] and [B, T, width].")
  query, keys = tf.TensorShape(shapes[0]), tf.TensorShape(shapes[1])
  fits = query.rank == 2 and keys.rank == 3 and query[:1].is_compatible_with(keys[:1])
  if not fits or query[-1] is None or keys[-1] is None:
    raise ValueError(
      f"{owner}: the inputs are {query} and {keys}; pass [B, width] and [B, T, width], the widths known beforehand."
    )
  return query, keys
