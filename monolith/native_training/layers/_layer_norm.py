# SPDX-License-Identifier: Apache-2.0
"""LayerNorm: every row by its own mean and variance."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from monolith.core.keras_params import with_params
from monolith.native_training.layers import _keras

# Added to the variance, so that a row of equal numbers becomes beta instead of 0 / 0.
_EPSILON = 1e-6


@with_params
class LayerNorm(tf.keras.layers.Layer):
  """Layer normalization (https://arxiv.org/abs/1607.06450, equations 3 and 4), the same in training and serving.

  Every vector along the last axis becomes `gamma * (x - mean) / sqrt(variance + 1e-6) + beta` with its own mean and
  variance.

  Input and output are float `[..., D]`, D known.

  It costs two passes over a row and 2 * D weights, and mixes no rows, whatever the batch.

  Weights: beta `[D]` (zeros), gamma `[D]`.

  >>> LayerNorm(None)(tf.constant([[1.0, 3.0]])).numpy().round(3).tolist()
  [[-1.0, 1.0]]

  Args:
    initializer: Keras initializer of gamma; None is ones. It has no default, since zeros or random numbers, which other
      layers take here, make a different layer.
    regularizer: Keras regularizer of beta and gamma.

  Raises:
    ValueError: the last dimension of the input is unknown.
  """

  def __init__(self, initializer: Any, regularizer: Any = None, **kwargs: Any):
    super().__init__(**kwargs)
    self.initializer = _keras.get_initializer(initializer, "ones")
    self.regularizer = tf.keras.regularizers.get(regularizer)

  def build(self, input_shape: Any) -> None:
    dim = tf.TensorShape(input_shape)[-1]
    if dim is None:
      raise ValueError(f"{self.name}: the input is {tf.TensorShape(input_shape)}; its last dimension must be known.")
    self.beta = self.add_weight(name="beta", shape=[dim], initializer="zeros", regularizer=self.regularizer)
    self.gamma = self.add_weight(name="gamma", shape=[dim], initializer=self.initializer, regularizer=self.regularizer)
    super().build(input_shape)

  def call(self, inputs: tf.Tensor) -> tf.Tensor:
    # Sums of half precision would lose what they are about.
    x = tf.cast(inputs, tf.float32) if inputs.dtype.size < 4 else inputs
    centered = x - tf.reduce_mean(x, axis=-1, keepdims=True)
    variance = tf.reduce_mean(tf.square(centered), axis=-1, keepdims=True)
    # Rows are scaled before gamma comes in: a tensor of both scales would be as large as the input.
    normalized = centered * tf.math.rsqrt(variance + _EPSILON)
    return tf.cast(normalized * tf.cast(self.gamma, x.dtype) + tf.cast(self.beta, x.dtype), inputs.dtype)

  def compute_output_shape(self, input_shape: Any) -> tf.TensorShape:
    return tf.TensorShape(input_shape)

  def get_config(self) -> dict[str, Any]:
    config = super().get_config()
    config.update(
      initializer=tf.keras.initializers.serialize(self.initializer),
      regularizer=tf.keras.regularizers.serialize(self.regularizer),
    )
    return config
