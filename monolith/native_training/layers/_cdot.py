# SPDX-License-Identifier: Apache-2.0
"""CDot: inner products of features with mixtures that a tower compresses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from monolith.core.keras_params import with_params
from monolith.native_training.layers import _keras, _shapes
from monolith.native_training.layers.mlp import MLP


@with_params
class CDot(tf.keras.layers.Layer):
  """Inner products of n features with p mixtures of them, where an MLP sees the mixtures first.

  With X the input and C the MLP's output for `flatten(Xᵀ · project_weight)`: `concat([flatten(X · C), flatten(C)])`,
  where the first C is read as `[B, k, p]`. DLRM (Naumov et al., 2019, https://arxiv.org/abs/1906.00091) has all inner
  products `X · Xᵀ`, n² of them; here n features meet p mixtures, and the tower between is what a paper does not have:
  without it, with C = Xᵀ · project_weight, the first part is `X · Xᵀ · project_weight`, DLRM's products compressed.

  Input shape: float `[B, n, k]`.
  Output shape: float `[B, n * p + k * p]`.

  p sets the width of the output and of the tower's last layer (k * p), the only large kernel here.

  Weights: project_weight `[n, p]` and those of the MLP `compress_tower`, whose kernels have normalized columns.

  >>> CDot(1, [2])(tf.ones([4, 3, 2])).shape.as_list()
  [4, 5]

  Args:
    project_dim: p; > 0.
    compress_units: widths of the tower's hidden layers; its last layer, of width k * p, is added to them.
    activation: of the hidden layers; see `MLP`.
    initializer: of every kernel; None is glorot_normal.
    regularizer: of every kernel.

  Raises:
    ValueError: `project_dim` is not positive, or the input is not `[B, n, k]` with known n and k.
  """

  def __init__(
    self,
    project_dim: int,
    compress_units: Sequence[int],
    activation: Any = "relu",
    initializer: Any = None,
    regularizer: Any = None,
    **kwargs: Any,
  ):
    super().__init__(**kwargs)
    self.project_dim = int(project_dim)
    if self.project_dim <= 0:
      raise ValueError(f"{self.name}: project_dim is {project_dim}; it must be > 0.")
    self.compress_units = [int(units) for units in compress_units]
    self.activation = tf.keras.activations.get(activation)
    self.initializer = _keras.get_initializer(initializer, "glorot_normal")
    self.regularizer = tf.keras.regularizers.get(regularizer)
    self.compress_tower: Any = None

  def build(self, input_shape: Any) -> None:
    num_feature, dim = _shapes.known_dims(self.name, input_shape, 3, "[B, num_feature, dim]")
    self.project_weight = self.add_weight(
      name="project_weight",
      shape=[num_feature, self.project_dim],
      initializer=_keras.get_initializer(self.initializer, None),
      regularizer=self.regularizer,
    )
    width = dim * self.project_dim
    self.compress_tower = MLP(
      [*self.compress_units, width],
      activations=self.activation,
      initializers=self.initializer,
      kernel_regularizer=self.regularizer,
      name="compress_tower",
      dtype=self._dtype_policy,
    )
    with tf.name_scope(self.compress_tower.name):
      self.compress_tower.build(tf.TensorShape([None, width]))
    super().build(input_shape)

  def call(self, inputs: tf.Tensor) -> tf.Tensor:
    num_feature, dim = inputs.shape[1:]
    batch, p = tf.shape(inputs)[0], self.project_dim
    projected = tf.tensordot(tf.transpose(inputs, [0, 2, 1]), tf.convert_to_tensor(self.project_weight), 1)
    compressed = self.compress_tower(tf.reshape(projected, [batch, dim * p]))
    crossed = tf.matmul(inputs, tf.reshape(compressed, [batch, dim, p]))
    return tf.concat([tf.reshape(crossed, [batch, num_feature * p]), compressed], 1)

  def compute_output_shape(self, input_shape: Any) -> tf.TensorShape:
    num_feature, dim = _shapes.known_dims(self.name, input_shape, 3, "[B, num_feature, dim]")
    return tf.TensorShape([tf.TensorShape(input_shape)[0], (num_feature + dim) * self.project_dim])

  def get_config(self) -> dict[str, Any]:
    config = super().get_config()
    config.update(
      project_dim=self.project_dim,
      compress_units=list(self.compress_units),
      activation=tf.keras.activations.serialize(self.activation),
      initializer=tf.keras.initializers.serialize(self.initializer),
      regularizer=tf.keras.regularizers.serialize(self.regularizer),
    )
    return config
