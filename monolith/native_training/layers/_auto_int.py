# SPDX-License-Identifier: Apache-2.0
"""AutoInt: features that attend to one another."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from monolith.core.keras_params import with_params
from monolith.native_training.layers import _shapes
from monolith.native_training.layers.utils import merge_tensor_list


def attend(x: tf.Tensor) -> tf.Tensor:
  """`softmax(X · Xᵀ) · X` for each example of `[B, n, k]`."""
  return tf.matmul(tf.nn.softmax(tf.matmul(x, x, transpose_b=True)), x)


@with_params
class AutoInt(tf.keras.layers.Layer):
  """Self-attention over features, `layer_num` times, without weights: `X ← softmax(X · Xᵀ) · X`.

  Source: Song et al., 2019, https://arxiv.org/abs/1810.11921, equations 5 to 7 with one head, where queries, keys and
  values are the embeddings themselves.

  Input shape: float `[B, n, k]`.
  Output shape: n features of width k: `[B, n * k]` ('concat'), `[B, n, k]` ('stack') or a list of `[B, k]` (None).

  Each layer makes the features of an example more alike; time grows with n² * k.

  >>> AutoInt()(tf.ones([1, 3, 2])).numpy().tolist()
  [[1.0, 1.0, 1.0, 1.0, 1.0, 1.0]]

  Args:
    layer_num: how often; > 0.
    out_type: 'concat', 'stack' or None.
    keep_list: return a list also of one tensor.

  Raises:
    ValueError: `layer_num` is not positive, `out_type` is unknown, or the input is not `[B, n, k]` with known n and k.
  """

  def __init__(self, layer_num: int = 1, out_type: str | None = "concat", keep_list: bool = False, **kwargs: Any):
    super().__init__(**kwargs)
    self.layer_num = int(layer_num)
    if self.layer_num <= 0:
      raise ValueError(f"{self.name}: layer_num is {layer_num}; it must be > 0.")
    _shapes.check_out_type(self.name, out_type)
    self.out_type = out_type
    self.keep_list = keep_list

  def build(self, input_shape: Any) -> None:
    _shapes.known_dims(self.name, input_shape, 3, "[B, num_feature, dim]")
    super().build(input_shape)

  def call(self, inputs: tf.Tensor) -> tf.Tensor | list[tf.Tensor]:
    outputs = inputs
    for _ in range(self.layer_num):
      outputs = attend(outputs)
    return merge_tensor_list(outputs, self.out_type, keep_list=self.keep_list)

  def compute_output_shape(self, input_shape: Any) -> Any:
    num_feature, dim = _shapes.known_dims(self.name, input_shape, 3, "[B, num_feature, dim]")
    return _shapes.merged_shape(tf.TensorShape(input_shape)[0], [dim] * num_feature, self.out_type, self.keep_list)

  def get_config(self) -> dict[str, Any]:
    config = super().get_config()
    config.update(layer_num=self.layer_num, out_type=self.out_type, keep_list=self.keep_list)
    return config
