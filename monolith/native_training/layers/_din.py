# SPDX-License-Identifier: Apache-2.0
"""DIN: attention of an item to what a user did before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from monolith.core.keras_params import with_params
from monolith.native_training.layers import _attention_ops, _keras, _summaries
from monolith.native_training.layers import advanced_activations as ad_acts
from monolith.native_training.layers._input_shapes import query_and_keys
from monolith.native_training.layers.mlp import MLP, activation_text

_MODES = ("sum", "elementwise")


def interaction_projection(queries: tf.Tensor, keys: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
  """Returns `[q, k, q - k, q * k] · kernel + bias` for each query and each of its keys, without making the four parts.

  With the kernel's rows in four parts Q, K, D and P it is `q (Q + D) + bias + k (K - D) + (q * k) P`. What does not
  depend on the key is computed once a query.

  Args:
    queries: float `[B, H]`, H known.
    keys: float `[B, T, H]`.
    kernel: float `[4 * H, units]`.
    bias: float `[units]`.

  Returns:
    A tensor `[B, T, units]`.
  """
  of_query, of_key, of_difference, of_product = tf.split(kernel, 4, axis=0)
  own = tf.nn.bias_add(tf.matmul(queries, of_query + of_difference), bias)
  return _attention_ops.project_keys(own, queries, keys, of_key - of_difference, of_product)


def _mask_of_keys(mask: Any) -> tf.Tensor | None:
  """Returns the mask `[B, T]` as bool, of what `DIN.call` takes."""
  if isinstance(mask, (list, tuple)) and any(m is None or tf.is_tensor(m) for m in mask):
    mask = mask[1]
  if mask is None:
    return None
  mask = tf.convert_to_tensor(mask)
  return mask if mask.dtype == tf.bool else mask >= tf.ones([], mask.dtype)


@with_params
class DIN(tf.keras.layers.Layer):
  """Weighs what a user did by how it fits the item at hand (https://arxiv.org/abs/1706.06978, equation 3).

  A small tower scores every key k against the query q from `[q, k, q - k, q * k]`; the scores, as they are, weigh the
  keys. There is no softmax, so the sum keeps the strength of an interest, as the paper wants it.

  Input is a pair of float tensors: the query `[B, H]` and the keys `[B, T, H]`; T may be unknown, and 0. The output is
  `[B, H]` in mode 'sum', `[B, T, H]` in mode 'elementwise'.

  Weights: those of an `MLP` named compress_tower, `<din>/compress_tower/dense_i/...`; its first kernel is
  `[4 * H, hidden_units[0]]` with rows for q, k, q - k and q * k in this order. A PReLU has one alpha a unit, for all
  keys.

  >>> din = DIN([16, 1], activation="sigmoid")
  >>> din([tf.ones([2, 8]), tf.ones([2, 5, 8])], mask=tf.sequence_mask([3, 1], 5)).shape.as_list()
  [2, 8]

  Args:
    hidden_units: widths of the tower; the last must be 1. The first costs most, time and memory being in proportion to
      it times the number of keys; some dozens are usual.
    activation: activation of all layers of the tower but the last, in whatever form `advanced_activations.get` takes;
      None leaves the tower linear, 'prelu' is the paper's.
    initializer: Keras initializer of the kernels; None is glorot_normal.
    regularizer: Keras regularizer of the kernels.
    mode: 'sum' adds the weighted keys up, 'elementwise' returns them one by one.
    decay: divide the scores by the root of H, so that their spread does not grow with the width.

  Raises:
    ValueError: an argument is none of these, or the inputs have other shapes.
  """

  def __init__(
    self,
    hidden_units: Sequence[int],
    activation: Any = None,
    initializer: Any = None,
    regularizer: Any = None,
    mode: str = "sum",
    decay: bool = False,
    **kwargs: Any,
  ):
    super().__init__(**kwargs)
    self.hidden_units = [int(u) for u in hidden_units or ()]
    if not self.hidden_units or self.hidden_units[-1] != 1:
      raise ValueError(f"{self.name}: hidden_units is {hidden_units!r}; the last must be 1, the score of a key.")
    if mode not in _MODES:
      raise ValueError(f"{self.name}: mode is {mode!r}; it must be 'sum' or 'elementwise'.")
    self.initializer = _keras.get_initializer(initializer, "glorot_normal")
    self.regularizer = tf.keras.regularizers.get(regularizer)
    self.mode = mode
    self.decay = decay
    hidden = len(self.hidden_units) - 1
    self.dense_tower = MLP(
      output_dims=self.hidden_units,
      activations=[activation] * hidden + [None],
      initializers=[self.initializer] * (hidden + 1),
      kernel_regularizer=self.regularizer,
      name="compress_tower",
      dtype=self._dtype_policy,
    )
    self.activation = self.dense_tower.activations[0] if hidden else ad_acts.get_layer(activation)
    self.supports_masking = True

  def build(self, input_shape: Any) -> None:
    query, keys = query_and_keys(self.name, input_shape)
    if query[-1] != keys[-1]:
      raise ValueError(f"{self.name}: the query is {query}, but the keys are {keys}; give both the same width.")
    if not self.dense_tower.built:
      with tf.name_scope(self.dense_tower.name):
        self.dense_tower.build([None, 4 * query[-1]])
    super().build(input_shape)

  def call(self, inputs: Sequence[tf.Tensor], mask: Any = None) -> tf.Tensor:
    """Computes the attention.

    Args:
      inputs: the query and the keys.
      mask: `[B, T]`, bool or numbers; keys where it is False or below 1 count nothing. None keeps all keys. A list, as
        Keras passes masks of layers before this one, has the keys' mask second.
    """
    queries, keys = inputs
    scores = self._scores(queries, keys)
    mask = _mask_of_keys(mask)
    if mask is not None:
      scores = tf.where(mask, scores, tf.zeros_like(scores))
      _summaries.histogram(f"{self.name}_attention_outputs", scores)
    if self.mode == "sum":
      return _attention_ops.weighted_sum(scores, keys)
    return scores[:, :, tf.newaxis] * keys

  def _scores(self, queries: tf.Tensor, keys: tf.Tensor) -> tf.Tensor:
    """Returns what the tower makes of every key, `[B, T]`."""
    first, *rest = self.dense_tower._stacked_layers
    kernel, bias = (tf.cast(weight, keys.dtype) for weight in (first.kernel, first.bias))
    # Keys as rows: an activation's weights then are those of its units, the same for all T.
    outputs = tf.reshape(interaction_projection(queries, keys, kernel, bias), [-1, first.units])
    for layer in rest:
      outputs = layer(outputs)
    scores = tf.ensure_shape(tf.reshape(outputs, tf.shape(keys)[:2]), keys.shape[:2])
    return scores / float(queries.shape[-1]) ** 0.5 if self.decay else scores

  def compute_mask(self, inputs: Any, mask: Any = None) -> None:
    """Returns None: no position of the output is to be left out."""

  def compute_output_shape(self, input_shape: Any) -> tf.TensorShape:
    query, keys = query_and_keys(self.name, input_shape)
    return query if self.mode == "sum" else keys

  def get_config(self) -> dict[str, Any]:
    config = super().get_config()
    config.update(
      hidden_units=list(self.hidden_units),
      activation=activation_text(self.name, self.activation),
      initializer=tf.keras.initializers.serialize(self.initializer),
      regularizer=tf.keras.regularizers.serialize(self.regularizer),
      mode=self.mode,
      decay=self.decay,
    )
    return config
