# SPDX-License-Identifier: Apache-2.0
"""LHUCTower: a tower whose hidden units are scaled by gates of an input of their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from monolith.core.keras_params import extend_as_list, with_params
from monolith.native_training.layers import _batch_norm, _keras
from monolith.native_training.layers._input_shapes import one_or_two
from monolith.native_training.layers.dense import Dense
from monolith.native_training.layers.mlp import MLP, activation_text, make_activations


def gate_dims(owner: str, output_dims: list[int], lhuc_output_dims: Any) -> list[list[int]]:
  """Returns the widths of the gates' layers, a list for each layer of the tower.

  Args:
    owner: name of the tower, for the error.
    output_dims: widths of the tower's layers.
    lhuc_output_dims: None, numbers that every gate gets before its last width, or a list for each gate.

  Raises:
    ValueError: there are lists for another number of gates, or one ends in another width than its layer.
  """
  dims = list(lhuc_output_dims or ())
  if not any(isinstance(d, (list, tuple)) for d in dims):
    return [[*(int(d) for d in dims), width] for width in output_dims]
  lists = [list(d) if isinstance(d, (list, tuple)) else [d] for d in dims]
  if [d[-1] if d else None for d in lists] != output_dims:
    raise ValueError(
      f"{owner}: lhuc_output_dims is {lists}; give one list for each of output_dims {output_dims}, ending in its width."
    )
  return lists


@with_params
class LHUCTower(tf.keras.layers.Layer):
  """Learning hidden unit contributions: dense layers, each output times a gate in (0, 2).

  Source: Swietojanski et al., 2016, https://arxiv.org/abs/1601.02828, where a hidden layer's output h is scaled unit by
  unit, `ξ(a) ∘ h` with the amplitude `ξ(a) = 2 / (1 + exp(-a))` and a learned number a for each unit and speaker; here
  a is computed from an input, so speakers (users) need not be listed.

  Layer i is `h = activation(batch norm(h W + b)) * gate_i(z)`, the last one included. The gate is an `MLP` of the
  second input z with relu and, last, 2 sigmoid, so that it is 1 on average at first. In a recommender, z holds what a
  user or a context is (their ids' embeddings), and the gates adapt the tower to it.

  Input is float `[..., in]` for tower and gates, or a pair of it and the gates' `[..., lhuc_in]`. The output is
  `[..., output_dims[-1]]`.

  Weights of layer i, counted from 1: `layer_i/layer_i/dense/...` as in `Dense`, `layer_i/layer_i/batch_norm/...` (not
  in the last one), those of its activation, and the gate's `layer_i/lhuc/dense_j/...`; `batch_norm/...` of the tower's
  input.

  >>> tower = LHUCTower([8, 1], lhuc_output_dims=[4])
  >>> tower([tf.ones([3, 10]), tf.ones([3, 2])]).shape.as_list()
  [3, 1]

  Args:
    output_dims: widths of the layers, at least one.
    lhuc_output_dims: widths of the gates' layers: numbers, which every gate has before its last layer, or a list for
      each gate, ending in the width of its layer. None makes the gates one layer. A gate costs about as much as a
      layer of its widths; one narrow hidden layer is usual.
    activations: as for `MLP`: one that all layers but the last have, or a list of one each.
    initializers: Keras initializer of the kernels, one or a list of one a layer; gate i draws by that of layer i.
    use_bias: give every dense layer a bias.
    use_weight_norm: normalize the kernels' columns; see `Dense`.
    use_learnable_weight_norm: learn the columns' lengths.
    kernel_regularizer: Keras regularizer of every kernel.
    bias_regularizer: Keras regularizer of every bias.
    enable_batch_normalization: normalize the tower's input and the output of every dense layer but the last; and the
      same in the gates.
    batch_normalization_momentum, batch_normalization_renorm, batch_normalization_renorm_clipping,
      batch_normalization_renorm_momentum: as for `MLP`.
    lhuc_use_bias, lhuc_use_weight_norm, lhuc_use_learnable_weight_norm, lhuc_kernel_regularizer,
      lhuc_bias_regularizer, lhuc_enable_batch_normalization, lhuc_batch_normalization_momentum,
      lhuc_batch_normalization_renorm, lhuc_batch_normalization_renorm_clipping,
      lhuc_batch_normalization_renorm_momentum: the same of the gates; None is as for the tower.

  Raises:
    ValueError: a list has another length than `output_dims`, or ends in another width; an unknown `lhuc_` argument; or
      the width of an input is unknown.
  """

  def __init__(
    self,
    output_dims: Sequence[int],
    lhuc_output_dims: Any = None,
    activations: Any = "relu",
    initializers: Any = None,
    use_bias: bool = True,
    use_weight_norm: bool = True,
    use_learnable_weight_norm: bool = True,
    kernel_regularizer: Any = None,
    bias_regularizer: Any = None,
    enable_batch_normalization: bool = False,
    batch_normalization_momentum: float = 0.99,
    batch_normalization_renorm: bool = False,
    batch_normalization_renorm_clipping: Any = None,
    batch_normalization_renorm_momentum: float = 0.99,
    *,
    lhuc_use_bias: bool | None = None,
    lhuc_use_weight_norm: bool | None = None,
    lhuc_use_learnable_weight_norm: bool | None = None,
    lhuc_kernel_regularizer: Any = None,
    lhuc_bias_regularizer: Any = None,
    lhuc_enable_batch_normalization: bool | None = None,
    lhuc_batch_normalization_momentum: float | None = None,
    lhuc_batch_normalization_renorm: bool | None = None,
    lhuc_batch_normalization_renorm_clipping: Any = None,
    lhuc_batch_normalization_renorm_momentum: float | None = None,
    **kwargs: Any,
  ):
    unknown = sorted(name for name in kwargs if name.startswith("lhuc_"))
    if unknown:
      raise ValueError(f"LHUCTower: unknown arguments {', '.join(unknown)}; gates take what the class lists.")
    super().__init__(**kwargs)
    self.output_dims = [int(d) for d in output_dims or ()]
    if not self.output_dims:
      raise ValueError(f"{self.name}: output_dims is {output_dims!r}; give the width of at least one layer.")
    self.lhuc_output_dims = gate_dims(self.name, list(self.output_dims), lhuc_output_dims)
    self.initializers = self._make_initializers(initializers)
    self.use_bias = use_bias
    self.use_weight_norm = use_weight_norm
    self.use_learnable_weight_norm = use_learnable_weight_norm
    self.kernel_regularizer = tf.keras.regularizers.get(kernel_regularizer)
    self.bias_regularizer = tf.keras.regularizers.get(bias_regularizer)
    self.enable_batch_normalization = enable_batch_normalization
    self.batch_normalization_momentum = batch_normalization_momentum
    self.batch_normalization_renorm = batch_normalization_renorm
    self.batch_normalization_renorm_clipping = batch_normalization_renorm_clipping
    self.batch_normalization_renorm_momentum = batch_normalization_renorm_momentum
    # What was given for the gates, by the name of the setting that it overrides.
    self._lhuc_settings = {
      "use_bias": lhuc_use_bias,
      "use_weight_norm": lhuc_use_weight_norm,
      "use_learnable_weight_norm": lhuc_use_learnable_weight_norm,
      "kernel_regularizer": tf.keras.regularizers.get(lhuc_kernel_regularizer),
      "bias_regularizer": tf.keras.regularizers.get(lhuc_bias_regularizer),
      "enable_batch_normalization": lhuc_enable_batch_normalization,
      "batch_normalization_momentum": lhuc_batch_normalization_momentum,
      "batch_normalization_renorm": lhuc_batch_normalization_renorm,
      "batch_normalization_renorm_clipping": lhuc_batch_normalization_renorm_clipping,
      "batch_normalization_renorm_momentum": lhuc_batch_normalization_renorm_momentum,
    }
    made = make_activations(activations, len(self.output_dims), self.name, self._dtype_policy)
    # The attributes that hold layers, in the order in which Keras lists weights.
    self.extra_layers = [_batch_norm.make(self, "batch_norm")] if enable_batch_normalization else []
    blocks = [self._make_block(i, activation) for i, activation in enumerate(made)]
    # Flat, since Keras' files hold the layers of lists, but not those of lists in lists.
    self.block_layers = [layer for block in blocks for layer in block]
    self._block_sizes = [len(block) for block in blocks]
    self.lhuc_layers = [self._make_gate(i) for i in range(len(self.output_dims))]
    self.activations = made

  def _make_initializers(self, initializers: Any) -> list[Any]:
    each = extend_as_list(initializers, len(self.output_dims))
    if len(each) != len(self.output_dims):
      raise ValueError(
        f"{self.name}: {len(each)} initializers for {len(self.output_dims)} output_dims; give one a layer."
      )
    return [None if i is None else _keras.get_initializer(i, None) for i in each]

  def _make_block(self, index: int, activation: tf.keras.layers.Layer | None) -> list[tf.keras.layers.Layer]:
    prefix = f"layer_{index + 1}"
    dense = Dense(
      self.output_dims[index],
      use_bias=self.use_bias,
      kernel_initializer=self.initializers[index],
      kernel_regularizer=self.kernel_regularizer,
      bias_regularizer=self.bias_regularizer,
      allow_kernel_norm=self.use_weight_norm,
      kernel_norm_trainable=self.use_learnable_weight_norm,
      name=f"{prefix}/dense",
      dtype=self._dtype_policy,
    )
    layers = [dense]
    if self.enable_batch_normalization and index < len(self.output_dims) - 1:
      layers.append(_batch_norm.make(self, f"{prefix}/batch_norm"))
    return layers if activation is None else [*layers, activation]

  def _make_gate(self, index: int) -> MLP:
    dims = self.lhuc_output_dims[index]
    settings = {n: getattr(self, n) if value is None else value for n, value in self._lhuc_settings.items()}
    return MLP(
      dims,
      ["relu"] * (len(dims) - 1) + ["sigmoid2"],
      [self.initializers[index]] * len(dims),
      name=f"layer_{index + 1}/lhuc",
      dtype=self._dtype_policy,
      **settings,
    )

  @property
  def blocks(self) -> list[list[tf.keras.layers.Layer]]:
    """The layers of the tower itself: for each of `output_dims` dense, batch normalization, activation."""
    layers = iter(self.block_layers)
    return [[next(layers) for _ in range(size)] for size in self._block_sizes]

  def build(self, input_shape: Any) -> None:
    shape, of_gates = one_or_two(self.name, input_shape)
    for layer in self.extra_layers:
      self._build_layer(layer, layer.name, shape)
    for index, (block, gate) in enumerate(zip(self.blocks, self.lhuc_layers, strict=True)):
      for layer in block:
        self._build_layer(layer, f"layer_{index + 1}/{layer.name}", shape)
        shape = layer.compute_output_shape(shape)
      self._build_layer(gate, gate.name, of_gates)
    super().build(input_shape)

  @staticmethod
  def _build_layer(layer: tf.keras.layers.Layer, scope: str, shape: tf.TensorShape) -> None:
    if not layer.built:
      with tf.name_scope(scope):
        layer.build(shape)

  def call(self, inputs: Any, training: Any = None) -> tf.Tensor:
    """Computes the tower.

    Args:
      inputs: of tower and gates, or a pair of both.
      training: whether batch normalization uses the batch's statistics; None is Keras' learning phase.
    """
    outputs, lhuc_inputs = inputs if isinstance(inputs, (list, tuple)) else (inputs, inputs)
    for layer in self.extra_layers:
      outputs = _batch_norm.apply(layer, outputs, training)
    for block, gate in zip(self.blocks, self.lhuc_layers, strict=True):
      for layer in block:
        outputs = _batch_norm.apply(layer, outputs, training)
      outputs = outputs * gate(lhuc_inputs, training=training)
    return outputs

  def compute_output_shape(self, input_shape: Any) -> tf.TensorShape:
    return one_or_two(self.name, input_shape)[0][:-1].concatenate(self.output_dims[-1])

  def get_config(self) -> dict[str, Any]:
    config = super().get_config()
    config.update(
      output_dims=list(self.output_dims),
      lhuc_output_dims=[list(d) for d in self.lhuc_output_dims],
      activations=[activation_text(self.name, a) for a in self.activations],
      initializers=_keras.serialize_initializers(self.initializers),
      use_bias=self.use_bias,
      use_weight_norm=self.use_weight_norm,
      use_learnable_weight_norm=self.use_learnable_weight_norm,
      kernel_regularizer=tf.keras.regularizers.serialize(self.kernel_regularizer),
      bias_regularizer=tf.keras.regularizers.serialize(self.bias_regularizer),
      **_batch_norm.settings_of(self),
    )
    for name, value in self._lhuc_settings.items():
      if value is not None:
        is_regularizer = name.endswith("regularizer")
        config[f"lhuc_{name}"] = tf.keras.regularizers.serialize(value) if is_regularizer else value
    return config
