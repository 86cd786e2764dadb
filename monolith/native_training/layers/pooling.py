# SPDX-License-Identifier: Apache-2.0
"""Pooling: a list of tensors to one of them all, element by element."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from monolith.core.keras_params import check_list, with_params
from monolith.native_training.layers import layer_ops
from monolith.native_training.layers._input_shapes import shapes_of

__all__ = ["AvgPooling", "MaxPooling", "Pooling", "SumPooling"]


class Pooling(tf.keras.layers.Layer):
  """What pools have in common; a subclass says in `pool` how two or more tensors become one.

  Input is a list of at least one tensor, all of one dtype and shape, any shape; the output is like each of them. One
  tensor alone comes back as it is. Whatever the list's length, a layer behind stays the same; concatenation would keep
  more, at a width that grows with it.

  Raises:
    TypeError: the input is not a list.
    ValueError: it is empty.
  """

  def call(self, inputs: list[tf.Tensor]) -> tf.Tensor:
    # Keras may turn a list into a tuple on its way here.
    tensors = list(inputs) if isinstance(inputs, tuple) else inputs
    check_list(tensors, lambda count: count > 0)
    return tensors[0] if len(tensors) == 1 else self.pool(tensors)

  def pool(self, tensors: Sequence[tf.Tensor]) -> tf.Tensor:
    """Returns one tensor for two or more.

    Raises:
      NotImplementedError: the subclass does not say how.
    """
    raise NotImplementedError(f"{type(self).__name__} does not define pool.")

  def compute_output_shape(self, input_shape: Any) -> tf.TensorShape:
    return shapes_of(input_shape)[0]

  def get_config(self) -> dict[str, Any]:
    # Without it, Keras would write down the constructor's arguments as they were given: None for a default dtype.
    return super().get_config()


@with_params
class SumPooling(Pooling):
  """The sum of the tensors; see `Pooling`.

  >>> SumPooling()([tf.constant([1.0, 5.0]), tf.constant([3.0, 4.0])]).numpy().tolist()
  [4.0, 9.0]
  """

  def pool(self, tensors: Sequence[tf.Tensor]) -> tf.Tensor:
    return tf.add_n(tensors)


@with_params
class AvgPooling(Pooling):
  """The mean of the tensors; see `Pooling`.

  >>> AvgPooling()([tf.constant([1.0, 5.0]), tf.constant([3.0, 4.0])]).numpy().tolist()
  [2.0, 4.5]
  """

  def pool(self, tensors: Sequence[tf.Tensor]) -> tf.Tensor:
    return tf.add_n(tensors) / len(tensors)


@with_params
class MaxPooling(Pooling):
  """The largest of the tensors' elements at each place; see `Pooling`. Of equals, the first gets the gradient.

  >>> MaxPooling()([tf.constant([1.0, 5.0]), tf.constant([3.0, 4.0])]).numpy().tolist()
  [3.0, 5.0]
  """

  def pool(self, tensors: Sequence[tf.Tensor]) -> tf.Tensor:
    return layer_ops.maximum(tensors)
