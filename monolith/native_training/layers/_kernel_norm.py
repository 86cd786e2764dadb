# SPDX-License-Identifier: Apache-2.0
"""Kernels whose columns have length 1, or lengths that are learned."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

# The least squared length of a column, so that a column of zeros stays finite.
_EPSILON = 1e-6

Initializer = Callable[..., tf.Tensor]


def draw_with_norms(initializer: Any, shape: list[int], dtype: Any) -> tuple[Initializer, Initializer]:
  """Returns initializers of a kernel and of its columns' lengths, which give parts of one draw.

  Neither variable is computed from the other, so building works in any mode.
  """
  with tf.init_scope():
    sample = initializer(shape, dtype=dtype)
    norms = tf.norm(sample, axis=0)
  return lambda *args, **kwargs: sample, lambda *args, **kwargs: norms


def normalize(kernel: tf.Tensor, norms: tf.Tensor | None = None) -> tf.Tensor:
  """Gives the columns of `[in, out]` the lengths `[out]`, or 1."""
  kernel = tf.nn.l2_normalize(kernel, axis=0, epsilon=_EPSILON)
  return kernel if norms is None else kernel * norms
