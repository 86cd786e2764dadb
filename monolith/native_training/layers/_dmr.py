# SPDX-License-Identifier: Apache-2.0
"""DMR_U2I: how a user's sequence matches an item."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from monolith.core.keras_params import with_params
from monolith.native_training.layers import _keras
from monolith.native_training.layers._input_shapes import query_and_keys
from monolith.native_training.layers.dense import Dense
from monolith.native_training.layers.mlp import activation_text, make_activations


@with_params
class DMR_U2I(tf.keras.layers.Layer):
  """Matches a user's sequence with an item: the user-to-item net of Deep Match to Rank.

  Source: Lyu et al., Deep Match to Rank Model for Personalized Click-Through Rate Prediction, AAAI 2020, the equations
  of the user-to-item network. With x_t the sequence and p_t an embedding of the position,

      alpha = softmax over t of (p_t + x_t W + b) · z
      output = activation((sum of alpha_t x_t) D + d) * item

  The sum of the output over its last axis is the paper's inner product of user and item.

  Inputs are float tensors in this order: the item `[B, ie]` and the sequence `[B, T, ue]`; T must be known, since every
  position has an embedding. The output is `[B, ie]`.

  Weights: pos_emb `[T, cmp_dim]`, emb_weight `[ue, cmp_dim]`, z_weight `[cmp_dim, 1]` (ones), bias `[cmp_dim]` (zeros),
  dense/kernel `[ue, ie]`, dense/bias `[ie]`, and what the activation has (a PReLU p_re_lu/alpha `[ie]`). Softmax does
  not see what is added to all positions, so the gradient of bias is 0.

  >>> DMR_U2I(4, activation="relu")([tf.ones([2, 8]), tf.ones([2, 5, 3])]).shape.as_list()
  [2, 8]

  Args:
    cmp_dim: width of the space in which positions and inputs are added up; > 0. It costs weights, but no time: nothing
      of that width is computed for the sequence.
    activation: activation of the projected user, in whatever form `advanced_activations.get` takes.
    initializer: Keras initializer of pos_emb, emb_weight and dense/kernel; None is glorot_uniform.
    regularizer: Keras regularizer of the same.

  Raises:
    ValueError: an argument is none of these, or the inputs have other shapes.
  """

  def __init__(
    self,
    cmp_dim: int,
    activation: Any = "PReLU",
    initializer: Any = "glorot_uniform",
    regularizer: Any = None,
    **kwargs: Any,
  ):
    super().__init__(**kwargs)
    self.cmp_dim = int(cmp_dim)
    if self.cmp_dim <= 0:
      raise ValueError(f"{self.name}: cmp_dim is {cmp_dim}; it must be > 0.")
    self.activation = make_activations([activation], 1, self.name, self._dtype_policy)[0]
    self.initializer = _keras.get_initializer(initializer, "glorot_uniform")
    self.regularizer = tf.keras.regularizers.get(regularizer)

  def build(self, input_shape: Any) -> None:
    items, sequence = query_and_keys(self.name, input_shape)
    _, length, width = sequence.as_list()
    if length is None:
      raise ValueError(f"{self.name}: the sequence is {sequence}; its length must be known, pad it to one.")
    self.sequence_shape = [length, width]
    self.pos_emb = self._add_kernel("pos_emb", [length, self.cmp_dim])
    self.emb_weight = self._add_kernel("emb_weight", [width, self.cmp_dim])
    self.z_weight = self.add_weight(name="z_weight", shape=[self.cmp_dim, 1], initializer="ones")
    self.bias = self.add_weight(name="bias", shape=[self.cmp_dim], initializer="zeros")
    self.linear = Dense(
      items[-1],
      kernel_initializer=self.initializer,
      kernel_regularizer=self.regularizer,
      name="dense",
      dtype=self._dtype_policy,
    )
    for layer, shape in ((self.linear, [None, width]), (self.activation, [None, items[-1]])):
      if layer is not None and not layer.built:
        with tf.name_scope(layer.name):
          layer.build(tf.TensorShape(shape))
    super().build(input_shape)

  def _add_kernel(self, name: str, shape: list[int]) -> tf.Variable:
    initializer = _keras.get_initializer(self.initializer, None)
    return self.add_weight(name=name, shape=shape, initializer=initializer, regularizer=self.regularizer)

  def call(self, inputs: Sequence[tf.Tensor]) -> tf.Tensor:
    items, sequence = inputs
    if not sequence.shape[1:].is_compatible_with(self.sequence_shape):
      raise ValueError(
        f"{self.name}: the sequence is {sequence.shape}, but the layer was built for {list(self.sequence_shape)} per "
        "row; pad or cut it."
      )
    alpha = tf.nn.softmax(self._logits(sequence), axis=1)
    user = self.linear(tf.squeeze(tf.matmul(alpha[:, tf.newaxis], sequence), axis=1))
    return (user if self.activation is None else self.activation(user)) * items

  def _logits(self, sequence: tf.Tensor) -> tf.Tensor:
    """Returns `(p_t + x_t W + b) · z`, `[B, T]`, multiplied out: W z is one vector for all positions."""
    position, weight, bias, z = (
      tf.cast(w, sequence.dtype) for w in (self.pos_emb, self.emb_weight, self.bias, self.z_weight)
    )
    of_inputs = tf.squeeze(tf.tensordot(sequence, tf.matmul(weight, z), [[-1], [0]]), axis=-1)
    return of_inputs + tf.squeeze(tf.matmul(position + bias, z), axis=-1)

  def compute_output_shape(self, input_shape: Any) -> tf.TensorShape:
    return query_and_keys(self.name, input_shape)[0]

  def get_config(self) -> dict[str, Any]:
    config = super().get_config()
    config.update(
      cmp_dim=self.cmp_dim,
      activation=activation_text(self.name, self.activation),
      initializer=tf.keras.initializers.serialize(self.initializer),
      regularizer=tf.keras.regularizers.serialize(self.regularizer),
    )
    return config
