# SPDX-License-Identifier: Apache-2.0
"""CIN: crosses of features as whole vectors, of a degree that grows with the layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from monolith.core.keras_params import with_params
from monolith.native_training.layers import _keras, _shapes, layer_ops


def interact_pooled(x: tf.Tensor, x0: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
  """The sum of `layer_ops.interact` over embedding dimensions, taken before the kernel: D times fewer products.

  Args:
    x: `[B, D, H]`.
    x0: `[B, D, m]`.
    kernel: `[H * m, N]`.

  Returns:
    `[B, N]`.
  """
  pairs = tf.matmul(x, x0, transpose_a=True)
  return tf.matmul(tf.reshape(pairs, [-1, kernel.shape[0]]), kernel)


@with_params
class CIN(tf.keras.layers.Layer):
  """Compressed interaction network: layer k crosses the features with the vectors of layer k - 1.

  Source: Lian et al., 2018 (xDeepFM), https://arxiv.org/abs/1803.05170, equations 6 to 8. With X⁰ the input, H vectors
  x in a layer and m features, `x_n ← act(Σ_h Σ_j kernel[h · m + j, n] · x_h ⊙ X⁰_j + bias_n)`; the last layer has no
  activation. Each layer's vectors, summed over their elements, are part of the output.

  Input shape: float `[B, m, D]`.
  Output shape: float `[B, sum(hidden_uints)]`.

  A layer of N vectors has H * m * N weights, and costs D times as many products an example; but for the last, which,
  being linear, is summed over D before its kernel. Crosses of degree k need k - 1 layers.

  Weights of layer i: conv1d_i/kernel `[1, H * m, N]`, conv1d_i/bias `[N]`, zeros.

  >>> CIN([1], initializer="ones")(tf.constant([[[1., 2.], [3., 4.]]])).numpy().tolist()
  [[52.0]]

  Args:
    hidden_uints: number of vectors N of each layer, at least one.
    activation: a Keras activation of all layers but the last.
    initializer: of the kernels; None is glorot_uniform. Each draws its own values.
    regularizer: of the kernels.

  Raises:
    ValueError: `hidden_uints` is empty or has a number below 1, or the input is not `[B, m, D]` with known m and D.
  """

  def __init__(
    self,
    hidden_uints: Sequence[int],
    activation: Any = None,
    initializer: Any = "glorot_uniform",
    regularizer: Any = None,
    **kwargs: Any,
  ):
    super().__init__(**kwargs)
    self.hidden_uints = [int(units) for units in hidden_uints or ()]
    if not self.hidden_uints or min(self.hidden_uints) < 1:
      raise ValueError(f"{self.name}: hidden_uints is {hidden_uints!r}; give at least one layer, each of at least 1.")
    self.activation = tf.keras.activations.get(activation)
    self.initializer = _keras.get_initializer(initializer, "glorot_uniform")
    self.regularizer = tf.keras.regularizers.get(regularizer)
    self._kernels: list[tf.Variable] = []
    self._biases: list[tf.Variable] = []

  def build(self, input_shape: Any) -> None:
    num_feature, _ = _shapes.known_dims(self.name, input_shape, 3, "[B, num_feature, dim]")
    width = num_feature
    for i, units in enumerate(self.hidden_uints):
      self._kernels.append(
        self.add_weight(
          name=f"conv1d_{i}/kernel",
          shape=[1, width * num_feature, units],
          initializer=_keras.get_initializer(self.initializer, None),
          regularizer=self.regularizer,
        )
      )
      self._biases.append(self.add_weight(name=f"conv1d_{i}/bias", shape=[units], initializer="zeros"))
      width = units
    super().build(input_shape)

  def call(self, inputs: tf.Tensor) -> tf.Tensor:
    num_feature, dim = inputs.shape[1:]
    by_dim = tf.transpose(inputs, [0, 2, 1])  # [B, D, m]
    x = x0 = tf.reshape(by_dim, [-1, num_feature])  # [B * D, m]
    pooled = []
    for kernel, bias in zip(self._kernels[:-1], self._biases[:-1], strict=True):
      x = self.activation(layer_ops.interact(x, x0, tf.convert_to_tensor(kernel)[0]) + bias)
      pooled.append(tf.reduce_sum(tf.reshape(x, [-1, dim, x.shape[-1]]), axis=1))
    last = interact_pooled(tf.reshape(x, [-1, dim, x.shape[-1]]), by_dim, tf.convert_to_tensor(self._kernels[-1])[0])
    return tf.concat([*pooled, last + dim * self._biases[-1]], axis=1)

  def compute_output_shape(self, input_shape: Any) -> tf.TensorShape:
    _shapes.known_dims(self.name, input_shape, 3, "[B, num_feature, dim]")
    return tf.TensorShape([tf.TensorShape(input_shape)[0], sum(self.hidden_uints)])

  def get_config(self) -> dict[str, Any]:
    config = super().get_config()
    config.update(
      hidden_uints=list(self.hidden_uints),
      activation=tf.keras.activations.serialize(self.activation),
      initializer=tf.keras.initializers.serialize(self.initializer),
      regularizer=tf.keras.regularizers.serialize(self.regularizer),
    )
    return config
