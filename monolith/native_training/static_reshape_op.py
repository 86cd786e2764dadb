# SPDX-License-Identifier: Apache-2.0
"""Reshapes many tensors to shapes that are known beforehand, in one op."""

from __future__ import annotations

from typing import List, Optional, Sequence, Tuple

from monolith.native_training.runtime.ops import gen_monolith_ops

import tensorflow as tf

_Shape = Sequence[Optional[int]]


def static_reshape(
  inputs: Sequence[tf.Tensor], shapes: Sequence[_Shape], enable_parallelism: bool = True
) -> Tuple[List[tf.Tensor], tf.Tensor]:
  """Reshapes every tensor, without copying.

  Args:
    inputs: tensors of any dtype.
    shapes: the new shape of each, with at most one None.
    enable_parallelism: taken for the sake of existing callers; nothing is copied.

  Returns:
    The tensors, and int64 [N], how many elements each has.

  Raises:
    ValueError: as many shapes as tensors are needed.
  """
  if len(inputs) != len(shapes):
    raise ValueError(f"static_reshape: {len(shapes)} shapes for {len(inputs)} tensors; give one shape a tensor.")
  return gen_monolith_ops.monolith_static_reshape_n(
    list(inputs), shapes=[tf.TensorShape(shape) for shape in shapes], enable_parallelism=enable_parallelism
  )


@tf.RegisterGradient("MonolithStaticReshapeN")
def _static_reshape_gradient(op, *grads):
  return [
    None if grad is None else tf.reshape(grad, tf.shape(tensor))
    for tensor, grad in zip(op.inputs, grads[:-1], strict=True)
  ]


class StaticReshapeNBuilder:
  """Collects tensors and shapes, then reshapes them all by one op."""

  def __init__(self, enable_parallelism: bool = True):
    self._enable_parallelism = enable_parallelism
    self._inputs: List[tf.Tensor] = []
    self._shapes: List[_Shape] = []

  def add(self, input: tf.Tensor, shape: _Shape) -> int:
    """Takes one tensor in; returns its index among the results of build()."""
    self._inputs.append(input)
    self._shapes.append(shape)
    return len(self._inputs) - 1

  def build(self) -> Tuple[List[tf.Tensor], tf.Tensor]:
    """The reshaped tensors and their sizes, as static_reshape returns them."""
    return static_reshape(self._inputs, self._shapes, self._enable_parallelism)
