# SPDX-License-Identifier: Apache-2.0
"""Summaries that layers write while they compute."""

from __future__ import annotations

import tensorflow as tf


def histogram(name: str, values: tf.Tensor) -> None:
  """Records a histogram: in the collection SUMMARIES of a TF1 graph, elsewhere with the default writer if there is
  one.
  """
  if not tf.compat.v1.executing_eagerly_outside_functions():
    tf.compat.v1.summary.histogram(name, values)
  elif tf.summary.experimental.get_step() is not None:
    tf.summary.histogram(name, values)


def scalar(name: str, value: tf.Tensor) -> None:
  """Records a number, as `histogram` does."""
  if not tf.compat.v1.executing_eagerly_outside_functions():
    tf.compat.v1.summary.scalar(name, value)
  elif tf.summary.experimental.get_step() is not None:
    tf.summary.scalar(name, value)
