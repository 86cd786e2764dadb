# SPDX-License-Identifier: Apache-2.0
"""CAN: an item's embedding as the weights of a small tower over the user's features."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from monolith.core.keras_params import with_params
from monolith.native_training.layers import _shapes


@with_params
class CAN(tf.keras.layers.Layer):
  """Co-action: `u ← act(u · W + b)` with W and b out of the item's embedding, once a layer.

  Source: Bian et al., 2020, https://arxiv.org/abs/2011.05625, the co-action unit: the item's embedding, cut and
  reshaped, is the weights and biases of a small MLP, and the user's embedding is what it is fed. Outputs of the last
  layer alone are returned.

  Input shape: a pair (user, item). `item` is float `[B, layer_num * (d² + d)]`: for each layer W `[d, d]`, row by row,
  then b `[d]`. `user` is float

  | | `is_stacked` | not |
  |---|---|---|
  | `is_seq` | `[B, F, T, d]` | `[B, T, d]` |
  | not | `[B, F, d]` | `[B, d]` |

  Output shape: the user's without T, over which the last layer's outputs are summed.

  It has no weights. The item's embedding grows with d², so d is small, and so is `layer_num`.

  >>> CAN(layer_num=1)((tf.constant([[[1., 2.]]]), tf.constant([[1., 0., 0., 1., 10., 20.]]))).numpy().tolist()
  [[[11.0, 22.0]]]

  Args:
    layer_num: layers; > 0.
    activation: a Keras activation of every layer.
    is_seq: the user's features are sequences.
    is_stacked: the user has several features.

  Raises:
    ValueError: `layer_num` is not positive, or a shape is none of the above.
  """

  def __init__(
    self, layer_num: int = 2, activation: Any = "relu", is_seq: bool = False, is_stacked: bool = True, **kwargs: Any
  ):
    super().__init__(**kwargs)
    self.layer_num = int(layer_num)
    if self.layer_num <= 0:
      raise ValueError(f"{self.name}: layer_num is {layer_num}; it must be > 0.")
    self.activation = tf.keras.activations.get(activation)
    self.is_seq = is_seq
    self.is_stacked = is_stacked

  def _check(self, input_shape: Any) -> tf.TensorShape:
    """Returns the user's shape."""
    if not isinstance(input_shape, (list, tuple)) or len(input_shape) != 2:
      raise ValueError(f"{self.name}: the inputs have shapes {input_shape}; pass a pair (user, item).")
    user, item = (tf.TensorShape(shape) for shape in input_shape)
    rank = 2 + self.is_seq + self.is_stacked
    if user.rank != rank or user[-1] is None:
      raise ValueError(
        f"{self.name}: user is {user}; with is_seq={self.is_seq} and is_stacked={self.is_stacked} it must have {rank} "
        "axes, the last of known size."
      )
    width = self.layer_num * (user[-1] ** 2 + user[-1])
    if _shapes.known_dims(self.name, item, 2, "[B, width]") != [width]:
      raise ValueError(
        f"{self.name}: item is {item}; {self.layer_num} layers of {user[-1]} units take layer_num * (d² + d) = {width} "
        "columns."
      )
    return user

  def build(self, input_shape: Any) -> None:
    self._check(input_shape)
    super().build(input_shape)

  def call(self, inputs: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
    user, item = inputs
    dim, shape = user.shape[-1], tf.shape(user)
    # One matrix product an example: all its rows share W.
    rows = tf.reshape(user, [shape[0], tf.reduce_prod(shape[1:-1]), dim])
    parts = tf.split(item, [dim * dim, dim] * self.layer_num, axis=1)
    for kernel, bias in zip(parts[::2], parts[1::2], strict=True):
      kernel = tf.reshape(kernel, [shape[0], dim, dim])
      rows = self.activation(tf.matmul(rows, kernel) + bias[:, tf.newaxis, :])
    outputs = tf.ensure_shape(tf.reshape(rows, shape), user.shape)
    return tf.reduce_sum(outputs, axis=-2) if self.is_seq else outputs

  def compute_output_shape(self, input_shape: Any) -> tf.TensorShape:
    user = self._check(input_shape)
    return user[:-2].concatenate(user[-1:]) if self.is_seq else user

  def get_config(self) -> dict[str, Any]:
    config = super().get_config()
    config.update(
      layer_num=self.layer_num,
      activation=tf.keras.activations.serialize(self.activation),
      is_seq=self.is_seq,
      is_stacked=self.is_stacked,
    )
    return config
