# SPDX-License-Identifier: Apache-2.0
"""AddBias: a number of its own for every place of a row."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from monolith.core.keras_params import with_params
from monolith.native_training.layers import _keras

_FORMATS = ("channels_last", "channels_first")


@with_params
class AddBias(tf.keras.layers.Layer):
  """Adds a learned bias of the shape of a row.

  Input is float `[B, ...]` of rank 2 to 5, all sizes but the batch known; the output is like it.

  Weights: bias, of the input's shape without its batch. It costs as many weights as a row has elements; for one number
  a channel take `tf.nn.bias_add`.

  >>> AddBias("ones")(tf.zeros([2, 3])).numpy().tolist()
  [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]

  Args:
    initializer: Keras initializer of the bias; None is zeros.
    regularizer: Keras regularizer of the bias.

  Raises:
    ValueError: the input has another rank or unknown sizes.
  """

  def __init__(self, initializer: Any = None, regularizer: Any = None, **kwargs: Any):
    super().__init__(**kwargs)
    self.initializer = _keras.get_initializer(initializer, "zeros")
    self.regularizer = tf.keras.regularizers.get(regularizer)

  def build(self, input_shape: Any) -> None:
    shape = tf.TensorShape(input_shape)
    if shape.rank not in (2, 3, 4, 5) or not shape[1:].is_fully_defined():
      raise ValueError(f"{self.name}: the input is {shape}; its rank must be 2 to 5 and all sizes but the first known.")
    self.bias = self.add_weight(
      name="bias", shape=shape[1:], initializer=self.initializer, regularizer=self.regularizer
    )
    super().build(input_shape)

  def call(self, inputs: tf.Tensor, data_format: str = "channels_last") -> tf.Tensor:
    """Adds the bias.

    Args:
      inputs: see the class.
      data_format: 'channels_last' or 'channels_first'. The bias has the input's own order of axes, so both add the
        same.

    Raises:
      ValueError: the data format is neither.
    """
    if data_format not in _FORMATS:
      raise ValueError(f"Unknown data_format: {data_format!r}; {self.name} takes {' or '.join(_FORMATS)}.")
    return inputs + tf.cast(self.bias, inputs.dtype)

  def compute_output_shape(self, input_shape: Any) -> tf.TensorShape:
    return tf.TensorShape(input_shape)

  def get_config(self) -> dict[str, Any]:
    config = super().get_config()
    config.update(
      initializer=tf.keras.initializers.serialize(self.initializer),
      regularizer=tf.keras.regularizers.serialize(self.regularizer),
    )
    return config
