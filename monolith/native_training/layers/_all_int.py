# SPDX-License-Identifier: Apache-2.0
"""AllInt: all pairs of features, compressed to a few."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from monolith.core.keras_params import with_params
from monolith.native_training.layers import _keras, _shapes
from monolith.native_training.layers.utils import merge_tensor_list


@with_params
class AllInt(tf.keras.layers.Layer):
  """Inner products of n features with `cmp_dim` mixtures of them: `X · (Xᵀ · allint_kernel + allint_bias)`.

  Input shape: float `[B, n, k]`.
  Output shape: n features of width `cmp_dim`: `[B, n * cmp_dim]` ('concat'), `[B, n, cmp_dim]` ('stack') or a list of
  them (None).

  There is no paper of it; it is DLRM's cross (https://arxiv.org/abs/1906.00091) with fewer columns. Against all n²
  inner products it needs `cmp_dim / n` of the output; a small `cmp_dim` mixes more.

  Weights: allint_kernel `[n, cmp_dim]`, allint_bias `[cmp_dim]`.

  >>> AllInt(2, initializer="ones")(tf.constant([[[1., 2.], [3., 4.]]])).numpy().tolist()
  [[16.0, 16.0, 36.0, 36.0]]

  Args:
    cmp_dim: number of mixtures; > 0.
    initializer: of the kernel; None is glorot_normal.
    regularizer: of the kernel.
    use_bias: add a bias to the mixtures.
    out_type: 'concat', 'stack' or None.
    keep_list: return a list also of one tensor.

  Raises:
    ValueError: `cmp_dim` is not positive, `out_type` is unknown, or the input is not `[B, n, k]` with known n and k.
  """

  def __init__(
    self,
    cmp_dim: int,
    initializer: Any = None,
    regularizer: Any = None,
    use_bias: bool = True,
    out_type: str | None = "concat",
    keep_list: bool = False,
    **kwargs: Any,
  ):
    super().__init__(**kwargs)
    self.cmp_dim = int(cmp_dim)
    if self.cmp_dim <= 0:
      raise ValueError(f"{self.name}: cmp_dim is {cmp_dim}; it must be > 0.")
    _shapes.check_out_type(self.name, out_type)
    self.initializer = _keras.get_initializer(initializer, "glorot_normal")
    self.regularizer = tf.keras.regularizers.get(regularizer)
    self.use_bias = use_bias
    self.out_type = out_type
    self.keep_list = keep_list
    self.bias = None

  def build(self, input_shape: Any) -> None:
    num_feature, _ = _shapes.known_dims(self.name, input_shape, 3, "[B, num_feature, dim]")
    self.kernel = self.add_weight(
      name="allint_kernel",
      shape=[num_feature, self.cmp_dim],
      initializer=self.initializer,
      regularizer=self.regularizer,
    )
    if self.use_bias:
      self.bias = self.add_weight(name="allint_bias", shape=[self.cmp_dim], initializer="zeros")
    super().build(input_shape)

  def call(self, inputs: tf.Tensor) -> tf.Tensor | list[tf.Tensor]:
    mixtures = tf.tensordot(tf.transpose(inputs, [0, 2, 1]), tf.convert_to_tensor(self.kernel), 1)
    if self.bias is not None:
      mixtures += self.bias
    return merge_tensor_list(tf.matmul(inputs, mixtures), self.out_type, keep_list=self.keep_list)

  def compute_output_shape(self, input_shape: Any) -> Any:
    num_feature, _ = _shapes.known_dims(self.name, input_shape, 3, "[B, num_feature, dim]")
    batch = tf.TensorShape(input_shape)[0]
    return _shapes.merged_shape(batch, [self.cmp_dim] * num_feature, self.out_type, self.keep_list)

  def get_config(self) -> dict[str, Any]:
    config = super().get_config()
    config.update(
      cmp_dim=self.cmp_dim,
      initializer=tf.keras.initializers.serialize(self.initializer),
      regularizer=tf.keras.regularizers.serialize(self.regularizer),
      use_bias=self.use_bias,
      out_type=self.out_type,
      keep_list=self.keep_list,
    )
    return config
