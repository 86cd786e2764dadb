# SPDX-License-Identifier: Apache-2.0
"""MLP: a tower of Dense layers with activations and optional batch normalization."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from monolith.core.keras_params import extend_as_list, with_params
from monolith.native_training.layers import _batch_norm, _keras
from monolith.native_training.layers import advanced_activations as ad_acts
from monolith.native_training.layers.dense import Dense
from monolith.native_training.summary.summary_ops import feature_insight_data


def _snake_case(name: str) -> str:
  """Spells a class name as Keras does in automatic layer names: ReLU is re_lu."""
  return re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", re.sub(r"(.)([A-Z][a-z0-9]+)", r"\1_\2", name)).lower()


def make_activations(activations: Any, count: int, owner: str, dtype: Any = None) -> list[tf.keras.layers.Layer | None]:
  """Returns one activation layer, or None, for each of `count` layers.

  Args:
    activations: None is relu everywhere but last; a list or tuple has one a layer; anything else is used for all
      layers but the last, which gets none.
    count: number of layers.
    owner: who asks, for the error.
    dtype: dtype or policy of the activations that are made here.

  Raises:
    ValueError: a list has another length.
    TypeError: an element is no activation.
  """
  if isinstance(activations, (list, tuple)):
    if len(activations) != count:
      raise ValueError(
        f"{owner}: {len(activations)} activations for {count} output_dims; give one a layer (None for none)."
      )
    elements = list(activations)
  else:
    elements = ["relu" if activations is None else activations] * (count - 1) + [None]
  layers: list[tf.keras.layers.Layer | None] = []
  seen: list[tf.keras.layers.Layer | None] = []
  for element in elements:
    layer = ad_acts.get_layer(element)
    own = isinstance(element, tf.keras.layers.Layer) and layer is element and all(layer is not s for s in seen)
    seen.append(layer)
    # A fixed name instead of Keras' process-wide count: a model then has the same variable names in every graph. A
    # layer that is given for several places is copied, since each place has weights of its own shape.
    fresh = layer is not None and not own
    layers.append(ad_acts.clone(layer, _snake_case(type(layer).__name__), dtype) if fresh else layer)
  return layers


def activation_text(owner: str, activation: tf.keras.layers.Layer | None) -> str | None:
  """Returns what a config holds of an activation.

  Raises:
    ValueError: it cannot be read back from a text.
  """
  text = ad_acts.serialize(activation)
  if activation is not None and text is None:
    raise ValueError(
      f"{owner}: activation {type(activation).__name__} cannot be written to a config; use one of "
      f"{', '.join(sorted(ad_acts.ALL_ACTIVATION_NAMES))}, or a function."
    )
  return text


@with_params
class MLP(tf.keras.layers.Layer):
  """Dense layers one after another: `[batch norm] (dense_i [batch norm] [activation])*`.

  Input is float `[..., in]`, output `[..., output_dims[-1]]`. The last dense layer has no batch normalization, and an
  activation only where `activations` is a list.

  Each layer costs the product of its width and the width before it, in weights and in products a row, so wide
  neighbours cost most. Widths usually fall from layer to layer, to 1 for a logit.

  Weights of layer i: `dense_i/...` as in `Dense`; those of the batch normalizations and of activations that have some.

  >>> MLP([8, 4, 1], activations="tanh")(tf.ones([3, 10])).shape.as_list()
  [3, 1]
  >>> mlp = MLP([2, 1], ["relu", "sigmoid"], initializers="ones", use_weight_norm=False)
  >>> mlp(tf.constant([[-1.0, -2.0]])).numpy().tolist()
  [[0.5]]

  Args:
    output_dims: widths of the layers, at least one.
    activations: None is relu for all layers but the last; a list has one a layer, in whatever form
      `advanced_activations.get` takes; a single one is used for all layers but the last.
    initializers: kernel initializer, one for all or a list with one a layer; None is glorot_uniform. Every layer draws
      its own values.
    kernel_regularizer: Keras regularizer of every kernel.
    use_weight_norm: normalize the kernels' columns; see `Dense`.
    use_learnable_weight_norm: learn the columns' lengths.
    use_bias: give every layer a bias.
    bias_regularizer: Keras regularizer of every bias.
    enable_batch_normalization: normalize the input, and the output of every dense layer but the last.
    batch_normalization_momentum: share of the old moving statistics that is kept at each step.
    batch_normalization_renorm: use batch renormalization (https://arxiv.org/abs/1702.03275).
    batch_normalization_renorm_clipping: its bounds, a dict of rmax, rmin, dmax.
    batch_normalization_renorm_momentum: its momentum.

  Raises:
    ValueError: `output_dims` is empty, or a list has another length than it.
  """

  def __init__(
    self,
    output_dims: Sequence[int],
    activations: Any = None,
    initializers: Any = None,
    kernel_regularizer: Any = None,
    use_weight_norm: bool = True,
    use_learnable_weight_norm: bool = True,
    use_bias: bool = True,
    bias_regularizer: Any = None,
    enable_batch_normalization: bool = False,
    batch_normalization_momentum: float = 0.99,
    batch_normalization_renorm: bool = False,
    batch_normalization_renorm_clipping: Any = None,
    batch_normalization_renorm_momentum: float = 0.99,
    **kwargs: Any,
  ):
    super().__init__(**kwargs)
    self.output_dims = [int(d) for d in output_dims or ()]
    if not self.output_dims:
      raise ValueError(f"{self.name}: output_dims is {output_dims!r}; give the width of at least one layer.")
    count = len(self.output_dims)
    initializers = extend_as_list(initializers, count)
    if len(initializers) != count:
      raise ValueError(f"{self.name}: {len(initializers)} initializers for {count} output_dims; give one a layer.")
    made = make_activations(activations, count, self.name, self._dtype_policy)
    self.initializers = [None if i is None else _keras.get_initializer(i, None) for i in initializers]
    self.kernel_regularizer = tf.keras.regularizers.get(kernel_regularizer)
    self.use_weight_norm = use_weight_norm
    self.use_learnable_weight_norm = use_learnable_weight_norm
    self.use_bias = use_bias
    self.bias_regularizer = tf.keras.regularizers.get(bias_regularizer)
    self.enable_batch_normalization = enable_batch_normalization
    self.batch_normalization_momentum = batch_normalization_momentum
    self.batch_normalization_renorm = batch_normalization_renorm
    self.batch_normalization_renorm_clipping = batch_normalization_renorm_clipping
    self.batch_normalization_renorm_momentum = batch_normalization_renorm_momentum
    # First of the attributes that hold layers: Keras orders weights by it.
    self._stacked_layers = self._make_layers(made)
    self.activations = made

  def _make_layers(self, activations: list[tf.keras.layers.Layer | None]) -> list[tf.keras.layers.Layer]:
    layers: list[tf.keras.layers.Layer] = []
    if self.enable_batch_normalization:
      layers.append(_batch_norm.make(self, "BatchNorm/in"))
    for i, units in enumerate(self.output_dims):
      layers.append(
        Dense(
          units,
          use_bias=self.use_bias,
          kernel_initializer=self.initializers[i],
          kernel_regularizer=self.kernel_regularizer,
          bias_regularizer=self.bias_regularizer,
          allow_kernel_norm=self.use_weight_norm,
          kernel_norm_trainable=self.use_learnable_weight_norm,
          name=f"dense_{i}",
          dtype=self._dtype_policy,
        )
      )
      if self.enable_batch_normalization and i < len(self.output_dims) - 1:
        layers.append(_batch_norm.make(self, "BatchNorm/out"))
      if activations[i] is not None:
        layers.append(activations[i])
    return layers

  def get_layer(self, index: int) -> tf.keras.layers.Layer:
    """Returns the layer at a position: dense layers, batch normalizations and activations all count."""
    return self._stacked_layers[index]

  def build(self, input_shape: Any) -> None:
    """Builds every layer under the name `<mlp>/<layer>`, a second layer of a name with the suffix that graphs give."""
    shape, used = tf.TensorShape(input_shape), dict[str, int]()
    for layer in self._stacked_layers:
      count = used[layer.name] = used.get(layer.name, -1) + 1
      if not layer.built:
        with tf.name_scope(f"{layer.name}_{count}" if count else layer.name):
          layer.build(shape)
      shape = layer.compute_output_shape(shape)
    super().build(input_shape)

  def call(self, inputs: tf.Tensor, training: Any = None, **kwargs: Any) -> tf.Tensor:
    """Computes the tower.

    Args:
      inputs: float `[..., in]`.
      training: whether batch normalization uses the batch's statistics; None is Keras' learning phase.
      **kwargs: `segment_names` and `segment_sizes`, the features side by side in the input and their widths, record how
        much each adds to the first layer, with `group_info` and `label` (`summary_ops.feature_insight_data`).

    Raises:
      ValueError: an unknown keyword, or the widths do not fit the input.
    """
    unknown = sorted(set(kwargs) - {"segment_names", "segment_sizes", "group_info", "label"})
    if unknown:
      raise ValueError(f"{self.name}: unknown arguments {', '.join(unknown)}; call it with inputs and training.")
    outputs = inputs
    for layer in self._stacked_layers:
      before, outputs = outputs, _batch_norm.apply(layer, outputs, training)
      if layer.name == "dense_0" and kwargs.get("segment_names") and kwargs.get("segment_sizes"):
        feature_insight_data(before, weight=layer.kernel, **kwargs)
    return outputs

  def compute_output_shape(self, input_shape: Any) -> tf.TensorShape:
    return tf.TensorShape(input_shape)[:-1].concatenate(self.output_dims[-1])

  def get_config(self) -> dict[str, Any]:
    config = super().get_config()
    config.update(
      output_dims=list(self.output_dims),
      activations=[activation_text(self.name, a) for a in self.activations],
      initializers=_keras.serialize_initializers(self.initializers),
      kernel_regularizer=tf.keras.regularizers.serialize(self.kernel_regularizer),
      use_weight_norm=self.use_weight_norm,
      use_learnable_weight_norm=self.use_learnable_weight_norm,
      use_bias=self.use_bias,
      bias_regularizer=tf.keras.regularizers.serialize(self.bias_regularizer),
      **_batch_norm.settings_of(self),
    )
    return config
